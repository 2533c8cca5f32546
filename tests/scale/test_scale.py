"""`make scale` with few objects: Git gets the content of the bucket, and nothing is fetched twice."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

from steps.clients.s3.store import ObjectStore
from steps.runtime.settings.reading import read
from tests.scale.__main__ import CASES, STEPS, scale
from tests.scale.server import PREFIX, Objects, Server
from tests.support.repositories import contents

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Objects(2000, clusters=20)


def test_first_run_commits_every_object_and_later_runs_nothing(tmp_path: Path) -> None:
    measurements = list(scale(2000, 20, tmp_path))  # it exits if a run has unexpected changes
    assert [one["case"] for one in measurements] == list(CASES)
    for one in measurements:
        assert one["peak_bytes"]["python"] > 0
        assert set(one["step_seconds"]) == set(STEPS)
    expected = {key: SMALL.content(key) for name in SMALL.clusters for key in SMALL.keys(name)}
    assert len(expected) == 2000
    assert contents(tmp_path / "backups.git") == expected


def test_memory_of_a_listing_does_not_depend_on_its_length() -> None:
    peaks = {}
    for pages in (2, 6):
        server = Server(Objects(1000 * pages, clusters=1))
        with server.running() as settings:
            store = ObjectStore(read(settings).s3)
            tracemalloc.start()
            try:
                listed = sum(1 for _ in store.listing(f"{PREFIX}cluster-000000/"))
                _, peaks[pages] = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert listed == 1000 * pages
    assert peaks[6] < 1.5 * peaks[2]
