"""Reading trees and blobs of a repository, and writing a commit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from steps.clients.git.objects import NEW, Objects
from steps.clients.git.process import Git
from steps.core import fast_import
from steps.core.changes import TreeRow
from steps.core.git_objects import BlobChange, Change
from steps.errors import SyncError
from tests.support.repositories import (
    GITLINK,
    commit_files,
    contents,
    git_environment,
    log,
    message,
    sha,
    tree,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def objects(repository: Path) -> Objects:
    """The objects of the test's repository."""
    found = Objects()
    found._git = Git(repository, git_environment(), [])
    return found


@pytest.fixture
def commit(repository: Path) -> str:
    """A commit with every kind of entry."""
    return commit_files(
        repository,
        {
            "README.md": b"read",
            "x/east/a.yaml": b"a",
            "x/east/deep/b\tc\n.yaml": b"b",
            "x/link": ("120000", b"east"),
            "x/module": (GITLINK, b"1" * 40),
            "x/west/run.sh": ("100755", b"run"),
        },
    )


def test_tree_yields_files_links_and_submodules_in_byte_order(
    objects: Objects, repository: Path, commit: str
) -> None:
    rows = list(objects.tree(commit))
    found = tree(repository)
    assert rows == [TreeRow(path.encode(), entry.mode, entry.sha) for path, entry in found.items()]
    assert rows == sorted(rows)
    assert [row.path for row in objects.tree(commit, "x/east/")] == [
        b"x/east/a.yaml",
        b"x/east/deep/b\tc\n.yaml",
    ]
    assert list(objects.tree(commit, "absent/")) == []


def test_tree_of_a_path_with_wildcards_is_taken_literally(objects: Objects, commit: str) -> None:
    assert list(objects.tree(commit, "x/*/")) == []


def test_children_are_the_entries_of_one_directory(objects: Objects, commit: str) -> None:
    found = {row.path: row.mode for row in objects.children(commit, "x/")}
    assert found == {
        b"east": "040000",
        b"link": "120000",
        b"module": "160000",
        b"west": "040000",
    }


@pytest.mark.usefixtures("commit")
def test_changes_have_blob_ids_of_plain_files_only(objects: Objects, repository: Path) -> None:
    old = tree(repository)
    newer = commit_files(
        repository,
        {
            "README.md": None,
            "x/east/a.yaml": b"changed",
            "x/link": b"now a file",
            "x/new.yaml": b"new",
            "x/west/run.sh": None,
        },
    )
    new = tree(repository)
    assert list(objects.changes(newer)) == [
        BlobChange(b"README.md", Change.DELETED, old["README.md"].sha, ""),
        BlobChange(b"x/east/a.yaml", Change.MODIFIED, old["x/east/a.yaml"].sha, new["x/east/a.yaml"].sha),
        BlobChange(b"x/link", Change.MODIFIED, "", new["x/link"].sha),
        BlobChange(b"x/new.yaml", Change.ADDED, "", new["x/new.yaml"].sha),
        BlobChange(b"x/west/run.sh", Change.DELETED, "", ""),
    ]
    assert [change.path for change in objects.changes(newer, "x/east/")] == [b"x/east/a.yaml"]


def test_changes_of_a_first_commit_are_all_its_files(objects: Objects, repository: Path, commit: str) -> None:
    assert [change.path.decode() for change in objects.changes(commit)] == list(tree(repository))


def test_blobs_among_leaves_out_absent_objects_and_other_kinds(
    objects: Objects, repository: Path, commit: str
) -> None:
    blob = tree(repository)["README.md"].sha
    assert objects.blobs_among([blob, commit, "1" * 40]) == {blob}
    assert objects.blobs_among([]) == set()


def test_sizes_leave_out_absent_objects_and_other_kinds(
    objects: Objects, repository: Path, commit: str
) -> None:
    commit_files(repository, {"a": b"12345\n", "b": b""})
    blobs = {path: entry.sha for path, entry in tree(repository).items()}
    found = objects.sizes([blobs["a"], blobs["b"], commit, "1" * 40])
    assert found == {blobs["a"]: 6, blobs["b"]: 0}


def test_contents_of_blobs_are_their_bytes(objects: Objects, repository: Path) -> None:
    commit_files(repository, {"a": b"12345\n", "b": b"", "c": b"\n\n678"})
    blobs = {path: entry.sha for path, entry in tree(repository).items() if len(path) == 1}
    found = dict(objects.contents(blobs.values()))
    assert found == {blobs["a"]: b"12345\n", blobs["b"]: b"", blobs["c"]: b"\n\n678"}


def test_fast_import_returns_the_new_commit(objects: Objects, repository: Path, commit: str) -> None:
    oid = objects.fast_import(_commands(parent=commit))
    assert oid == sha(repository, NEW)
    assert log(repository, NEW) == [oid, commit]
    assert message(repository, NEW) == "message"
    assert contents(repository, NEW) == contents(repository) | {"a.yaml": b"1"}


def test_fast_import_reports_why_git_refuses_its_input(objects: Objects) -> None:
    with pytest.raises(SyncError, match="Failed to commit: fatal: "):
        objects.fast_import([b"nonsense\n"] * 100_000)


def _commands(parent: str) -> list[bytes]:
    at = datetime(2025, 7, 12, tzinfo=UTC)
    return [
        fast_import.commit(ref=NEW, name="a", email="a@b", at=at, message="message", parent=parent),
        fast_import.write_inline(b"a.yaml", 1),
        b"1",
        fast_import.END_OF_DATA,
        fast_import.DONE,
    ]
