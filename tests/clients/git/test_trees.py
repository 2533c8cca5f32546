"""Reading trees of any shape in one process of git."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.clients.git import trees
from steps.clients.git.process import Git
from steps.clients.git.trees import DamagedTree, Size, Trees
from steps.core.changes import TreeRow
from steps.core.git_objects import EMPTY_TREE
from steps.core.intake_limits import Intake, IntakeLimits, OverLimit
from steps.core.limits import GIT_LEVELS, GIT_PATH_BYTES
from tests.support.repositories import GITLINK, commit_files, git, git_environment, sha, tree, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES: dict[str, bytes | tuple[str, bytes]] = {
    "README.md": b"read",
    "x/east/a.yaml": b"a",
    "x/east/deep/b\tc\n.yaml": b"b",
    "x/east-1/a": b"1",
    "x/link": ("120000", b"east"),
    "x/module": (GITLINK, b"1" * 40),
    "x/west/run.sh": ("100755", b"run"),
}


@pytest.fixture
def found(repository: Path) -> Iterator[Trees]:
    reader = Trees(Git(repository, git_environment(), []))
    yield reader
    reader.close()


def blob(repository: Path) -> str:
    return git(repository, "hash-object", "-w", "--stdin", stdin=b"x").decode().strip()


def test_rows_are_those_of_ls_tree_in_byte_order(found: Trees, repository: Path) -> None:
    commit = commit_files(repository, FILES)
    directory = found.directory(commit, "x/")
    rows = list(found.rows(directory, b"x/"))
    expected = [
        TreeRow(path.encode(), entry.mode, entry.sha) for path, entry in tree(repository, prefix="x/").items()
    ]
    assert rows == sorted(expected)
    assert [row.path for row in found.entries(directory)] == [b"east-1", b"east", b"link", b"module", b"west"]


@pytest.mark.parametrize("path", ["README.md/", "x/link/", "x/east/a.yaml/b/", "x/module/"])
def test_directory_is_obstructed_by_anything_but_a_directory(
    path: str, found: Trees, repository: Path
) -> None:
    with pytest.raises(NotADirectoryError):
        found.directory(commit_files(repository, FILES), path)


def test_absent_directory_is_an_empty_tree(found: Trees, repository: Path) -> None:
    assert found.directory(commit_files(repository, FILES), "absent/below/") == EMPTY_TREE
    assert list(found.rows(EMPTY_TREE, b"")) == []


def test_size_counts_as_max_objects_counts_a_listing(found: Trees, repository: Path) -> None:
    files = [f"east/{'ab'[number % 2]}/{number // 10}/{number}.yaml" for number in range(100)]
    commit = commit_files(repository, dict.fromkeys(files, b"x"))
    size = found.size(found.directory(commit, "east/"))
    assert size.objects == 100 + 23
    intake = Intake(IntakeLimits(max_objects=size.objects))
    for path in sorted(files):
        intake.add(path.encode())
    with pytest.raises(OverLimit):
        intake.add(b"east/z")
    assert size.path_bytes == sum(len(path) - len("east/") for path in files)
    assert (size.longest, size.levels) == (len("a/0/98.yaml"), 3)


def shared(repository: Path, levels: int, width: int, leaf: str, name: str = "d") -> str:
    """Return a tree of so many levels, each with the same subtree so many times."""
    for _ in range(levels):
        leaf = tree_of(repository, *(("40000", f"{name}{number:03}", leaf) for number in range(width)))
    return leaf


def test_size_of_shared_subtrees_reads_each_once(found: Trees, repository: Path) -> None:
    leaf = tree_of(repository, ("100644", "x", blob(repository)))
    assert found.size(shared(repository, 20, 30, leaf)).files == 30**20


def test_size_counts_directories_without_files(found: Trees, repository: Path) -> None:
    empty = tree_of(repository)
    assert found.size(shared(repository, 20, 30, empty)).objects > 30**20


def test_size_counts_a_long_path_as_several_objects(found: Trees, repository: Path) -> None:
    leaf = tree_of(repository, *(("100644", f"x{number:03}", blob(repository)) for number in range(100)))
    long = shared(repository, 3, 1, leaf, "n" * 1000)
    assert found.size(long).objects == 100 * 3016 // 1024


NAMES = {
    "twice": (("100644", "a"), ("100644", "a")),
    "unsorted": (("100644", "b"), ("100644", "a")),
    "file and directory": (("100644", "a"), ("100644", "a-b"), ("100644", "a.c"), ("40000", "a")),
    "slash": (("100644", "a/b"),),
    "slash at the end": (("40000", "a/"),),
    "parent": (("40000", ".."),),
    "git": (("40000", ".gIt"),),
    "no name": (("100644", ""),),
}


@pytest.mark.parametrize("entries", NAMES.values(), ids=NAMES.keys())
def test_damaged_tree_is_named_with_its_path(
    entries: tuple[tuple[str, str], ...], found: Trees, repository: Path
) -> None:
    damaged = tree_of(repository, *((mode, name, blob(repository)) for mode, name in entries))
    with pytest.raises(DamagedTree, match=r"^is damaged at above/"):
        found.size(tree_of(repository, ("40000", "above", damaged)))


@pytest.mark.parametrize(
    "raw", [b"100644 x\0short", b"100644x\0" + b"1" * 20, b"garbage", b"100648 x\0" + b"1" * 20]
)
def test_tree_with_other_bytes_is_damaged(raw: bytes, found: Trees, repository: Path) -> None:
    arguments = ("hash-object", "-t", "tree", "-w", "--literally", "--stdin")
    with pytest.raises(DamagedTree):
        found.size(git(repository, *arguments, stdin=raw).decode().strip())


def test_missing_tree_and_blob_in_the_place_of_a_tree_are_damaged(found: Trees, repository: Path) -> None:
    good = tree_of(repository, ("100644", "x", blob(repository)))
    for oid in ("1" * 40, blob(repository)):
        with pytest.raises(DamagedTree):
            found.size(tree_of(repository, ("40000", "above", oid)))
        assert found.size(good) == Size(files=1, path_bytes=1, longest=1, levels=1)


def test_path_with_too_many_bytes_or_levels_is_refused(found: Trees, repository: Path) -> None:
    leaf = tree_of(repository, ("100644", "x", blob(repository)))
    assert found.size(shared(repository, GIT_LEVELS - 1, 1, leaf)).levels == GIT_LEVELS
    assert found.size(tree_of(repository, ("100644", "x" * GIT_PATH_BYTES, blob(repository)))).files == 1
    long = tree_of(repository, ("100644", "x" * (GIT_PATH_BYTES + 1), blob(repository)))
    for tree_id in (shared(repository, GIT_LEVELS, 1, leaf), long):
        with pytest.raises(DamagedTree, match="has a path of more than"):
            found.size(tree_id)


def test_tree_over_the_limit_is_not_read_and_the_next_one_is(
    found: Trees, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "TREE_BYTES", 1000)
    large = tree_of(repository, *(("100644", f"x{number:03}", blob(repository)) for number in range(100)))
    with pytest.raises(DamagedTree, match="has a directory of more than"):
        found.size(large)
    assert found.size(tree_of(repository, ("100644", "x", blob(repository)))).files == 1


def test_trees_can_be_read_after_close(found: Trees, repository: Path) -> None:
    commit = commit_files(repository, FILES)
    assert found.directory(commit, "x/")
    found.close()
    assert found.directory(sha(repository), "x/") == found.directory(commit, "x/")
