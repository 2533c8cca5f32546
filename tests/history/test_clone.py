"""Reading a repository on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.core.git_objects import EMPTY_TREE
from steps.errors import FixCommandLine, SyncError
from steps.history.clone import Clone
from tests.support.repositories import bare_repository, commit_files, git

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


def test_configuration_of_a_partial_clone_starts_no_program(tmp_path: Path) -> None:
    source, clone = bare_repository(tmp_path / "source.git"), tmp_path / "clone"
    oid = commit_files(source, {"a": b"1"})
    git(source, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{source}", str(clone))
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexit 1\n")
    program.chmod(0o755)
    for name in ("core.askPass", "core.alternateRefsCommand", "core.sshCommand"):
        git(clone, "config", name, str(program))
    (blob,) = [change.after for change in Clone(clone).changes(oid)]
    git(clone, "config", "remote.origin.uploadpack", str(program))
    with pytest.raises(SyncError, match="transport 'file' not allowed"):
        list(Clone(clone).contents([blob]))
    git(clone, "config", "--unset", "remote.origin.uploadpack")
    assert dict(Clone(clone).contents([blob])) == {blob: b"1"}
    assert not (tmp_path / "started").exists()
