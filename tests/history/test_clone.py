"""Reading a repository on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.core.git_objects import EMPTY_TREE
from steps.errors import FixCommandLine
from steps.history.clone import Clone
from tests.support.repositories import bare_repository, commit_files

if TYPE_CHECKING:
    from pathlib import Path


def test_revisions_name_commits(tmp_path: Path) -> None:
    repository = bare_repository(tmp_path / "a.git")
    oid = commit_files(repository, {"a": b"1"})
    clone = Clone(repository)
    assert clone.commit("main") == oid
    assert clone.commit_before(oid[:12]) == oid
    assert clone.commit_before("0" * 40) == EMPTY_TREE
    for wrong in ("absent", "main:a", "--all", "-h", ""):
        with pytest.raises(FixCommandLine, match=r"Failed to find the commit"):
            clone.commit(wrong)


def test_directory_must_be_a_repository(tmp_path: Path) -> None:
    with pytest.raises(FixCommandLine, match="no such directory"):
        Clone(tmp_path / "absent")
    with pytest.raises(FixCommandLine, match="not a git repository"):
        Clone(tmp_path).commit("main")
