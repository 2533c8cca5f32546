"""The branch moves, servers fail and lie, runs are killed and retried: one commit per change, in order."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from steps.clients.git import config
from steps.clients.git import repository as git_client
from steps.publishing import replan
from tests.support.faults import Change, nth
from tests.support.gitserver import http_git_server
from tests.support.repositories import (
    bare_repository,
    commit_files,
    contents,
    fsck,
    git,
    git_environment,
    install_hook,
    log,
    message,
    sha,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.gitbackend import GitRequest
    from tests.support.gitserver import GitServer
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Said, Sync

FIRST = {
    f"clusterbackup/{cluster}/object-{number}.yaml": b"1"
    for cluster in ("east", "west")
    for number in range(6)
}
KEY = "clusterbackup/east/object-0.yaml"


@pytest.fixture(autouse=True)
def synced(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(FIRST)
    assert sync().exit == 0


def prepare(sync: Sync, run_id: str) -> None:
    for step in ("discover", "download", "detect"):
        assert sync(step, "--run-id", run_id).exit == 0


def publish(sync: Sync, run_id: str) -> Said:
    return sync("publish", "--run-id", run_id)


def publish_again(sync: Sync, run_id: str) -> Said:
    """As after a kill between the push and the result."""
    (sync.work_dir / ".git-sync" / "runs" / run_id / "result.json").unlink()
    return publish(sync, run_id)


def result(sync: Sync, run_id: str) -> dict[str, object]:
    loaded = json.loads((sync.work_dir / ".git-sync" / "runs" / run_id / "result.json").read_text())
    assert isinstance(loaded, dict)
    return loaded


# -- somebody else pushes while we run -----------------------------------------------------------


def test_a_commit_elsewhere_in_the_repository_is_built_upon(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    theirs = commit_files(repository, {"README.md": b"theirs"})
    said = publish(sync, "a")
    assert said.exit == 0
    assert contents(repository) == FIRST | {KEY: b"2", "README.md": b"theirs"}
    assert log(repository)[1] == theirs
    assert not said.of("git_commit", "error")


def test_an_edit_under_a_cluster_loses_and_is_called_a_conflict(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    commit_files(repository, {KEY: b"theirs", "clusterbackup/west/stray": b"theirs"})
    said = publish(sync, "a")
    assert said.exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}
    conflicts = said.of("git_commit", "error")
    assert {(line["message"], line["error"]) for line in conflicts} == {
        ("Git conflict detected", f"merge conflict in {KEY}"),
        ("Git conflict detected", "merge conflict in clusterbackup/west/stray"),
    }


def test_bytes_that_this_run_never_fetched_are_taken_by_id(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    commit_files(
        repository, {"clusterbackup/west/object-3.yaml": b"theirs", "clusterbackup/west/object-4.yaml": None}
    )
    assert publish(sync, "a").exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}
    fsck(repository)


def test_bytes_that_nobody_has_are_left_for_the_next_run(sync: Sync, bucket: Bucket, tmp_path: Path) -> None:
    repository = bare_repository(tmp_path / "plain.git", partial_clone=False)
    git(repository, "config", "uploadpack.allowAnySHA1InWant", "false")
    plain = sync.with_settings(GIT_REPOSITORY=f"file://{repository}").elsewhere(tmp_path / "other")
    assert plain().exit == 0
    bucket.put(KEY, b"2")
    prepare(plain, "a")
    # A rewritten branch: what the run has not fetched is in no commit that the server still gives.
    git(repository, "update-ref", "-d", "refs/heads/main")
    commit_files(repository, {"README.md": b"theirs"})
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "--quiet", "--prune=now")
    said = publish(plain, "a")
    assert said.exit == 10
    assert contents(repository) == {"README.md": b"theirs", KEY: b"2"}
    assert plain().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2", "README.md": b"theirs"}


def test_a_branch_that_was_deleted_meanwhile_is_made_anew(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    git(repository, "update-ref", "-d", "refs/heads/main")
    said = publish(sync, "a")
    assert said.exit in {0, 10}
    assert sync().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}


# -- retries --------------------------------------------------------------------------------------


def test_a_publish_that_is_done_again_reports_the_same_commit(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    publish(sync, "a")
    first = result(sync, "a")
    assert publish_again(sync, "a").exit == 0
    assert result(sync, "a")["commit"] == first["commit"] == sha(repository)
    assert len(log(repository)) == 2


def test_the_commit_of_a_retry_is_the_same_to_the_bit(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    before = sha(repository)
    publish(sync, "a")
    commit = sha(repository)
    git(repository, "update-ref", "refs/heads/main", before)
    publish(sync, "a")
    assert sha(repository) == commit


def test_an_old_run_that_is_retried_changes_nothing(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "old")
    bucket.put(KEY, b"3")
    other = sync.elsewhere(tmp_path / "other")
    assert other().exit == 0
    commit_files(repository, {"README.md": b"theirs"})
    tip = sha(repository)
    said = publish(sync, "old")
    assert said.exit == 0
    assert sha(repository) == tip
    assert {cluster["status"] for cluster in result(sync, "old")["clusters"]} == {"superseded"}  # type: ignore[attr-defined]


def test_an_old_run_that_is_retried_after_one_that_changed_nothing_does_nothing_either(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "old")
    bucket.put(KEY, b"1")
    assert sync().exit == 0
    tip = sha(repository)
    assert publish(sync, "old").exit == 0
    assert sha(repository) == tip


def test_of_two_runs_that_read_at_the_same_time_the_first_to_publish_wins(
    faulty: Sync, proxy: S3FaultProxy, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    """Which of them has seen the newer object, no clock can tell: here the one that listed before."""
    late = faulty.elsewhere(tmp_path / "late")
    assert late("discover", "--run-id", "late").exit == 0

    def the_other_reads() -> None:
        time.sleep(1.1)  # so that it lists a second later by the server's clock
        assert late("download", "--run-id", "late").exit == 0
        bucket.put(KEY, b"3")

    bucket.put(KEY, b"2")
    proxy.install(nth(1, Change(before=the_other_reads), lambda request: request.key == KEY))
    assert faulty().exit == 0
    assert contents(repository) == FIRST | {KEY: b"3"}
    assert late("detect", "--run-id", "late").exit == 0
    said = publish(late, "late")
    assert said.exit == 0
    assert contents(repository) == FIRST | {KEY: b"3"}
    assert "east skipped: another run has published it" in said.text


def test_a_publish_that_is_done_again_tells_what_it_has_left_out(
    sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put_many({KEY: b"2", "clusterbackup/west/new.yaml": b"new"})
    prepare(sync, "a")
    bucket.put(KEY, b"3")
    assert sync.elsewhere(tmp_path / "other")("run", "--clusters", "east").exit == 0
    assert "east skipped: another run has published it" in publish(sync, "a").text
    told = result(sync, "a")["clusters"]
    publish_again(sync, "a")
    assert result(sync, "a")["clusters"] == told


def test_a_publish_that_is_done_again_tells_of_the_plan_that_was_pushed(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    """And not of one that was made in between, on a branch that was only there for a moment."""
    bucket.put_many({KEY: b"2", "clusterbackup/west/new.yaml": b"new"})
    prepare(sync, "a")
    base = sha(repository)
    commit_files(repository, {KEY: b"2"})
    install_hook(repository, "pre-receive", "#!/bin/sh\nexit 1\n")
    assert publish(sync, "a").exit == 40
    install_hook(repository, "pre-receive", "#!/bin/sh\n")
    git(repository, "update-ref", "refs/heads/main", base)
    assert publish(sync, "a").exit == 0
    told = result(sync, "a")["clusters"]
    publish_again(sync, "a")
    assert result(sync, "a")["clusters"] == told


def test_a_publish_that_is_done_again_after_a_newer_run_knows_its_commit(
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


def test_leftovers_of_a_killed_attempt_block_nothing(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put(KEY, b"2")
    for leftover in (
        "config.lock",
        "shallow.lock",
        "refs/heads/main.lock",
        "objects/pack/pack-x.keep",
        "index.lock",
    ):
        path = sync.work_dir / ".git" / leftover
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (sync.work_dir / ".gitconfig.lock").touch()
    assert sync().exit == 0
    assert contents(repository)[KEY] == b"2"


def test_a_run_id_that_is_used_again_begins_anew(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    """As when discover is retried in Argo, long after its run has ended."""
    bucket.put(KEY, b"old")
    prepare(sync, "a")
    bucket.put(KEY, b"new")
    assert sync.elsewhere(tmp_path / "other")().exit == 0
    prepare(sync, "a")
    assert publish(sync, "a").exit == 0
    assert contents(repository)[KEY] == b"new"


def test_a_manifest_of_another_cluster_is_none(sync: Sync, repository: Path) -> None:
    assert sync("discover", "--run-id", "a").exit == 0
    assert sync("download", "--run-id", "a").exit == 0
    manifests = sync.work_dir / ".git-sync" / "runs" / "a" / "manifest"
    shutil.copy(manifests / "west", manifests / "east")
    assert sync("detect").exit == 0
    assert publish(sync, "a").exit == 10
    assert contents(repository) == FIRST


def test_a_manifest_of_another_run_is_none(sync: Sync, bucket: Bucket, repository: Path) -> None:
    prepare(sync, "a")
    bucket.put(KEY, b"2")
    assert sync("discover", "--run-id", "b").exit == 0
    assert sync("download", "--run-id", "b").exit == 0
    runs = sync.work_dir / ".git-sync" / "runs"
    shutil.copy(runs / "a" / "manifest" / "east", runs / "b" / "manifest" / "east")
    assert sync("detect", "--run-id", "b").exit == 0
    assert publish(sync, "b").exit == 10
    assert contents(repository) == FIRST


def test_a_dry_run_cannot_be_asked_for_too_late(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    assert sync("publish", "--run-id", "a", DRY_RUN="true").exit == 40
    assert contents(repository) == FIRST


@pytest.mark.parametrize(
    "name", ["ns/a\nb", 'ns/a"b\\c', "ns/tab\there", "x\nM 100644 inline evil\ndata 0\n"]
)
def test_whatever_path_others_have_committed_is_deleted_like_any(
    name: str, sync: Sync, repository: Path
) -> None:
    blob = git(repository, "hash-object", "-w", "--stdin", stdin=b"x").decode().strip()
    index = {"GIT_INDEX_FILE": str(repository / "index")}
    entries = f"100644 {blob}\tclusterbackup/east/{name}\0".encode()
    tree_of = sha(repository)
    git_with(repository, index, "read-tree", tree_of)
    git_with(repository, index, "update-index", "-z", "--index-info", stdin=entries)
    tree = git_with(repository, index, "write-tree")
    commit = git(repository, "commit-tree", tree, "-p", tree_of, "-m", "theirs").decode().strip()
    git(repository, "update-ref", "refs/heads/main", commit)
    assert sync().exit == 0
    assert contents(repository) == FIRST


def git_with(repository: Path, environment: dict[str, str], *arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["git", "-C", str(repository), *arguments],
        env=git_environment() | environment,
        input=stdin,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def test_a_branch_whose_name_ends_alike_is_another_branch(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    git(repository, "update-ref", "refs/heads/a/refs/heads/main", sha(repository))
    bucket.put(KEY, b"2")
    assert sync().exit == 0
    assert sync.state["last_run"]["push_attempts"] == 1
    git(repository, "update-ref", "-d", "refs/heads/main")
    assert sync().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}


def test_somebodys_clone_or_home_is_left_alone(sync: Sync, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "init", "--quiet", str(clone))
    said = sync(WORK_DIR=str(clone))
    assert said.exit == 40
    assert "git-sync did not create" in said.errors
    assert (clone / ".git" / "HEAD").exists()
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[alias]\n\tst = status\n")
    assert sync("run", "--dry-run", WORK_DIR=str(home)).exit == 40
    assert "alias" in (home / ".gitconfig").read_text()


def test_a_full_disk_or_a_kill_does_not_make_our_own_files_somebodys(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    (sync.work_dir / ".gitconfig").write_bytes(b"")
    shutil.rmtree(sync.work_dir / ".git")
    (sync.work_dir / ".git").mkdir()
    (sync.work_dir / ".git-sync" / "old.git" / "objects").mkdir(parents=True)
    bucket.put(KEY, b"2")
    assert sync().exit == 0
    assert contents(repository)[KEY] == b"2"
    assert not (sync.work_dir / ".git-sync" / "old.git").exists()


def test_a_branch_that_cannot_be_made_needs_a_person(sync: Sync, repository: Path) -> None:
    git(repository, "update-ref", "refs/heads/backups", sha(repository))
    assert sync(GIT_BRANCH="backups/prod").exit == 40


def test_planted_repositories_hooks_and_links_have_no_effect(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    bucket.put(KEY, b"2")
    shutil.rmtree(sync.work_dir)
    outside = tmp_path / "outside"
    outside.mkdir()
    (sync.work_dir / "clusterbackup").mkdir(parents=True)
    (sync.work_dir / "clusterbackup" / "east").symlink_to(outside)
    (sync.work_dir / ".gitconfig").symlink_to(outside / "gitconfig")
    planted = bare_repository(tmp_path / "planted.git")
    for hook in ("pre-push", "reference-transaction", "post-commit"):
        script = planted / "hooks" / hook
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\ntouch {marker}\n")
        script.chmod(0o755)
    git(planted, "config", "core.fsmonitor", f"touch {marker}")
    (sync.work_dir / ".git").symlink_to(planted)
    assert sync().exit == 0
    assert contents(repository)[KEY] == b"2"
    assert not marker.exists()
    assert list(outside.iterdir()) == []
    assert planted.exists()


def test_bytes_that_changed_on_the_volume_are_not_published(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    tip = sha(repository)
    bucket.put(KEY, b"2")
    for content in (b"X", b"", b"longer"):
        prepare(sync, "a")
        (sync.work_dir / KEY).write_bytes(content)
        assert publish(sync, "a").exit == 30
        assert sha(repository) == tip
        shutil.rmtree(sync.work_dir / ".git-sync" / "runs" / "a")


def test_a_missing_manifest_is_a_failed_cluster_and_never_an_empty_one(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    assert sync("discover", "--run-id", "a").exit == 0
    assert sync("download", "--run-id", "a", "--shard", "1").exit == 0
    assert sync("detect").exit == 0
    assert publish(sync, "a").exit == 10
    assert contents(repository) == FIRST


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_manifest_is_a_failed_cluster(
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


# -- servers --------------------------------------------------------------------------------------


@pytest.fixture
def server(repository: Path) -> Iterator[GitServer]:
    with http_git_server(repository.parent, "the-token") as running:
        yield running


@pytest.fixture
def served(sync: Sync, server: GitServer, repository: Path) -> Sync:
    return sync.with_settings(
        GIT_REPOSITORY=server.url_for(repository),
        GIT_TOKEN="the-token",
        GIT_ALLOW_HTTP="true",
        RETRY_ATTEMPTS="1",
    )


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_branch_that_moves_at_each_push_is_followed(
    method: str, served: Sync, server: GitServer, bucket: Bucket, repository: Path
) -> None:
    """GET: before the push has asked where the branch is; POST: after that."""
    # With all blobs at hand a forced push would go through: without them git could not even pack it.
    git(repository, "config", "uploadpack.allowFilter", "false")
    moves = iter(range(3))

    def move(request: GitRequest) -> None:
        if request.service == "git-receive-pack" and request.method == method:
            number = next(moves, None)
            if number is not None:
                commit_files(repository, {f"theirs-{number}": b"x"})

    server.before = move
    bucket.put(KEY, b"2")
    assert served().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"} | {f"theirs-{number}": b"x" for number in range(3)}
    assert len(log(repository)) == 5, "linear, each change once"


def test_a_branch_that_is_renamed_under_a_push_is_not_revived(
    served: Sync, server: GitServer, bucket: Bucket, repository: Path
) -> None:
    once = iter([True])

    def rename(request: GitRequest) -> None:
        if request.service == "git-receive-pack" and next(once, False):
            git(repository, "branch", "-m", "main", "archive")

    server.before = rename
    bucket.put(KEY, b"2")
    assert served().exit in {0, 10}
    assert len(log(repository)) == 1, "the history that somebody has taken away stays away"
    assert served().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}


def test_a_hook_that_is_planted_while_a_run_goes_on_is_not_run(
    served: Sync, server: GitServer, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    hooks, marker = served.work_dir / ".git" / "hooks", tmp_path / "ran"

    def plant(_: GitRequest) -> None:
        hooks.mkdir(exist_ok=True)
        for name in ("reference-transaction", "pre-push"):
            (hooks / name).write_text(f"#!/bin/sh\ntouch {marker}\n")
            (hooks / name).chmod(0o755)

    server.before = plant
    (served.work_dir / ".git-sync" / "tip").unlink()
    bucket.put(KEY, b"2")
    assert served().exit == 0
    assert contents(repository)[KEY] == b"2"
    assert hooks.exists()
    assert not marker.exists()


def test_a_branch_that_never_rests_ends_the_run_as_transient(
    served: Sync, server: GitServer, bucket: Bucket, repository: Path
) -> None:
    numbers = iter(range(100))

    def move(request: GitRequest) -> None:
        if request.service == "git-receive-pack" and request.method == "POST":
            commit_files(repository, {f"theirs-{next(numbers)}": b"x"})

    server.before = move
    bucket.put(KEY, b"2")
    said = served()
    assert said.exit == 30
    assert "the branch moved during every attempt" in said.errors
    assert contents(repository)[KEY] == b"1"


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_a_push_that_landed_and_was_reported_as_failed_is_a_success(
    how: str, served: Sync, server: GitServer, bucket: Bucket, repository: Path
) -> None:
    server.lose_response(how="cut" if how == "cut" else "reset")
    bucket.put(KEY, b"2")
    said = served()
    assert said.exit == 0
    assert len(log(repository)) == 2
    assert said.complete["git_commit"] == sha(repository)


def test_a_push_that_failed_is_made_again(
    served: Sync, server: GitServer, bucket: Bucket, repository: Path
) -> None:
    server.fail_next(2, 503, "git-receive-pack")
    bucket.put(KEY, b"2")
    assert served().exit == 0
    assert contents(repository)[KEY] == b"2"
    assert served.state["last_run"]["push_attempts"] == 3


def test_a_cluster_that_another_run_has_published_says_that_the_bucket_is_not_empty(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    for key in FIRST:
        if "/west/" in key:
            bucket.delete(key)
    bucket.put(KEY, b"2")
    deleting = sync.with_settings(CLUSTER_VANISHED="delete")
    prepare(deleting, "a")
    assert sync.elsewhere(tmp_path / "other")("run", "--clusters", "east").exit == 0
    said = publish(deleting, "a")
    assert said.exit == 0, said.errors
    assert contents(repository) == {k: v for k, v in FIRST.items() if "/east/" in k} | {KEY: b"2"}


def test_a_server_that_works_on_a_push_in_near_silence_is_waited_for(
    served: Sync, bucket: Bucket, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends five bytes now and then. To hang up would undo the push, at each try anew."""
    # curl takes five seconds more to notice.
    monkeypatch.setattr(config, "_SILENCE_SECONDS", 2)
    git(repository, "config", "receive.keepAlive", "1")
    install_hook(repository, "pre-receive", "#!/bin/sh\nsleep 9\n")
    bucket.put(KEY, b"2")
    assert served().exit == 0
    assert served.state["last_run"]["push_attempts"] == 1


