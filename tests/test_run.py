"""Whole runs: Git gets exactly the content of the bucket."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from steps.workdir.rowfile import RowFile, read_rows, write_rows
from steps.workdir.rows import BaselineHeader, BaselineRow
from tests.support.repositories import (
    GITLINK,
    bare_repository,
    commit_files,
    contents,
    fsck,
    git,
    log,
    message,
    sha,
    tree,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Sync

PREFIX = "clusterbackup/"
OBJECTS = {
    "clusterbackup/east/default/Service/web.yaml": b"kind: Service\n",
    "clusterbackup/east/rbac/system:admin.yaml": b"kind: ClusterRole\n",
    "clusterbackup/east/odd/a b%2F*'\"é{}.yaml": "kind: Größe\r\n".encode(),
    "clusterbackup/east/empty.yaml": b"",
    "clusterbackup/west/default/binary": bytes(range(256)) * 40,
    "clusterbackup/west-2/default/Service/web.yaml": b"kind: Service\n",
}


def test_run_commits_the_bucket_byte_for_byte_and_changes_nothing_else(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    commit_files(repository, {"README.md": b"ours", "clusterbackup.txt": b"x", "other/east/web.yaml": b"y"})
    bucket.put_many(OBJECTS)
    result = sync()
    assert result.exit == 0
    assert contents(repository) == OBJECTS | {
        "README.md": b"ours",
        "clusterbackup.txt": b"x",
        "other/east/web.yaml": b"y",
    }
    assert {entry.mode for entry in tree(repository).values()} == {"100644"}
    fsck(repository)


def test_second_run_makes_no_commit_and_no_get(faulty: Sync, bucket: Bucket, proxy: S3FaultProxy) -> None:
    bucket.put_many(OBJECTS)
    assert faulty().complete["files_downloaded"] == len(OBJECTS)
    tip = sha(faulty.repository)
    proxy.clear()
    result = faulty()
    assert (result.exit, result.complete["git_commit"], result.complete["files_changed"]) == (0, None, 0)
    assert proxy.fetched == []
    assert sha(faulty.repository) == tip


def test_run_fetches_and_commits_only_changed_objects(
    faulty: Sync, bucket: Bucket, repository: Path, proxy: S3FaultProxy
) -> None:
    bucket.put_many(OBJECTS)
    faulty()
    proxy.clear()
    bucket.put("clusterbackup/east/new.yaml", b"new")
    bucket.put("clusterbackup/west/default/binary", b"other")
    bucket.delete("clusterbackup/east/empty.yaml")
    result = faulty()
    assert sorted(proxy.fetched) == ["clusterbackup/east/new.yaml", "clusterbackup/west/default/binary"]
    expected = {
        **OBJECTS,
        "clusterbackup/east/new.yaml": b"new",
        "clusterbackup/west/default/binary": b"other",
    }
    del expected["clusterbackup/east/empty.yaml"]
    assert contents(repository) == expected
    assert "Changes: 1 new, 1 modified, 1 deleted" in message(repository)
    assert result.complete["git_commit"] == sha(repository)


def test_lost_cache_costs_downloads_but_changes_nothing(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put_many(OBJECTS)
    faulty()
    tip = sha(faulty.repository)
    shutil.rmtree(faulty.work_dir)
    proxy.clear()
    assert faulty().exit == 0
    assert sorted(proxy.fetched) == sorted(OBJECTS)
    assert sha(faulty.repository) == tip


@pytest.mark.parametrize("place", [0, 80, -30])
def test_damaged_cache_is_logged_and_ignored(sync: Sync, bucket: Bucket, place: int) -> None:
    bucket.put_many(OBJECTS)
    sync()
    cache = sync.work_dir / ".git-sync" / "cache" / "east"
    damaged = bytearray(cache.read_bytes())
    damaged[place] ^= 1
    cache.write_bytes(damaged)
    bucket.put("clusterbackup/east/new.yaml", b"new")
    result = sync()
    assert result.exit == 0
    assert "Ignoring a damaged cache" in result.text
    assert contents(sync.repository) == OBJECTS | {"clusterbackup/east/new.yaml": b"new"}


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir])
def test_directory_or_pipe_in_place_of_a_cache_is_removed(
    put: Callable[[Path], None], sync: Sync, bucket: Bucket
) -> None:
    bucket.put_many(OBJECTS)
    sync()
    cache = sync.work_dir / ".git-sync" / "cache" / "east"
    cache.unlink()
    put(cache)
    assert sync().exit == 0
    assert cache.is_file()


@pytest.mark.parametrize("rows", ["out of order", "no rows"])
@pytest.mark.parametrize("branch", ["as it was", "moved"])
def test_wrong_cache_with_a_valid_checksum_does_no_harm_and_a_full_run_repairs_it(
    rows: str, branch: str, sync: Sync, bucket: Bucket
) -> None:
    bucket.put_many(OBJECTS)
    sync()
    cache = sync.work_dir / ".git-sync" / "cache" / "east"
    header, known = RowFile(cache).header(BaselineHeader), list(read_rows(cache, BaselineRow))
    wrong = known[::-1] if rows == "out of order" else [row._replace(size="") for row in known]  # type: ignore[arg-type]
    write_rows(cache, header, wrong)
    if branch == "moved":
        commit_files(sync.repository, {"clusterbackup/east/empty.yaml": b"edited"})
    before = log(sync.repository)
    assert sync("run", RETRY_ATTEMPTS="1").exit in {10, 30, 40}
    assert log(sync.repository) == before, "a file that the cache lacks is not deleted"
    assert sync("run", "--mode", "full").exit == 0
    assert contents(sync.repository) == OBJECTS
    assert sync().exit == 0


def test_edits_by_others_below_a_cluster_are_reverted(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many(OBJECTS)
    sync()
    commit_files(
        repository,
        {
            "clusterbackup/east/default/Service/web.yaml": b"edited",
            "clusterbackup/east/rbac/system:admin.yaml": ("120000", b"/etc/passwd"),
            "clusterbackup/east/empty.yaml": ("100755", b""),
            "clusterbackup/west/default/binary": (GITLINK, b"1" * 40),
            "clusterbackup/west/stray": b"not in the bucket",
            "clusterbackup/west-2/default/Service/web.yaml": None,
            "notes/theirs.md": b"stays",
        },
    )
    result = sync()
    assert result.exit == 0
    assert [line["error"] for line in result.of("git_commit", "error")] == [
        "merge conflict in clusterbackup/east/default/Service/web.yaml",
        "merge conflict in clusterbackup/east/empty.yaml",
        "merge conflict in clusterbackup/east/rbac/system:admin.yaml",
        "merge conflict in clusterbackup/west/default/binary",
    ]
    assert contents(repository) == OBJECTS | {"notes/theirs.md": b"stays"}
    assert {entry.mode for entry in tree(repository).values()} == {"100644"}


def test_full_mode_fetches_everything_and_finds_a_change_that_a_wrong_cache_hides(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put_many(OBJECTS)
    faulty()
    key = "clusterbackup/east/default/Service/web.yaml"
    etag = bucket.put(key, b"kind: Servicf\n")
    cache = faulty.work_dir / ".git-sync" / "cache" / "east"
    _forge_etag(cache, b"east/default/Service/web.yaml", etag)
    assert faulty().complete["files_changed"] == 0, "the forged cache hides the change"
    proxy.clear()
    result = faulty("run", "--mode", "full")
    assert len(proxy.fetched) == len(OBJECTS)
    assert contents(faulty.repository)[key] == b"kind: Servicf\n"
    assert [line["data"]["objects"] for line in result.of("download", "warning")] == [1]


def _forge_etag(cache: Path, path: bytes, etag: str) -> None:
    rows = [row._replace(etag=etag) if row.path == path else row for row in read_rows(cache, BaselineRow)]
    write_rows(cache, RowFile(cache).header(BaselineHeader), rows)


def test_new_branch_is_an_orphan_and_other_branches_stay(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    commit_files(repository, {"README.md": b"main"})
    bucket.put_many(OBJECTS)
    assert sync(GIT_BRANCH="backups/east").exit == 0
    assert contents(repository, "backups/east") == OBJECTS
    assert contents(repository, "main") == {"README.md": b"main"}
    assert len(log(repository, "backups/east")) == 1


def test_branch_per_cluster_has_only_that_cluster(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many(OBJECTS)
    for cluster in ("east", "west"):
        assert sync("run", "--clusters", cluster, GIT_BRANCH=f"backups/{cluster}").exit == 0
        expected = {key: body for key, body in OBJECTS.items() if key.startswith(f"{PREFIX}{cluster}/")}
        assert contents(repository, f"backups/{cluster}") == expected


def test_run_works_with_a_server_without_partial_clone(bucket: Bucket, tmp_path: Path, sync: Sync) -> None:
    repository = bare_repository(tmp_path / "plain.git", partial_clone=False)
    commit_files(repository, {"clusterbackup/east/empty.yaml": b"old", "README.md": b"ours"})
    bucket.put_many(OBJECTS)
    plain = sync.with_settings(GIT_REPOSITORY=f"file://{repository}")
    assert plain().exit == 0
    assert contents(repository) == OBJECTS | {"README.md": b"ours"}
    assert plain().complete["git_commit"] is None


def test_minio_prefix_and_git_path_are_configurable(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many({"dumps/v1/east/a.yaml": b"a", "elsewhere/b.yaml": b"b"})
    assert sync(MINIO_PREFIX="/dumps/v1", GIT_PATH="live/backups").exit == 0
    assert contents(repository) == {"live/backups/east/a.yaml": b"a"}


def test_clusters_may_be_at_the_root_of_the_bucket(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many({"east/a.yaml": b"a", ".git-sync/b.yaml": b"b"})
    assert sync(MINIO_PREFIX="/").exit == 0
    assert contents(repository) == {"clusterbackup/east/a.yaml": b"a", "clusterbackup/.git-sync/b.yaml": b"b"}


def test_commit_has_the_configured_author_and_the_start_time(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    sync(GIT_USERNAME="cluster-backup-bot", GIT_EMAIL="backup@example.com")
    stamp, who, committer = (
        git(
            repository,
            "log",
            "-1",
            "--format=%ad|%an <%ae>|%cn <%ce>",
            "--date=format-local:%Y-%m-%d %H:%M:%S",
        )
        .decode()
        .strip()
        .split("|")
    )
    assert who == committer == "cluster-backup-bot <backup@example.com>"
    assert message(repository).startswith(f"Automated backup sync - {stamp} UTC\n")


def test_separate_steps_have_the_result_of_run(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many(OBJECTS)
    for command in (
        ("discover", "--run-id", "r1"),
        ("download", "--run-id", "r1", "--shard", "0"),
        ("download", "--run-id", "r1", "--shard", "1", "--shard", "2"),
        ("detect",),
        ("publish",),
        ("report",),
        ("health",),
    ):
        assert sync(*command).exit == 0, command
    assert contents(repository) == OBJECTS
    assert sync.state["last_run"]["run_id"] == "r1"


def test_git_streams_large_objects(sync: Sync, bucket: Bucket, repository: Path) -> None:
    large = os.urandom(60 << 20)
    bucket.put("clusterbackup/east/large", large)
    script = (
        "import os, resource; from steps.cli import invoke; given = dict(os.environ); os.environ.clear();"
        "os.environ['PATH'] = given['PATH']; code = int(invoke(['run'], given));"
        "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"], **sync.settings},
        capture_output=True,
        text=True,
        check=True,
    )
    code, kib = done.stdout.splitlines()[-1].split()
    assert code == "0"
    assert contents(repository) == {"clusterbackup/east/large": large}
    # Without streaming it would be twice the size of the object. The rest is this process before exec.
    assert int(kib) < 100 << 10
