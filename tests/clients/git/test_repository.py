"""The scratch repository where there is no room for it."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from steps.clients.git.objects import NEW
from steps.clients.git.repository import Repository
from steps.core import fast_import
from steps.errors import FixConfiguration, translated
from steps.runtime.settings.reading import read
from tests.soak.full_disks import file_system, obstacle
from tests.support.repositories import commit_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sync import Sync


@pytest.mark.skipif(bool(obstacle()), reason=obstacle())
@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((f"nr_inodes={inodes}" for inodes in itertools.count(2)), "no space left on device"),
        ((f"size={size}k" for size in itertools.count(4, 4)), "no space left on device|disk is full"),
    ],
    ids=["inodes", "bytes"],
)
def test_whatever_the_last_of_it_went_to_the_disk_is_called_full(
    sizes: Iterator[str], words: str, sync: Sync, repository: Path, tmp_path: Path
) -> None:
    commit_files(repository, {"a/b.yaml": b"2"})
    settings, said = read(sync.settings).git, []
    for size in sizes:
        room = tmp_path / size
        with file_system(room, size):
            try:
                with translated(), Repository(settings, room / "scratch.git", room / "config") as scratch:
                    scratch.fast_import(_commit())
                    scratch.fetch()
            except FixConfiguration as problem:
                said.append(problem.error)
            else:
                break
    assert len(said) > 3
    assert not [error for error in said if not re.search(words, error, re.IGNORECASE)]


def _commit() -> list[bytes]:
    return [
        fast_import.commit(
            ref=NEW, name="a", email="a@example.com", at=datetime.now(UTC), message="message", parent=None
        ),
        fast_import.write_inline(b"a.yaml", 1),
        b"1",
        fast_import.END_OF_DATA,
        fast_import.DONE,
    ]
