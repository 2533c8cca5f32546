"""`make scale` in small: what the synthetic bucket holds is what Git holds, and nothing is fetched twice."""

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


def test_a_first_run_brings_every_object_and_the_next_ones_bring_none(tmp_path: Path) -> None:
    found = list(scale(2000, 20, tmp_path))  # which ends at a run that changes anything it should not
    assert [one["case"] for one in found] == list(CASES)
    for one in found:
        assert one["peak_bytes"]["python"] > 0
        assert set(one["step_seconds"]) == set(STEPS)
    expected = {key: SMALL.content(key) for name in SMALL.clusters for key in SMALL.keys(name)}
    assert len(expected) == 2000
    assert contents(tmp_path / "backups.git") == expected


def test_a_listing_takes_no_more_memory_where_it_is_longer() -> None:
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
