"""Files that other users push below GIT_PATH, and that no run has written."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from steps.publishing import foreign
from tests.support.faults import Change, when
from tests.support.repositories import commit_files, contents, git, sha
from tests.support.steps import FIRST, forget_last_push

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import CommandResult, Sync

pytestmark = pytest.mark.usefixtures("synced")

GHOST = {"clusterbackup/ghost/x.yaml": b"pushed by a person"}
# More than MAX_DELETE_COUNT and MAX_DELETE_PERCENT allow.
STRAYS = {f"clusterbackup/east/strays/{number}.yaml": b"%d" % number for number in range(30)}


def foreign_lines(result: CommandResult) -> list[dict[str, Any]]:
    return [line for line in result.of("detect_changes") if "foreign file" in line["message"]]


def cluster_state(sync: Sync, name: str) -> dict[str, Any]:
    state = json.loads((sync.work_dir / "sync-metadata.json").read_text())
    found = state["clusters"][name]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(("strays", "cluster"), [(GHOST, "ghost"), (STRAYS, "east")])
def test_foreign_files_are_kept_and_reported_once_as_a_warning(
    strays: dict[str, bytes], cluster: str, *, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    commit_files(repository, strays)
    first = sync()
    assert first.exit == 0
    assert first.errors == ""
    (line,) = foreign_lines(first)
    assert line["level"] == "warning"
    assert line["message"].startswith(f"{cluster}: {len(strays)} foreign file")
    assert {file["path"] for file in cluster_state(sync, cluster)["foreign"]} == {
        path.removeprefix("clusterbackup/") for path in strays
    }
    assert not cluster_state(sync, cluster)["missing"]
    bucket.put("clusterbackup/west/new", b"new")
    second = sync()
    assert second.exit == 0
    assert [line["level"] for line in foreign_lines(second)] == ["info"]
    assert contents(repository) == FIRST | strays | {"clusterbackup/west/new": b"new"}


@pytest.mark.parametrize("strays", [GHOST, STRAYS])
def test_foreign_files_are_removed_if_the_setting_says_so(
    strays: dict[str, bytes], sync: Sync, repository: Path
) -> None:
    commit_files(repository, strays)
    result = sync(FOREIGN_FILES="remove")
    assert result.exit == 0
    assert contents(repository) == FIRST
    assert "removed" in foreign_lines(result)[0]["message"]
    assert not foreign_lines(sync(FOREIGN_FILES="remove"))


def test_foreign_files_that_a_run_has_kept_are_removed_later(sync: Sync, repository: Path) -> None:
    commit_files(repository, GHOST)
    assert sync().exit == 0
    assert sync(FOREIGN_FILES="remove").exit == 0
    assert contents(repository) == FIRST


def test_foreign_files_stay_when_their_cluster_has_grown(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    commit_files(repository, STRAYS)
    assert sync().exit == 0
    grown = {f"clusterbackup/east/more/{number}.yaml": b"x" for number in range(200)}
    bucket.put_many(grown)
    assert sync().exit == 0
    assert sync().exit == 0
    assert contents(repository) == FIRST | STRAYS | grown


def test_foreign_file_that_appears_in_the_bucket_becomes_a_backup(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    commit_files(repository, GHOST)
    assert sync().exit == 0
    bucket.put("clusterbackup/ghost/x.yaml", b"from the bucket")
    result = sync()
    assert result.exit == 0
    assert not foreign_lines(result)
    assert contents(repository)["clusterbackup/ghost/x.yaml"] == b"from the bucket"
    bucket.delete("clusterbackup/ghost/x.yaml")
    assert sync().exit == 20


def test_vanished_cluster_is_refused_beside_foreign_files(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    commit_files(repository, GHOST | {"clusterbackup/east/stray": b"x"})
    east = [key for key in FIRST if "/east/" in key]
    for key in east:
        bucket.delete(key)
    for setting in ("keep", "remove"):
        result = sync(FOREIGN_FILES=setting)
        assert result.exit == 20
        assert f"Refused to delete {len(east)} files of east" in result.errors
        assert set(FIRST) <= set(contents(repository))


def test_refused_deletions_beside_a_foreign_file_can_be_approved(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    lost = {f"clusterbackup/east/lost/{number}.yaml": b"x" for number in range(30)}
    bucket.put_many(lost)
    assert sync().exit == 0
    stray = {"clusterbackup/east/stray": b"pushed by a person"}
    commit_files(repository, stray)
    for key in lost:
        bucket.delete(key)
    refused = sync()
    assert refused.exit == 20
    assert "Refused to delete 30 files of east" in refused.errors
    (error,) = refused.of("detect_changes", "error")
    assert sync("run", "--allow-delete", error["data"]["allow_delete"]).exit == 0
    assert contents(repository) == FIRST | stray


def test_ordinary_deletion_beside_many_foreign_files_is_made(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    commit_files(repository, STRAYS)
    assert sync().exit == 0
    (deleted, *_) = FIRST
    bucket.delete(deleted)
    assert sync().exit == 0
    assert contents(repository).keys() == (FIRST | STRAYS).keys() - {deleted}


@pytest.mark.parametrize("message", ["x\n\nGit-Sync-Run: 1", "x\n\nGit-Sync-Run: forged\nGit-Sync-Listed: a"])
@pytest.mark.parametrize("setting", ["keep", "remove"])
def test_forged_trailer_keeps_the_refusal(
    message: str, setting: str, *, sync: Sync, repository: Path
) -> None:
    commit_files(repository, GHOST, message)
    assert sync(FOREIGN_FILES=setting).exit == 20
    assert contents(repository) == FIRST | GHOST


def test_file_that_a_run_has_deleted_and_another_user_has_restored_is_not_foreign(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    east = {path: data for path, data in FIRST.items() if "/east/" in path}
    for key in east:
        bucket.delete(key)
    assert sync(CLUSTER_VANISHED="delete").exit == 0
    commit_files(repository, east)
    for setting in ("keep", "remove"):
        assert sync(FOREIGN_FILES=setting).exit == 20
        assert contents(repository) == FIRST


@pytest.mark.parametrize("setting", ["keep", "remove"])
def test_backups_of_a_replaced_history_are_not_foreign(
    setting: str, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    """Another user has squashed the history, so no commit names the runs that wrote the files."""
    tree = git(repository, "rev-parse", "main^{tree}").decode().strip()
    squashed = git(repository, "commit-tree", tree, "-m", "all backups").decode().strip()
    git(repository, "update-ref", "refs/heads/main", squashed)
    forget_last_push(sync)
    bucket.put("clusterbackup/west/new", b"new")
    assert sync().exit == 0
    for key in [key for key in FIRST if "/east/" in key]:
        bucket.delete(key)
    assert sync(FOREIGN_FILES=setting).exit == 20
    assert set(FIRST) <= set(contents(repository))


def test_foreign_file_in_the_place_of_a_directory_is_refused(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    commit_files(repository, {**dict.fromkeys(STRAYS, b"x"), "clusterbackup/east/dir": b"a file"})
    bucket.put("clusterbackup/east/dir/object", b"x")
    result = sync(MAX_DELETE_COUNT="0", MAX_DELETE_PERCENT="0")
    assert result.exit == 20
    assert "Refused to delete 1 file of east" in result.errors


def test_file_directly_under_git_path_is_ignored(sync: Sync, repository: Path) -> None:
    commit_files(repository, {"clusterbackup/README.md": b"about"})
    result = sync()
    assert result.exit == 0
    assert not foreign_lines(result)
    assert contents(repository)["clusterbackup/README.md"] == b"about"


def reads_history(result: CommandResult) -> bool:
    return any("--depth=1000" in line["data"]["arguments"] for line in result.of("git_command"))


def test_run_reads_the_history_only_for_deletions_that_are_refused_for_the_first_time(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put("clusterbackup/west/new", b"new")
    assert not reads_history(sync(LOG_LEVEL="debug"))
    commit_files(repository, GHOST)
    assert reads_history(sync(LOG_LEVEL="debug"))
    assert not reads_history(sync(LOG_LEVEL="debug"))
    for key in [key for key in FIRST if "/east/" in key]:
        bucket.delete(key)
    first, second = sync(LOG_LEVEL="debug"), sync(LOG_LEVEL="debug")
    assert (first.exit, second.exit) == (20, 20)
    assert reads_history(first)
    assert not reads_history(second)


def test_foreign_files_are_found_after_a_run_with_an_empty_bucket(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    commit_files(repository, GHOST)
    bucket.clear()
    assert sync().exit == 20
    bucket.put_many(FIRST)
    assert sync().exit == 0
    assert contents(repository) == FIRST | GHOST


def test_dry_run_reports_a_foreign_file_as_a_refused_deletion(sync: Sync, repository: Path) -> None:
    before = commit_files(repository, GHOST)
    result = sync("run", "--dry-run", FOREIGN_FILES="remove")
    assert result.exit == 0
    assert "Refused to delete 1 file of ghost" in result.errors
    assert sha(repository) == before


def test_foreign_file_is_not_removed_if_the_bucket_has_it_but_does_not_list_it(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(FIRST)
    assert faulty().exit == 0
    (ghost,) = GHOST
    bucket.put(ghost, b"an object")
    commit_files(repository, GHOST)
    empty = Change(body=lambda xml: re.sub(rb"<Contents>.*</Contents>", b"", xml))
    proxy.install(when(lambda r: r.is_list and r.query.get("prefix") == "clusterbackup/ghost/", empty))
    result = faulty(FOREIGN_FILES="remove")
    assert result.exit == 10
    assert f"the listing lacks {ghost}, but the object exists" in result.errors
    assert contents(repository) == FIRST | GHOST


def test_vanished_cluster_needs_no_request_for_each_file(
    faulty: Sync, proxy: S3FaultProxy, repository: Path
) -> None:
    ghosts = {f"clusterbackup/ghost-{number}/{file}": b"x" for number in range(3) for file in range(20)}
    commit_files(repository, ghosts)
    assert faulty().exit == 0
    assert contents(repository) == FIRST | ghosts
    assert [request.key for request in proxy.requests if request.method == "HEAD" and request.key] == []


def test_no_file_is_foreign_if_the_history_has_too_many_changes(
    sync: Sync, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "HISTORY_CHANGES", 10)
    commit_files(repository, STRAYS)
    result = sync()
    assert result.exit == 20
    assert contents(repository) == FIRST | STRAYS
    assert not foreign_lines(result)
