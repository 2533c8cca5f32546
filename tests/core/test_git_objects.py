"""Git's modes, kinds of changes and object headers, as git itself writes them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from steps.core.git_objects import Change, Mode, blob_header, tree_header
from tests.support.repositories import commit_files, git

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("content", [b"", b"x", b"line\n" * 1000])
def test_blob_header_gives_the_id_that_git_gives(content: bytes, repository: Path) -> None:
    commit_files(repository, {"a.yaml": content})
    found = git(repository, "rev-parse", "main:a.yaml").decode().strip()
    assert hashlib.sha1(blob_header(len(content)) + content).hexdigest() == found


def test_tree_header_gives_the_id_that_git_gives(repository: Path) -> None:
    commit_files(repository, {"a.yaml": b"x", "folder/b.yaml": b"y"})
    content = git(repository, "cat-file", "tree", "main^{tree}")
    found = git(repository, "rev-parse", "main^{tree}").decode().strip()
    assert hashlib.sha1(tree_header(len(content)) + content).hexdigest() == found


def test_modes_are_those_of_ls_tree(repository: Path) -> None:
    commit_files(repository, {"file": b"x", "link": ("120000", b"file"), "folder/file": b"y"})
    lines = git(repository, "ls-tree", "main").decode().splitlines()
    modes = {line.split("\t")[1]: line.split()[0] for line in lines}
    assert modes == {"file": Mode.FILE, "folder": Mode.TREE, "link": Mode.LINK}


def test_changes_are_those_of_name_status(repository: Path) -> None:
    commit_files(repository, {"modified": b"1", "deleted": b"1"})
    commit_files(repository, {"modified": b"2", "deleted": None, "added": b"1"})
    lines = git(repository, "diff", "--no-renames", "--name-status", "main~", "main").decode().splitlines()
    changes = {name: Change(letter) for letter, name in (line.split("\t") for line in lines)}
    assert changes == {"added": Change.ADDED, "deleted": Change.DELETED, "modified": Change.MODIFIED}


def test_words_of_changes_are_those_of_the_commit_message() -> None:
    assert [change.word for change in Change] == ["new", "modified", "deleted"]
