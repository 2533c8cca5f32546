"""A directory of objects as a tree, and changes to it that may be interrupted at any point."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.changes import PlanRow, TreeRow
from steps.core.git_objects import Change
from steps.core.git_objects import Mode as GitMode
from steps.workdir.mirror import apply_locally, local_tree
from tests.support.deep import LEVELS, deep
from tests.support.repositories import git_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

FILES = {
    "c/a-x": b"1",
    "c/a.x": b"2",
    "c/a/b": b"3",
    "c/a/b-x/y": b"",
    "c/a0": b"\n",
    "c/größe/ü b": "größe\r\n".encode(),
    "c/\udcff": bytes(range(256)) * 5000,  # larger than one read
    "d": b"at the top",
}


class Killed(BaseException):
    """Like SIGKILL: no handler of git-sync catches it."""


def write(root: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def read(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if not path.is_dir()}


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def changes_between(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[PlanRow]:
    rows = []
    for path in sorted(before.keys() | after.keys(), key=os.fsencode):
        if path not in after:
            rows.append(PlanRow(os.fsencode(path), Change.DELETED, blob_id(before[path]), 0))
        elif before.get(path) != after[path]:
            change = "M" if path in before else "A"
            rows.append(PlanRow(os.fsencode(path), Change(change), blob_id(after[path]), len(after[path])))
    return rows


def stage(staging: Path, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> None:
    write(staging, {path: content for path, content in after.items() if before.get(path) != content})


def killed_after(steps: int, rows: list[PlanRow]) -> Callable[[], Iterator[PlanRow]]:
    """Return passes over the rows that raise Killed after this many rows in total."""
    left = steps

    def one_pass() -> Iterator[PlanRow]:
        nonlocal left
        for row in rows:
            if left == 0:
                raise Killed
            left -= 1
            yield row

    return one_pass


def test_local_tree_equals_the_tree_that_git_creates(tmp_path: Path) -> None:
    write(tmp_path / "w", FILES)

    def git(*arguments: str) -> bytes:
        command = ["git", "-C", str(tmp_path / "w"), *arguments]
        return subprocess.run(command, capture_output=True, env=git_environment(), check=True).stdout

    expected = list(local_tree(tmp_path / "w", max_bytes=1 << 30))
    git("init", "--quiet")
    git("add", "--all")
    entries = git("ls-tree", "-r", "-z", git("write-tree").decode().strip()).split(b"\0")[:-1]
    heads = [entry.partition(b"\t") for entry in entries]
    assert [
        TreeRow(name, head.split()[0].decode(), head.split()[2].decode()) for head, _, name in heads
    ] == expected


@given(st.sets(st.lists(st.sampled_from(["a", "a-", "a.", "a0", "b"]), min_size=1, max_size=3).map("/".join)))
def test_local_tree_is_in_byte_order(paths: set[str]) -> None:
    files = {path for path in paths if not any(other.startswith(f"{path}/") for other in paths)}
    with TemporaryDirectory() as root:
        write(Path(root), dict.fromkeys(files, b""))
        assert [row.path for row in local_tree(Path(root), max_bytes=1 << 30)] == sorted(
            path.encode() for path in files
        )


def test_local_tree_reads_directories_deeper_than_the_recursion_limit(tmp_path: Path) -> None:
    with deep(tmp_path / "deep"):
        paths = [row.path for row in local_tree(tmp_path, max_bytes=1)]
    assert len(paths) == LEVELS
    assert paths == sorted(paths)


def test_local_tree_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_bytes(b"x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "to-directory").symlink_to(tmp_path / "outside")
    (root / "to-file").symlink_to(tmp_path / "outside/x")
    (root / "broken").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    assert [row.path for row in local_tree(root, max_bytes=1 << 30)] == [
        b"broken",
        b"pipe",
        b"to-directory",
        b"to-file",
    ]
    assert GitMode.FILE not in {row.mode for row in local_tree(root, max_bytes=1 << 30)}


TRANSITIONS = [
    pytest.param({}, {"c/a": b"1", "c/b/d": b"2"}, id="all new"),
    pytest.param({"c/a": b"1", "c/b/d": b"2"}, {}, id="all deleted"),
    pytest.param({"c/a": b"1", "c/b": b"1"}, {"c/a": b"2", "c/b": b"1"}, id="one modified"),
    pytest.param({"c/a/b": b"1", "c/a/d/e": b"1"}, {"c/a": b"2"}, id="directory becomes file"),
    pytest.param({"c/a": b"1"}, {"c/a/b": b"2", "c/a/d": b"2"}, id="file becomes directory"),
    pytest.param({"c/a/b": b"1", "d/x": b"1"}, {"c/e": b"2", "d/x": b"1"}, id="new, deleted and modified"),
]


@pytest.mark.parametrize(("before", "after"), TRANSITIONS)
def test_apply_locally_can_be_repeated_after_a_kill_at_any_point(
    before: dict[str, bytes], after: dict[str, bytes], tmp_path: Path
) -> None:
    rows = changes_between(before, after)
    for steps in range(2 * len(rows) + 1):
        root, staging = tmp_path / f"root-{steps}", tmp_path / f"staging-{steps}"
        root.mkdir()
        write(root, before)
        stage(staging, before, after)
        try:
            apply_locally(root, staging, killed_after(steps, rows))
        except Killed:
            apply_locally(root, staging, lambda: rows)
        assert read(root) == after
        assert read(staging) == {}


@given(
    *[
        st.dictionaries(
            st.lists(st.sampled_from(["a", "a-", "b"]), min_size=1, max_size=3).map(
                lambda names: "c/" + "/".join(names)
            ),
            st.sampled_from([b"1", b"2"]),
            max_size=6,
        )
    ]
    * 2
)
def test_apply_locally_results_in_the_planned_files(
    before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    before, after = only_files(before), only_files(after)
    rows = changes_between(before, after)
    with TemporaryDirectory() as directory:
        root, staging = Path(directory) / "root", Path(directory) / "staging"
        root.mkdir()
        write(root, before)
        stage(staging, before, after)
        apply_locally(root, staging, lambda: rows)
        assert read(root) == after
        assert not [path for path in root.rglob("*") if path.is_dir() and not any(path.iterdir())]


def only_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    def is_directory(path: str, paths: Iterable[str]) -> bool:
        return any(other.startswith(f"{path}/") for other in paths)

    return {path: content for path, content in files.items() if not is_directory(path, files)}


def test_apply_locally_replaces_links_and_writes_nothing_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside, {"x": b"precious"})
    root, staging = tmp_path / "root", tmp_path / "staging"
    (root / "c").mkdir(parents=True)
    (root / "c/file").symlink_to(outside / "x")
    (root / "c/directory").symlink_to(outside)
    after = {"c/directory/x": b"new", "c/file": b"new"}
    write(staging, after)
    rows = [PlanRow(b"c/directory", Change.DELETED, "", 0), *changes_between({}, after)]
    apply_locally(root, staging, lambda: rows)
    assert read(root) == after
    assert read(outside) == {"x": b"precious"}


def test_apply_locally_replaces_empty_directories_by_a_file(tmp_path: Path) -> None:
    root, staging = tmp_path / "root", tmp_path / "staging"
    (root / "c/a/left/over").mkdir(parents=True)
    write(staging, {"c/a": b"new"})
    apply_locally(root, staging, lambda: changes_between({}, {"c/a": b"new"}))
    assert read(root) == {"c/a": b"new"}
