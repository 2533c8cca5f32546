"""publish as a whole: repeated, with damaged inputs, on a branch that keeps moving."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.repositories import (
    bare_repository,
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


def test_manifest_of_another_cluster_fails_its_cluster(sync: Sync, repository: Path) -> None:
    assert sync("discover", "--run-id", "a").exit == 0
    assert sync("download", "--run-id", "a").exit == 0
    manifests = sync.work_dir / ".git-sync" / "runs" / "a" / "manifest"
    shutil.copy(manifests / "west", manifests / "east")
    assert sync("detect").exit == 0
    assert publish(sync, "a").exit == 10
    assert contents(repository) == FIRST


def test_manifest_of_another_run_fails_its_cluster(sync: Sync, bucket: Bucket, repository: Path) -> None:
    prepare(sync, "a")
    bucket.put(KEY, b"2")
    assert sync("discover", "--run-id", "b").exit == 0
    assert sync("download", "--run-id", "b").exit == 0
    runs = sync.work_dir / ".git-sync" / "runs"
    shutil.copy(runs / "a" / "manifest" / "east", runs / "b" / "manifest" / "east")
    assert sync("detect", "--run-id", "b").exit == 0
    assert publish(sync, "b").exit == 10
    assert contents(repository) == FIRST


def test_publish_refuses_dry_run_for_a_run_that_was_discovered_without_it(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    assert sync("publish", "--run-id", "a", DRY_RUN="true").exit == 40
    assert contents(repository) == FIRST


def test_missing_manifest_fails_its_cluster_and_deletes_nothing(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    assert sync("discover", "--run-id", "a").exit == 0
    assert sync("download", "--run-id", "a", "--shard", "1").exit == 0
    assert sync("detect").exit == 0
    assert publish(sync, "a").exit == 10
    assert contents(repository) == FIRST


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_damaged_manifest_fails_its_cluster(
    damage: str, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    assert sync("discover", "--run-id", "a").exit == 0
    assert sync("download", "--run-id", "a").exit == 0
    manifest = sync.work_dir / ".git-sync" / "runs" / "a" / "manifest" / "east"
    whole = manifest.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    manifest.write_bytes({"truncate": whole[: len(whole) // 2], "flip": bytes(flipped), "empty": b""}[damage])
    assert sync("detect").exit == 0
    assert publish(sync, "a").exit == 10
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


def test_branch_counts_as_absent_only_after_two_empty_answers(
    over_http: Sync, git_server: GitServer, bucket: Bucket, repository: Path
) -> None:
    empty = bare_repository(repository.with_name("empty.git"))
    once = iter([empty])
    git_server.serve = lambda request: next(once, None) if request.method == "POST" else None
    bucket.put(KEY, b"2")
    assert over_http().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}


def test_history_stays_linear_and_sound_over_many_runs(sync: Sync, bucket: Bucket, repository: Path) -> None:
    for number in range(4):
        bucket.put(KEY, b"%d" % number)
        bucket.put(f"clusterbackup/west/new-{number}", os.urandom(100))
        assert sync().exit == 0
    fsck(repository)
    assert git(repository, "rev-list", "--min-parents=2", "main") == b""
    assert len(log(repository)) == 5
