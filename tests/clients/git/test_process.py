"""Processes of git: their environment, their timeout, and their end."""

from __future__ import annotations

import os
import re
import socket
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from steps.clients.git import process as git_process
from steps.clients.git import repository as git_repository
from steps.clients.git.process import Git, check_installed
from steps.core.operations import Operation
from steps.errors import FixConfiguration, TryAgain
from tests.support.repositories import git, git_environment

if TYPE_CHECKING:
    from tests.support.sync import Sync


@pytest.fixture
def in_repository(repository: Path) -> Git:
    """git in the test's repository."""
    return Git(repository, git_environment(), [])


def is_anything_running_in(directory: Path) -> bool:
    """Whether a process has this working directory, and keeps it for five seconds."""
    deadline = time.monotonic() + 5  # SIGKILL takes effect a little later
    while found := any(_cwd(entry) == directory for entry in Path("/proc").iterdir()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return found


def _cwd(entry: Path) -> Path | None:
    try:
        return (entry / "cwd").readlink()
    except OSError:  # not a process, or one that has ended, or of another user
        return None


def test_run_returns_stdout(in_repository: Git, repository: Path) -> None:
    assert in_repository.run("rev-parse", "--is-bare-repository") == b"true\n"
    assert in_repository.run("hash-object", "--stdin", stdin=b"x") == git(
        repository, "hash-object", "--stdin", stdin=b"x"
    )


def test_run_raises_an_error_of_the_operation_with_the_output_of_git(in_repository: Git) -> None:
    with pytest.raises(TryAgain, match=r"Failed to read the repository: fatal: .*nowhere") as failed:
        in_repository.run("ls-tree", "nowhere", operation=Operation.GIT_CLONE)
    assert failed.value.operation is Operation.GIT_CLONE


def test_run_kills_git_and_its_children_after_the_timeout(in_repository: Git, repository: Path) -> None:
    git(repository, "config", "alias.hang", "!sleep 60 & sleep 60")
    began = time.monotonic()
    with pytest.raises(TryAgain, match="git hang did not finish within 1 s"):
        in_repository.run("hang", timeout=1)
    assert time.monotonic() - began < 30
    assert not is_anything_running_in(repository)


def test_stream_kills_git_if_its_block_raises(in_repository: Git, repository: Path) -> None:
    git(repository, "config", "alias.hang", "!sleep 60 & sleep 60")
    with pytest.raises(KeyError), in_repository.stream("hang"):
        raise KeyError
    assert not is_anything_running_in(repository)


def test_git_inherits_the_given_descriptors_only(in_repository: Git, repository: Path) -> None:
    git(repository, "config", "alias.descriptors", "!ls /proc/self/fd #")
    given, other = os.memfd_create("given"), os.memfd_create("other")
    os.set_inheritable(other, True)
    try:
        shared = Git(repository, git_environment(), [given])
        assert str(given) in shared.run("descriptors").decode().split()
        assert str(other) not in shared.run("descriptors").decode().split()
        assert str(given) not in in_repository.run("descriptors").decode().split()
    finally:
        os.close(given)
        os.close(other)


def test_check_installed_refuses_git_variables_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    monkeypatch.setenv("GIT_PYTHON_TRACE", "1")
    check_installed()
    monkeypatch.setenv("GIT_WORK_TREE", "/")
    monkeypatch.setenv("GIT_DIR", "/")
    with pytest.raises(FixConfiguration, match="unset GIT_DIR, GIT_WORK_TREE: "):
        check_installed()


def test_check_installed_reports_that_git_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_process, "_GIT_IS_MISSING", "Bad git executable")
    with pytest.raises(FixConfiguration, match=r"Failed to start git: .* check PATH: Bad git executable"):
        check_installed()


def test_ls_remote_is_given_up_on_a_server_that_never_answers(
    sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server accepts connections, as one does whose worker processes all hang."""
    monkeypatch.setattr(git_repository, "_LS_REMOTE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/x.git"
        outcome = sync(GIT_REPOSITORY=url, GIT_TOKEN="x", GIT_ALLOW_HTTP="true", RETRY_ATTEMPTS="1")
    assert outcome.exit == 30
    assert "git ls-remote did not finish within" in outcome.errors


@pytest.mark.parametrize("separator", ["\\n", "\\r", "x"])
def test_run_keeps_only_the_end_of_stderr(separator: str, in_repository: Git, repository: Path) -> None:
    output = f"yes progress | tr '\\n' '{separator}' | head -c 50000000"
    git(
        repository, "config", "alias.verbose", f"!{{ {output}; echo; echo fatal: the reason; }} >&2; exit 1 #"
    )
    tracemalloc.start()
    try:
        with pytest.raises(TryAgain, match="fatal: the reason"):
            in_repository.run("verbose")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_run_drops_the_line_that_the_limit_cuts(in_repository: Git, repository: Path) -> None:
    git(repository, "config", "alias.verbose", "!seq -f ghp_%010g 70000 >&2; exit 1 #")
    with pytest.raises(TryAgain) as raised:
        in_repository.run("verbose")
    assert set(map(len, re.findall(r"[^\s;…]+", raised.value.error))) == {len("ghp_0123456789")}


def test_stream_does_not_wait_for_a_reader_of_stderr(in_repository: Git, repository: Path) -> None:
    git(repository, "config", "alias.verbose", "!yes x | head -c 1000000 >&2; echo done #")
    with in_repository.stream("verbose") as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"done\n"