def test_a_server_that_never_says_where_the_branch_is_is_given_up(
    sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes connections, as a server does behind which all processes hang."""
    monkeypatch.setattr(git_client, "_LS_REMOTE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/x.git"
        said = sync(GIT_REPOSITORY=url, GIT_TOKEN="x", GIT_ALLOW_HTTP="true", RETRY_ATTEMPTS="1")
    assert said.exit == 30
    assert "git ls-remote did not finish within" in said.errors


@pytest.mark.parametrize("words", ["GH013: Push cannot contain secrets", "object exceeds the size limit", ""])
def test_a_rejecting_hook_is_not_asked_again(
    words: str, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    install_hook(repository, "pre-receive", f"#!/bin/sh\necho '{words}'\nexit 1\n")
    bucket.put(KEY, b"2")
    said = sync()
    assert said.exit == 40
    assert words in said.errors
    assert "pre-receive hook declined" in said.errors
    assert not [line for line in said.of("git_push") if "retrying" in line["message"]]


def test_a_rejecting_hook_is_heard_in_its_own_words(sync: Sync, bucket: Bucket, repository: Path) -> None:
    install_hook(
        repository,
        "pre-receive",
        "#!/bin/sh\necho 'You are not allowed to push code to protected branches on this project.'\nexit 1\n",
    )
    bucket.put(KEY, b"2")
    said = sync()
    assert said.exit == 40
    (line,) = said.of("git_push", "error")
    assert line["message"] == "Failed to push to repository"
    assert "You are not allowed to push code to protected branches" in line["error"]
    assert contents(repository) == FIRST


def test_a_secret_that_a_server_repeats_is_in_no_document(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    secret = sync.settings["MINIO_SECRET_KEY"]
    install_hook(repository, "pre-receive", f"#!/bin/sh\necho 'not allowed: {secret}'\nexit 1\n")
    bucket.put(KEY, b"2")
    said = sync()
    assert said.exit == 40
    assert secret not in said.text
    for path in sync.work_dir.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_a_server_that_says_ok_and_drops_the_ref_is_found_out(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    tip = sha(repository)
    install_hook(repository, "post-receive", f"#!/bin/sh\ngit update-ref refs/heads/main {tip}\n")
    bucket.put(KEY, b"2")
    said = sync(RETRY_ATTEMPTS="1")
    assert said.exit == 30
    assert "the server reported success but did not update the branch" in said.errors


# -- the branch is older than when the run began --------------------------------------------------


@pytest.fixture
def older(sync: Sync, bucket: Bucket, repository: Path) -> str:
    """A commit of git-sync's on the branch, between two others."""
    bucket.put(KEY, b"1, still")
    assert sync().exit == 0
    commit = sha(repository)
    bucket.put(KEY, b"2")
    assert sync().exit == 0
    return commit


def test_a_branch_that_was_set_back_meanwhile_is_built_upon(
    sync: Sync, bucket: Bucket, repository: Path, older: str
) -> None:
    bucket.put("clusterbackup/west/new.yaml", b"new")
    prepare(sync, "a")
    git(repository, "update-ref", "refs/heads/main", older)
    said = publish(sync, "a")
    assert said.exit == 0
    assert contents(repository) == FIRST | {KEY: b"2", "clusterbackup/west/new.yaml": b"new"}
    assert log(repository)[1] == older
    fsck(repository)


def test_a_branch_that_was_set_back_may_be_longer_than_what_can_be_seen_of_it(
    sync: Sync, bucket: Bucket, repository: Path, older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replan, "_HISTORY_DEPTHS", (1, 2))
    bucket.put(KEY, b"3")
    prepare(sync, "a")
    git(repository, "update-ref", "refs/heads/main", older)
    assert publish(sync, "a").exit == 0
    assert contents(repository) == FIRST | {KEY: b"3"}


def test_of_a_rewritten_branch_only_what_is_new_counts_as_published_since(
    sync: Sync, bucket: Bucket, repository: Path, older: str
) -> None:
    bucket.put(KEY, b"3")
    prepare(sync, "a")
    git(repository, "update-ref", "refs/heads/main", older)
    theirs = commit_files(repository, {"README.md": b"theirs"})
    assert publish(sync, "a").exit == 0
    assert contents(repository) == FIRST | {KEY: b"3", "README.md": b"theirs"}
    assert log(repository)[1] == theirs


def test_what_another_run_has_put_on_a_branch_that_was_set_back_is_left_alone(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path, older: str
) -> None:
    bucket.put_many({KEY: b"3", "clusterbackup/west/new.yaml": b"new"})
    prepare(sync, "a")
    git(repository, "update-ref", "refs/heads/main", older)
    bucket.put(KEY, b"4")
    assert sync.elsewhere(tmp_path / "other")("run", "--clusters", "east").exit == 0
    said = publish(sync, "a")
    assert said.exit == 0
    assert "east skipped: another run has published it" in said.text
    assert contents(repository) == FIRST | {KEY: b"4", "clusterbackup/west/new.yaml": b"new"}


def test_a_replica_that_lags_behind_holds_nothing_that_was_published_since(
    served: Sync, server: GitServer, bucket: Bucket, repository: Path
) -> None:
    replica = repository.with_name("replica.git")
    shutil.copytree(repository, replica)
    bucket.put(KEY, b"2")
    assert served().exit == 0
    bucket.put(KEY, b"3")
    prepare(served, "a")
    server.serve = lambda request: replica if request.service == "git-upload-pack" else None
    said = publish(served, "a")
    assert said.exit == 30
    assert "the server does not have commit" in said.errors
    assert contents(repository) == FIRST | {KEY: b"2"}
    server.serve = None
    assert publish(served, "a").exit == 0
    assert contents(repository) == FIRST | {KEY: b"3"}


def test_what_has_been_pushed_is_known_also_where_the_run_s_beginning_is_known_no_more(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    """The repository was made anew while the run went on, and publish was killed after its push."""
    bucket.put(KEY, b"3")
    prepare(sync, "a")
    tree_id = git(repository, "rev-parse", "main^{tree}").decode().strip()
    _move(repository, tree_id)
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "--quiet", "--prune=now")
    assert publish(sync, "a").exit == 0
    told = result(sync, "a")
    assert publish_again(sync, "a").exit == 0
    assert result(sync, "a")["commit"] == told["commit"] == sha(repository)


def test_of_a_merge_with_the_run_s_beginning_the_other_side_counts_as_published_since(
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
    said = publish(sync, "a")
    assert "east skipped: another run has published it" in said.text
    assert contents(repository) == FIRST | {KEY: b"3"}


def _move(repository: Path, tree_id: str, *parents: str) -> None:
    """Let somebody else's commit be the branch."""
    tree_id = git(repository, "rev-parse", tree_id).decode().strip()
    by = [word for parent in parents for word in ("-p", parent)]
    someone = ("-c", "user.name=x", "-c", "user.email=x@example.com")
    commit = git(repository, *someone, "commit-tree", tree_id, *by, "-m", "theirs").decode().strip()
    git(repository, "update-ref", "refs/heads/main", commit)


def test_a_forged_beginning_of_a_run_is_no_option_of_git(
    sync: Sync, bucket: Bucket, repository: Path, older: str, tmp_path: Path
) -> None:
    """The volume's other users may not have the token."""
    bucket.put(KEY, b"3")
    prepare(sync, "a")
    file, marker = sync.work_dir / ".git-sync" / "runs" / "a" / "run.json", tmp_path / "executed"
    forged = json.loads(file.read_text()) | {"base": f"--upload-pack=touch {marker}; git-upload-pack"}
    file.write_text(json.dumps(forged))
    git(repository, "update-ref", "refs/heads/main", older)
    said = publish(sync, "a")
    assert (said.exit, marker.exists()) == (40, False)
    assert "run.json is damaged" in said.errors


@pytest.mark.parametrize(("status", "exit_"), [(401, 40), (403, 40), (503, 30)])
def test_a_run_whose_beginning_cannot_be_asked_for_says_why(
    status: int, exit_: int, *, served: Sync, server: GitServer, bucket: Bucket, repository: Path, older: str
) -> None:
    bucket.put(KEY, b"3")
    prepare(served, "a")
    git(repository, "update-ref", "refs/heads/main", older)
    # Three requests ask for the branch, and four each bring it and its history: then base is asked for.
    begun = len(server.requests)
    server.answer = lambda _: status if len(server.requests) - begun > 3 + 4 + 4 else None
    said = publish(served, "a")
    assert said.exit == exit_
    assert "does not have commit" not in said.errors


def test_a_replica_that_shows_an_older_branch_makes_the_push_fail(
    served: Sync, server: GitServer, bucket: Bucket, repository: Path, older: str
) -> None:
    replica = repository.with_name("replica.git")
    shutil.copytree(repository, replica)
    git(replica, "update-ref", "refs/heads/main", older)
    bucket.put(KEY, b"3")
    prepare(served, "a")
    reads = iter(range(10))  # of the push as well, at first
    server.serve = lambda request: (
        replica if request.service == "git-upload-pack" and next(reads, None) is not None else None
    )
    tip = sha(repository)
    assert publish(served, "a").exit == 0
    assert log(repository)[1] == tip, "nothing that was there has been left out"
    assert contents(repository) == FIRST | {KEY: b"3"}
    assert next(reads, None) is None


def test_a_branch_is_asked_for_twice_before_it_counts_as_absent(
    served: Sync, server: GitServer, bucket: Bucket, repository: Path
) -> None:
    empty = bare_repository(repository.with_name("empty.git"))
    once = iter([empty])
    server.serve = lambda request: next(once, None) if request.method == "POST" else None
    bucket.put(KEY, b"2")
    assert served().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}


def test_the_message_is_the_designs(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many({KEY: b"2", "clusterbackup/west/new.yaml": b"x"})
    bucket.delete("clusterbackup/west/object-5.yaml")
    sync()
    body, _, trailers = message(repository).rstrip("\n").rpartition("\n\n")
    assert body.split("\n")[1:] == [
        "",
        "Clusters processed: 2",
        "- east: 6 files",
        "- west: 6 files",
        "",
        "Total files: 12",
        "Changes: 1 new, 1 modified, 1 deleted",
    ]
    parsed = git(repository, "log", "-1", "--format=%(trailers:only)").decode().strip()
    assert parsed == trailers
    assert [line.split(":")[0] for line in trailers.split("\n")] == [
        "Git-Sync-Run",
        "Git-Sync-Listed",
        "Git-Sync-Listed",
    ]


def test_history_is_linear_and_sound_over_many_runs(sync: Sync, bucket: Bucket, repository: Path) -> None:
    for number in range(4):
        bucket.put(KEY, b"%d" % number)
        bucket.put(f"clusterbackup/west/new-{number}", os.urandom(100))
        assert sync().exit == 0
    fsck(repository)
    assert git(repository, "rev-list", "--min-parents=2", "main") == b""
    assert len(log(repository)) == 5
