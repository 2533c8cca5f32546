"""The objects in many files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.history import versions
from steps.history.snapshot import File, cluster_rows
from steps.history.source import LocalSource
from steps.history.versions import Unread, Version, read_again, read_versions, versions_of
from steps.kubernetes.selection import ObjectFilter
from steps.kubernetes.volatile import BUILT_IN_SET
from tests.support.backups import Backups

if TYPE_CHECKING:
    from pathlib import Path

TWO = b"kind: A\nmetadata: {name: %d, namespace: shop}\n---\nkind: B\nmetadata: {name: %d}\n"


@pytest.mark.parametrize("files_of_one_process", [0, 1000], ids=["processes", "one process"])
def test_versions_of_all_files_are_read_in_order(
    files_of_one_process: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_FILES_OF_ONE_PROCESS", files_of_one_process)
    monkeypatch.setattr(versions, "_FILES_OF_TASK", 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    backups = Backups.at(tmp_path / "backups.git")
    files: dict[str, bytes | tuple[str, bytes] | None] = {
        f"east/{n:02}.yaml": TWO % (n, n) for n in range(20)
    }
    oid = backups.sync("2025-07-12", {**files, "east/05.yaml": b"a: [", "east/06.yaml": ("120000", b"x")})
    source = LocalSource(backups.directory, "clusterbackup/")
    objects = source.with_trees([oid])
    rows = cluster_rows(objects, oid, source.path, "east")
    found = list(read_versions(source, objects, rows, ObjectFilter(select=("B",)), BUILT_IN_SET))
    assert [one.path for one in found] == [row.path for row in rows]
    assert [one.path for one in found if isinstance(one, Unread)] == [b"east/05.yaml", b"east/06.yaml"]
    read = [one for one in found if isinstance(one, Version)]
    assert {one.position for one in read} == {1}
    pairs = [(one, None) for one in read]
    again = [before for before, _ in read_again(objects, pairs) if before is not None]
    assert [one.identity for one in again] == [one.facts.identity for one in read]


def test_file_without_objects_and_unreadable_file_are_different() -> None:
    assert versions_of(File(b"east/a", "1", b"# nothing\n"), ObjectFilter(), BUILT_IN_SET) == []
    assert versions_of(File(b"east/a", "1", b"", "too large"), ObjectFilter(), BUILT_IN_SET) == [
        Unread(b"east/a", "too large")
    ]
