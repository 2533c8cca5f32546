"""Pushing: the branch moves during a push; servers fail, reject, and report what is not true."""

from __future__ import annotations

import shutil
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from steps.clients.git import config
from tests.support.repositories import (
    commit_files,
    contents,
    git,
    install_hook,
    log,
    sha,
)
from tests.support.steps import FIRST, KEY, prepare, publish

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.gitbackend import GitRequest
    from tests.support.gitserver import GitServer
    from tests.support.sync import Sync

pytestmark = pytest.mark.usefixtures("synced")


def test_push_of_a_branch_below_another_branch_is_not_retried(sync: Sync, repository: Path) -> None:
    git(repository, "update-ref", "refs/heads/backups", sha(repository))
    assert sync(GIT_BRANCH="backups/prod").exit == 40


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_push_never_overwrites_a_branch_that_moves_during_it(
    method: str, over_http: Sync, git_server: GitServer, bucket: Bucket, repository: Path
) -> None:
    """GET moves it before git push asks for the branch, POST after that."""
    # Without a filter git has all blobs. So a forced push would succeed, and not fail for lack of them.
    git(repository, "config", "uploadpack.allowFilter", "false")
    moves = iter(range(3))

    def move(request: GitRequest) -> None:
        if request.service == "git-receive-pack" and request.method == method:
            number = next(moves, None)
            if number is not None:
                commit_files(repository, {f"theirs-{number}": b"x"})

    git_server.before = move
    bucket.put(KEY, b"2")
    assert over_http().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"} | {f"theirs-{number}": b"x" for number in range(3)}
    assert len(log(repository)) == 5, "the history is linear, with each change once"


def test_push_does_not_restore_a_branch_renamed_during_it(
    over_http: Sync, git_server: GitServer, bucket: Bucket, repository: Path
) -> None:
    once = iter([True])

    def rename(request: GitRequest) -> None:
        if request.service == "git-receive-pack" and next(once, False):
            git(repository, "branch", "-m", "main", "archive")

    git_server.before = rename
    bucket.put(KEY, b"2")
    assert over_http().exit in {0, 10}
    assert len(log(repository)) == 1, "the renamed history is not pushed again"
    assert over_http().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_push_reported_as_failed_succeeds_if_the_remote_has_the_commit(
    how: str, over_http: Sync, git_server: GitServer, bucket: Bucket, repository: Path
) -> None:
    git_server.lose_response(how="cut" if how == "cut" else "reset")
    bucket.put(KEY, b"2")
    outcome = over_http()
    assert outcome.exit == 0
    assert len(log(repository)) == 2
    assert outcome.complete["git_commit"] == sha(repository)


def test_push_is_retried_after_server_errors(
    over_http: Sync, git_server: GitServer, bucket: Bucket, repository: Path
) -> None:
    git_server.fail_next(2, 503, "git-receive-pack")
    bucket.put(KEY, b"2")
    assert over_http().exit == 0
    assert contents(repository)[KEY] == b"2"
    assert over_http.state["last_run"]["push_attempts"] == 3


def test_push_waits_for_a_server_that_sends_only_keepalives(
    over_http: Sync, bucket: Bucket, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing the connection would abort every attempt of the push."""
    # curl notices the silence five seconds later.
    monkeypatch.setattr(config, "_SILENCE_SECONDS", 2)
    git(repository, "config", "receive.keepAlive", "1")
    install_hook(repository, "pre-receive", "#!/bin/sh\nsleep 9\n")
    bucket.put(KEY, b"2")
    assert over_http().exit == 0
    assert over_http.state["last_run"]["push_attempts"] == 1


@pytest.mark.parametrize(
    "words", ["GH006: Protected branch update failed", "object exceeds the size limit", ""]
)
def test_push_rejected_by_a_hook_is_not_retried(
    words: str, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    install_hook(repository, "pre-receive", f"#!/bin/sh\necho '{words}'\nexit 1\n")
    bucket.put(KEY, b"2")
    outcome = sync()
    assert outcome.exit == 40
    assert words in outcome.errors
    assert "pre-receive hook declined" in outcome.errors
    assert not [line for line in outcome.of("git_push") if "retrying" in line["message"]]


def test_push_keeps_only_the_end_of_what_the_server_prints(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    progress = "yes $(head -c 1000 /dev/zero | tr '\\0' x) | head -c 50000000"
    install_hook(repository, "pre-receive", f"#!/bin/sh\n{progress}\necho; echo 'no thanks'\nexit 1\n")
    bucket.put(KEY, b"2")
    tracemalloc.start()
    try:
        outcome = sync()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcome.exit == 40
    assert "no thanks" in outcome.errors
    assert peak < 20 << 20  # of 50 MB


def test_push_rejected_by_a_hook_quotes_the_hook(sync: Sync, bucket: Bucket, repository: Path) -> None:
    install_hook(
        repository,
        "pre-receive",
        "#!/bin/sh\necho 'You are not allowed to push code to protected branches on this project.'\nexit 1\n",
    )
    bucket.put(KEY, b"2")
    outcome = sync()
    assert outcome.exit == 40
    (line,) = outcome.of("git_push", "error")
    assert line["message"] == "Failed to push to repository"
    assert "You are not allowed to push code to protected branches" in line["error"]
    assert contents(repository) == FIRST


def test_push_error_contains_no_secret_that_the_server_repeats(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    secret = sync.settings["MINIO_SECRET_KEY"]
    install_hook(repository, "pre-receive", f"#!/bin/sh\necho 'not allowed: {secret}'\nexit 1\n")
    bucket.put(KEY, b"2")
    outcome = sync()
    assert outcome.exit == 40
    assert secret not in outcome.text
    for path in sync.work_dir.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_push_fails_if_the_server_reports_success_and_drops_the_ref(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    tip = sha(repository)
    install_hook(repository, "post-receive", f"#!/bin/sh\ngit update-ref refs/heads/main {tip}\n")
    bucket.put(KEY, b"2")
    outcome = sync(RETRY_ATTEMPTS="1")
    assert outcome.exit == 30
    assert "the server reported success but did not update the branch" in outcome.errors


def test_push_to_a_server_with_a_lagging_replica_loses_no_commit(
    over_http: Sync, git_server: GitServer, bucket: Bucket, repository: Path, older: str
) -> None:
    replica = repository.with_name("replica.git")
    shutil.copytree(repository, replica)
    git(replica, "update-ref", "refs/heads/main", older)
    bucket.put(KEY, b"3")
    prepare(over_http, "a")
    reads = iter(range(10))  # also the first requests of the push
    git_server.serve = lambda request: (
        replica if request.service == "git-upload-pack" and next(reads, None) is not None else None
    )
    tip = sha(repository)
    assert publish(over_http, "a").exit == 0
    assert log(repository)[1] == tip, "no commit of the branch is lost"
    assert contents(repository) == FIRST | {KEY: b"3"}
    assert next(reads, None) is None


def test_push_attempts_of_a_stopped_run_are_counted(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    """The server is still checking the push when SIGTERM arrives."""
    pushed = tmp_path / "pushed"
    install_hook(repository, "pre-receive", f"#!/bin/sh\ntouch {pushed}\nsleep 60\n")
    bucket.put(KEY, b"2")
    with sync.start("run") as process:
        try:
            deadline = time.monotonic() + 60
            while not pushed.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            process.terminate()
            assert process.wait(30) == 143
        finally:
            process.kill()
    assert sync.state["last_run"]["push_attempts"] == 1
    assert sync.state["counters"]["push_attempts"] == 2, "the first one is of the earlier sync"
