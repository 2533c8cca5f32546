"""publish as a whole: repeated, with damaged inputs, on a branch that keeps moving."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.repositories import (
    commit_files,
    contents,
    fsck,
    git,
    install_hook,
    log,
    sha,
)
from tests.support.steps import FIRST, KEY, prepare, publish, publish_again, result

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.gitbackend import GitRequest
    from tests.support.gitserver import GitServer
    from tests.support.sync import Sync

pytestmark = pytest.mark.usefixtures("synced")


def test_repeated_publish_reports_the_same_commit(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    publish(sync, "a")
    first = result(sync, "a")
    assert publish_again(sync, "a").exit == 0
    assert result(sync, "a")["commit"] == first["commit"] == sha(repository)
    assert len(log(repository)) == 2


def test_repeated_publish_reports_the_same_superseded_clusters(
    sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put_many({KEY: b"2", "clusterbackup/west/new.yaml": b"new"})
    prepare(sync, "a")
    bucket.put(KEY, b"3")
    assert sync.elsewhere(tmp_path / "other")("run", "--clusters", "east").exit == 0
    assert "east skipped: another run has published it" in publish(sync, "a").text
    first = result(sync, "a")["clusters"]
    publish_again(sync, "a")
    assert result(sync, "a")["clusters"] == first


def test_repeated_publish_reports_the_pushed_plan_and_not_an_earlier_replan(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    """Another user had moved the branch only briefly, and the replan was made on it."""
    bucket.put_many({KEY: b"2", "clusterbackup/west/new.yaml": b"new"})
    prepare(sync, "a")
    base = sha(repository)
    commit_files(repository, {KEY: b"2"})
    install_hook(repository, "pre-receive", "#!/bin/sh\nexit 1\n")
    assert publish(sync, "a").exit == 40
    install_hook(repository, "pre-receive", "#!/bin/sh\n")
    git(repository, "update-ref", "refs/heads/main", base)
    assert publish(sync, "a").exit == 0
    first = result(sync, "a")["clusters"]
    publish_again(sync, "a")
    assert result(sync, "a")["clusters"] == first


def test_repeated_publish_after_a_newer_run_finds_its_own_commit(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    publish(sync, "a")
    commit = sha(repository)
    (sync.work_dir / ".git-sync" / "runs" / "a" / "result.json").unlink()
    bucket.put(KEY, b"3")
    assert sync().exit == 0
    assert publish(sync, "a").exit == 0
    assert result(sync, "a")["commit"] == commit
    assert contents(repository) == FIRST | {KEY: b"3"}


def test_reused_run_id_starts_from_the_current_bucket(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    """Argo can retry discover long after its run has ended."""
    bucket.put(KEY, b"old")
    prepare(sync, "a")
    bucket.put(KEY, b"new")
    assert sync.elsewhere(tmp_path / "other")().exit == 0
    prepare(sync, "a")
    assert publish(sync, "a").exit == 0
    assert contents(repository)[KEY] == b"new"


def test_publish_refuses_dry_run_for_a_run_that_was_discovered_without_it(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    assert sync("publish", "--run-id", "a", DRY_RUN="true").exit == 40
    assert contents(repository) == FIRST


def test_publish_fails_as_transient_if_the_branch_moves_during_every_attempt(
    over_http: Sync, git_server: GitServer, bucket: Bucket, repository: Path
) -> None:
    numbers = iter(range(100))

    def move(request: GitRequest) -> None:
        if request.service == "git-receive-pack" and request.method == "POST":
            commit_files(repository, {f"theirs-{next(numbers)}": b"x"})

    git_server.before = move
    bucket.put(KEY, b"2")
    outcome = over_http()
    assert outcome.exit == 30
    assert "the branch moved during every attempt" in outcome.errors
    assert contents(repository)[KEY] == b"1"


def test_history_stays_linear_and_sound_over_many_runs(sync: Sync, bucket: Bucket, repository: Path) -> None:
    for number in range(4):
        bucket.put(KEY, b"%d" % number)
        bucket.put(f"clusterbackup/west/new-{number}", os.urandom(100))
        assert sync().exit == 0
    fsck(repository)
    assert git(repository, "rev-list", "--min-parents=2", "main") == b""
    assert len(log(repository)) == 5
