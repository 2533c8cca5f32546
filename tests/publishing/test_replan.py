"""Planning again: the branch moved, was reset or rewritten, or other runs have published since."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from steps.publishing import replan
from tests.support.faults import Change, nth
from tests.support.repositories import (
    bare_repository,
    branches,
    commit_files,
    contents,
    fsck,
    git,
    log,
    sha,
)
from tests.support.steps import FIRST, KEY, forget_last_push, prepare, publish, publish_again, result

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.gitserver import GitServer
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Sync

pytestmark = pytest.mark.usefixtures("synced")


def test_replan_builds_on_commits_outside_git_path(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    theirs = commit_files(repository, {"README.md": b"theirs"})
    outcome = publish(sync, "a")
    assert outcome.exit == 0
    assert contents(repository) == FIRST | {KEY: b"2", "README.md": b"theirs"}
    assert log(repository)[1] == theirs
    assert not outcome.of("git_commit", "error")


def test_replan_fetches_missing_blobs_by_id(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    commit_files(
        repository, {"clusterbackup/west/object-3.yaml": b"theirs", "clusterbackup/west/object-4.yaml": None}
    )
    assert publish(sync, "a").exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}
    fsck(repository)


def test_replan_leaves_changes_without_bytes_for_the_next_run(
    sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    repository = bare_repository(tmp_path / "plain.git", partial_clone=False)
    git(repository, "config", "uploadpack.allowAnySHA1InWant", "false")
    plain = sync.with_settings(GIT_REPOSITORY=f"file://{repository}").elsewhere(tmp_path / "other")
    assert plain().exit == 0
    bucket.put(KEY, b"2")
    forget_last_push(plain)
    prepare(plain, "a")
    # The branch is rewritten: what this run has not downloaded is in no commit that the server still has.
    git(repository, "update-ref", "-d", "refs/heads/main")
    commit_files(repository, {"README.md": b"theirs"})
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "--quiet", "--prune=now")
    outcome = publish(plain, "a")
    assert outcome.exit == 10
    assert contents(repository) == {"README.md": b"theirs", KEY: b"2"}
    assert plain().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2", "README.md": b"theirs"}


def test_replan_recreates_a_branch_deleted_during_the_run(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    forget_last_push(sync)
    prepare(sync, "a")
    git(repository, "update-ref", "-d", "refs/heads/main")
    outcome = publish(sync, "a")
    assert outcome.exit in {0, 10}
    assert sync().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}


def test_publish_does_not_continue_on_a_branch_that_loses_the_last_push_during_the_run(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    git(repository, "branch", "-m", "main", "trunk")
    outcome = publish(sync, "a")
    assert outcome.exit == 30
    assert "branch main has lost commit" in outcome.errors
    assert branches(repository).keys() == {"trunk"}
    git(repository, "branch", "-m", "trunk", "main")
    assert publish(sync, "a").exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}


def test_old_run_is_superseded_by_a_newer_commit(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "old")
    bucket.put(KEY, b"3")
    other = sync.elsewhere(tmp_path / "other")
    assert other().exit == 0
    commit_files(repository, {"README.md": b"theirs"})
    tip = sha(repository)
    outcome = publish(sync, "old")
    assert outcome.exit == 0
    assert sha(repository) == tip
    assert {cluster["status"] for cluster in result(sync, "old")["clusters"]} == {"superseded"}


def test_old_run_is_superseded_by_a_newer_run_without_changes(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "old")
    bucket.put(KEY, b"1")
    assert sync().exit == 0
    tip = sha(repository)
    assert publish(sync, "old").exit == 0
    assert sha(repository) == tip


def test_first_of_two_concurrent_runs_to_publish_wins(
    faulty: Sync, proxy: S3FaultProxy, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    """Listing times do not decide: here the run that listed first has read the newer object."""
    late = faulty.elsewhere(tmp_path / "late")
    assert late("discover", "--run-id", "late").exit == 0

    def the_other_reads() -> None:
        time.sleep(1.1)  # it must list a second later by the S3 server's clock
        assert late("download", "--run-id", "late").exit == 0
        bucket.put(KEY, b"3")

    bucket.put(KEY, b"2")
    proxy.install(nth(1, Change(before=the_other_reads), lambda request: request.key == KEY))
    assert faulty().exit == 0
    assert contents(repository) == FIRST | {KEY: b"3"}
    assert late("detect", "--run-id", "late").exit == 0
    outcome = publish(late, "late")
    assert outcome.exit == 0
    assert contents(repository) == FIRST | {KEY: b"3"}
    assert "east skipped: another run has published it" in outcome.text


def test_superseded_cluster_proves_that_the_bucket_is_not_empty(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    for key in FIRST:
        if "/west/" in key:
            bucket.delete(key)
    bucket.put(KEY, b"2")
    deleting = sync.with_settings(CLUSTER_VANISHED="delete")
    prepare(deleting, "a")
    assert sync.elsewhere(tmp_path / "other")("run", "--clusters", "east").exit == 0
    outcome = publish(deleting, "a")
    assert outcome.exit == 0, outcome.errors
    assert contents(repository) == {k: v for k, v in FIRST.items() if "/east/" in k} | {KEY: b"2"}


def test_replan_builds_on_a_branch_reset_during_the_run(
    sync: Sync, bucket: Bucket, repository: Path, older: str
) -> None:
    bucket.put("clusterbackup/west/new.yaml", b"new")
    forget_last_push(sync)
    prepare(sync, "a")
    git(repository, "update-ref", "refs/heads/main", older)
    outcome = publish(sync, "a")
    assert outcome.exit == 0
    assert contents(repository) == FIRST | {KEY: b"2", "clusterbackup/west/new.yaml": b"new"}
    assert log(repository)[1] == older
    fsck(repository)


def test_replan_handles_a_reset_branch_longer_than_the_fetched_history(
    sync: Sync, bucket: Bucket, repository: Path, older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replan, "_HISTORY_DEPTHS", (1, 2))
    bucket.put(KEY, b"3")
    forget_last_push(sync)
    prepare(sync, "a")
    git(repository, "update-ref", "refs/heads/main", older)
    assert publish(sync, "a").exit == 0
    assert contents(repository) == FIRST | {KEY: b"3"}


def test_history_since_base_leaves_out_old_commits_of_a_rewritten_branch(
    sync: Sync, bucket: Bucket, repository: Path, older: str
) -> None:
    bucket.put(KEY, b"3")
    forget_last_push(sync)
    prepare(sync, "a")
    git(repository, "update-ref", "refs/heads/main", older)
    theirs = commit_files(repository, {"README.md": b"theirs"})
    assert publish(sync, "a").exit == 0
    assert contents(repository) == FIRST | {KEY: b"3", "README.md": b"theirs"}
    assert log(repository)[1] == theirs


def test_replan_skips_clusters_that_another_run_published_on_a_reset_branch(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path, older: str
) -> None:
    bucket.put_many({KEY: b"3", "clusterbackup/west/new.yaml": b"new"})
    forget_last_push(sync)
    prepare(sync, "a")
    git(repository, "update-ref", "refs/heads/main", older)
    bucket.put(KEY, b"4")
    assert sync.elsewhere(tmp_path / "other")("run", "--clusters", "east").exit == 0
    outcome = publish(sync, "a")
    assert outcome.exit == 0
    assert "east skipped: another run has published it" in outcome.text
    assert contents(repository) == FIRST | {KEY: b"4", "clusterbackup/west/new.yaml": b"new"}


def test_replan_fails_as_transient_on_a_replica_without_the_base(
    over_http: Sync, git_server: GitServer, bucket: Bucket, repository: Path
) -> None:
    replica = repository.with_name("replica.git")
    shutil.copytree(repository, replica)
    bucket.put(KEY, b"2")
    assert over_http().exit == 0
    bucket.put(KEY, b"3")
    prepare(over_http, "a")
    git_server.serve = lambda request: replica if request.service == "git-upload-pack" else None
    outcome = publish(over_http, "a")
    assert outcome.exit == 30
    assert "the server does not have commit" in outcome.errors
    assert contents(repository) == FIRST | {KEY: b"2"}
    git_server.serve = None
    assert publish(over_http, "a").exit == 0
    assert contents(repository) == FIRST | {KEY: b"3"}


def test_repeated_publish_finds_its_commit_on_a_server_without_the_base(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    """The repository was created again during the run, and publish was killed after its push."""
    bucket.put(KEY, b"3")
    forget_last_push(sync)
    prepare(sync, "a")
    tree_id = git(repository, "rev-parse", "main^{tree}").decode().strip()
    _move(repository, tree_id)
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "--quiet", "--prune=now")
    assert publish(sync, "a").exit == 0
    first = result(sync, "a")
    assert publish_again(sync, "a").exit == 0
    assert result(sync, "a")["commit"] == first["commit"] == sha(repository)


def test_history_since_base_contains_the_other_side_of_a_merge(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    fork = sha(repository)
    base = commit_files(repository, {"README.md": b"theirs"})
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    git(repository, "update-ref", "refs/heads/main", fork)
    bucket.put(KEY, b"3")
    assert sync.elsewhere(tmp_path / "other")().exit == 0
    theirs = sha(repository)
    _move(repository, f"{theirs}^{{tree}}", theirs, base)
    outcome = publish(sync, "a")
    assert "east skipped: another run has published it" in outcome.text
    assert contents(repository) == FIRST | {KEY: b"3"}


def _move(repository: Path, tree_id: str, *parents: str) -> None:
    """Set the branch to a new commit by another user."""
    tree_id = git(repository, "rev-parse", tree_id).decode().strip()
    by = [word for parent in parents for word in ("-p", parent)]
    someone = ("-c", "user.name=x", "-c", "user.email=x@example.com")
    commit = git(repository, *someone, "commit-tree", tree_id, *by, "-m", "theirs").decode().strip()
    git(repository, "update-ref", "refs/heads/main", commit)


def test_forged_base_is_not_used_as_an_option_of_git(
    sync: Sync, bucket: Bucket, repository: Path, older: str, tmp_path: Path
) -> None:
    """Other users of the volume must not obtain the token."""
    bucket.put(KEY, b"3")
    prepare(sync, "a")
    file, marker = sync.work_dir / ".git-sync" / "runs" / "a" / "run.json", tmp_path / "executed"
    forged = json.loads(file.read_text()) | {"base": f"--upload-pack=touch {marker}; git-upload-pack"}
    file.write_text(json.dumps(forged))
    git(repository, "update-ref", "refs/heads/main", older)
    outcome = publish(sync, "a")
    assert (outcome.exit, marker.exists()) == (40, False)
    assert "run.json is damaged" in outcome.errors


@pytest.mark.parametrize(("status", "exit_"), [(401, 40), (403, 40), (503, 30)])
def test_replan_reports_why_the_base_cannot_be_fetched(
    status: int,
    exit_: int,
    *,
    over_http: Sync,
    git_server: GitServer,
    bucket: Bucket,
    repository: Path,
    older: str,
) -> None:
    bucket.put(KEY, b"3")
    prepare(over_http, "a")
    git(repository, "update-ref", "refs/heads/main", older)
    # Three requests list the branch, four fetch it and four fetch its history. Then git asks for the base.
    begun = len(git_server.requests)
    git_server.answer = lambda _: status if len(git_server.requests) - begun > 3 + 4 + 4 else None
    outcome = publish(over_http, "a")
    assert outcome.exit == exit_
    assert "does not have commit" not in outcome.errors
