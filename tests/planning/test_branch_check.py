"""The branch guard: a branch that has lost the last pushed commit is not continued without an approval."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace as replaced
from typing import TYPE_CHECKING

import pytest

from steps.runtime import retry
from tests.support.repositories import (
    bare_repository,
    branches,
    commit_files,
    contents,
    git,
    log,
    message,
    sha,
)
from tests.support.steps import FIRST, KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.gitserver import GitServer
    from tests.support.sync import CommandResult, Sync

pytestmark = pytest.mark.usefixtures("synced")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "REPLICAS", replaced(retry.REPLICAS, first_pause=0.01))


WEST = "clusterbackup/west/"
MAIN = "refs/heads/main"


def rename(repository: Path) -> None:
    git(repository, "branch", "-m", "main", "trunk")


def replace(repository: Path) -> None:
    git(repository, "update-ref", "-d", MAIN)
    commit_files(repository, {"README.md": b"another history"})


def squash(repository: Path) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.com")
    commit = git(repository, *identity, "commit-tree", f"{MAIN}^{{tree}}", "-m", "squashed").decode().strip()
    git(repository, "update-ref", MAIN, commit)


def rewind(repository: Path) -> None:
    git(repository, "update-ref", MAIN, f"{MAIN}~1")


def create_again(repository: Path) -> None:
    shutil.rmtree(repository)
    bare_repository(repository)


LOSSES = (rename, replace, squash, rewind, create_again)


def approval(result: CommandResult) -> list[str]:
    found = re.search(r"git-sync run (--allow-new-branch \S+)$", result.of("git_clone", "error")[0]["error"])
    assert found
    return shlex.split(found[1])


@pytest.mark.parametrize("lose", LOSSES)
def test_run_refuses_a_branch_without_the_last_pushed_commit_until_it_is_approved(
    lose: Callable[[Path], None], sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    assert sync().exit == 0
    pushed = sha(repository)
    lose(repository)
    before = branches(repository)
    for result in (sync(), sync()):
        assert result.exit == 20
        assert branches(repository) == before
        (error,) = result.of("git_clone", "error")
        assert f"branch main of file://{repository}" in error["error"]
        assert pushed in error["error"]
        assert error["data"]["loss"] == ("replaced" if before.get("main") else "gone")
        assert sync("health").exit == 1
    assert pushed in sync("health").errors
    assert sync("run", "--dry-run").exit == 0
    assert sync("run", "--allow-new-branch", "0" * 16).exit == 20
    assert branches(repository) == before
    assert sync("run", *approval(sync())).exit == 0
    assert {p: c for p, c in contents(repository).items() if p in FIRST} == FIRST | {KEY: b"2"}
    assert sync("health").exit == 0
    assert sync().exit == 0, "one approval is enough"


def test_refused_deletions_stay_refused_after_the_branch_was_renamed(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    for key in bucket.keys(WEST):
        bucket.delete(key)
    assert sync().exit == 20
    rename(repository)
    result = sync()
    assert result.exit == 20
    assert branches(repository).keys() == {"trunk"}
    assert "files whose deletion was refused: 6 files of west" in result.errors
    git(repository, "branch", "-m", "trunk", "main")
    assert sync().exit == 20
    assert sync.state["lost_branch"] is None
    assert contents(repository) == FIRST


def test_approval_of_one_lost_commit_approves_no_other_one(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    rename(repository)
    approved = approval(sync())
    assert sync("run", *approved).exit == 0
    bucket.put(KEY, b"2")
    assert sync().exit == 0
    git(repository, "update-ref", "-d", MAIN)
    assert sync("run", *approved).exit == 20


def test_run_after_many_commits_of_other_users_finds_the_last_pushed_commit(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    tree, commit = f"{MAIN}^{{tree}}", sha(repository)
    for number in range(60):
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        made = git(repository, *identity, "commit-tree", tree, "-p", commit, "-m", f"theirs {number}")
        commit = made.decode().strip()
    git(repository, "update-ref", MAIN, commit)
    commit_files(repository, {KEY: b"edited"})
    bucket.put("clusterbackup/east/new.yaml", b"new")
    assert sync().exit == 0
    assert contents(repository) == FIRST | {"clusterbackup/east/new.yaml": b"new"}


def test_run_after_a_forced_push_on_top_of_the_last_pushed_commit_continues(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    pushed = sha(repository)
    commit_files(repository, {"README.md": b"theirs"})
    assert sync().exit == 0
    git(repository, "update-ref", MAIN, pushed)
    commit_files(repository, {"README.md": b"amended"})
    bucket.put(KEY, b"2")
    assert sync().exit == 0
    assert log(repository)[-1] == pushed


def test_run_with_another_branch_or_repository_is_a_first_run(
    sync: Sync, repository: Path, tmp_path: Path
) -> None:
    assert sync(GIT_BRANCH="backups").exit == 0
    other = bare_repository(tmp_path / "other.git")
    assert sync(GIT_REPOSITORY=f"file://{other}").exit == 0
    assert contents(other) == contents(repository, "backups") == FIRST


@pytest.mark.parametrize("source", ["state", "volume"])
def test_state_and_volume_each_know_the_last_push(source: str, sync: Sync, repository: Path) -> None:
    kept = sync.work_dir / {"state": "sync-metadata.json", "volume": ".git-sync/last-push.json"}[source]
    content = kept.read_bytes()
    shutil.rmtree(sync.work_dir)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(content)
    rename(repository)
    assert sync().exit == 20


def test_loss_of_work_dir_or_a_damaged_file_blocks_no_run(sync: Sync, repository: Path) -> None:
    (sync.work_dir / ".git-sync" / "last-push.json").write_text("{")
    (sync.work_dir / ".git-sync" / "tip").unlink()
    assert sync().exit == 0
    shutil.rmtree(sync.work_dir)
    rename(repository)
    assert sync().exit == 0
    assert contents(repository) == FIRST


def test_check_costs_a_run_on_the_last_pushed_commit_no_request(
    over_http: Sync, git_server: GitServer, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    assert over_http().exit == 0

    def requests() -> int:
        begun = len(git_server.requests)
        (over_http.work_dir / ".git-sync" / "tip").unlink(missing_ok=True)
        assert over_http().exit == 0
        return len(git_server.requests) - begun

    checked = requests()
    (over_http.work_dir / ".git-sync" / "last-push.json").unlink()
    state = over_http.work_dir / "sync-metadata.json"
    state.write_text(json.dumps(over_http.state | {"last_push": None}))
    assert requests() == checked
    assert "Git-Sync-Run" in message(repository)


@pytest.mark.parametrize("replica", ["behind", "empty"])
def test_run_asks_again_while_a_replica_lacks_the_last_push(
    replica: str, *, over_http: Sync, git_server: GitServer, bucket: Bucket, repository: Path
) -> None:
    lagging = repository.with_name("replica.git")
    if replica == "empty":
        bare_repository(lagging)
    else:
        shutil.copytree(repository, lagging)
    bucket.put(KEY, b"2")
    assert over_http().exit == 0
    pushed = sha(repository)
    bucket.put(KEY, b"3")
    (over_http.work_dir / ".git-sync" / "tip").unlink()
    left = iter(range(8))  # requests: about three fetches
    git_server.serve = lambda _: None if next(left, None) is None else lagging
    assert over_http().exit == 0
    assert next(left, None) is None
    assert log(repository)[1] == pushed
    assert contents(repository) == FIRST | {KEY: b"3"}


def test_approved_run_that_dies_before_publish_approves_no_later_run(sync: Sync, repository: Path) -> None:
    squash(repository)
    approved = approval(sync())
    assert sync("discover", *approved).exit == 0
    assert sync().exit == 20
    assert sync("run", *approved).exit == 0
