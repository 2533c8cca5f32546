"""The input of fast-import, checked with git itself."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.core import fast_import
from steps.core.keys import rejection
from tests.support.repositories import Entry, bare_repository, commit_files, contents, git, message, sha, tree

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2025, 7, 12, 22, 6, 58, 900_000, tzinfo=UTC)
_numbers = count()

legal_paths = (
    st.lists(
        st.lists(
            st.sampled_from(['"', "a", " ", "'", "%22", "é", ":", "*", "\u2028", "n", "#", "-"]), min_size=1
        ),
        min_size=1,
        max_size=3,
    )
    .map(lambda segments: "/".join("".join(characters) for characters in segments))
    .filter(lambda path: rejection(path) is None)
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare_repository(tmp_path_factory.mktemp("fast-import") / "r.git")


def new_branch() -> str:
    return f"b{next(_numbers)}"


def commit(
    branch: str, *, text: str = "why\n", name: str = "git-sync", email: str = "a@b", parent: str | None = None
) -> bytes:
    ref = f"refs/heads/{branch}"
    return fast_import.commit(ref=ref, name=name, email=email, at=AT, message=text, parent=parent)


def write(path: str, content: bytes) -> bytes:
    return fast_import.write_inline(path.encode(), len(content)) + content + fast_import.END_OF_DATA


def feed(repository: Path, *words: bytes) -> None:
    git(repository, "fast-import", "--quiet", "--done", stdin=b"".join([*words, fast_import.DONE]))


@settings(deadline=None, max_examples=40)
@given(st.sets(legal_paths, min_size=1, max_size=5), st.binary())
def test_fast_import_writes_and_deletes_any_legal_path(
    repository: Path, paths: set[str], content: bytes
) -> None:
    branch = new_branch()
    files = {f"{number}/{path}": content for number, path in enumerate(sorted(paths))}
    feed(repository, commit(branch), *(write(path, content) for path in files))
    assert contents(repository, branch) == files
    assert {entry.mode for entry in tree(repository, branch).values()} == {"100644"}
    parent = sha(repository, branch)
    feed(repository, commit(branch, parent=parent), *(fast_import.delete(path.encode()) for path in files))
    assert tree(repository, branch) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"done\n",
        b"M 100644 inline x\ndata 3\nabc\n",
        b"no line feed",
        bytes(range(256)),
        b"\0" * 9,
    ],
)
def test_fast_import_keeps_content_byte_for_byte(content: bytes, repository: Path) -> None:
    branch = new_branch()
    feed(repository, commit(branch), write("a", content), write("b", b"after"))
    assert contents(repository, branch) == {"a": content, "b": b"after"}


def test_fast_import_writes_an_existing_blob_by_its_id(repository: Path) -> None:
    branch = new_branch()
    oid = git(repository, "hash-object", "-w", "--stdin", stdin=b"known").decode().strip()
    feed(repository, commit(branch), fast_import.write_blob(b'd/"x"', oid))
    assert tree(repository, branch) == {'d/"x"': Entry("100644", "blob", oid)}


@pytest.mark.parametrize(
    ("before", "deleted", "after"),
    [
        ({"a": b"1"}, "a", {"a/b": b"2", "a/c": b"3"}),
        ({"a/b": b"1"}, "a/b", {"a": b"2"}),
        ({"a/b": b"1", "a-x": b"1"}, "a/b", {"a": b"2", "a-x": b"1"}),
    ],
)
def test_deletions_before_writes_can_swap_file_and_directory(
    repository: Path, before: dict[str, bytes], deleted: str, after: dict[str, bytes]
) -> None:
    branch = new_branch()
    parent = commit_files(repository, dict(before), branch=branch)
    words = [write(path, content) for path, content in after.items()]
    feed(repository, commit(branch, parent=parent), fast_import.delete(deleted.encode()), *words)
    assert contents(repository, branch) == after


def test_commit_is_a_root_without_a_parent_and_a_child_with_one(repository: Path) -> None:
    branch = new_branch()
    feed(repository, commit(branch), write("a", b"1"))
    root = sha(repository, branch)
    feed(repository, commit(branch, parent=root), write("b", b"2"))
    parents = git(repository, "log", "--format=%H %P", branch).decode().split("\n")[:-1]
    assert parents == [f"{sha(repository, branch)} {root}", f"{root} "]
    assert contents(repository, branch) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize(
    "text",
    ["one line\n", "größe 🎉\n\nbody\n\nTrailer: x\n", "no line feed", 'data 3\nM 100644 "x"\ndone\n', "\n"],
)
def test_fast_import_keeps_the_message_verbatim(text: str, repository: Path) -> None:
    branch = new_branch()
    feed(repository, commit(branch, text=text), write("a", b"1"))
    assert message(repository, branch) == text


@pytest.mark.parametrize(
    ("name", "email"),
    [("cluster-backup-bot", "backup@yourcompany.com"), ('Zoë "the bot" O\'Neil', "a+b@é.example")],
)
def test_author_and_committer_are_the_configured_ones_at_the_start_time(
    name: str, email: str, repository: Path
) -> None:
    branch = new_branch()
    feed(repository, commit(branch, name=name, email=email), write("a", b"1"))
    shown = git(repository, "log", "-1", "--date=raw", "--format=%an|%ae|%ad|%cn|%ce|%cd", branch).decode()
    who = f"{name}|{email}|1752358018 +0000"
    assert shown == f"{who}|{who}\n"


def test_repeated_commit_has_the_same_id(repository: Path) -> None:
    first, second = new_branch(), new_branch()
    for branch in (first, second):
        feed(repository, commit(branch), write("a", b"1"))
    assert sha(repository, first) == sha(repository, second)
