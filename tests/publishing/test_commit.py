"""The commit: its message, its id, and what it must not contain."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.repositories import (
    contents,
    git,
    git_environment,
    message,
    sha,
)
from tests.support.steps import FIRST, KEY, prepare, publish

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

pytestmark = pytest.mark.usefixtures("synced")


def test_repeated_commit_has_the_same_id(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    before = sha(repository)
    publish(sync, "a")
    commit = sha(repository)
    git(repository, "update-ref", "refs/heads/main", before)
    publish(sync, "a")
    assert sha(repository) == commit


@pytest.mark.parametrize(
    "name", ["ns/a\nb", 'ns/a"b\\c', "ns/tab\there", "x\nM 100644 inline evil\ndata 0\n"]
)
def test_commit_deletes_paths_with_special_characters(name: str, sync: Sync, repository: Path) -> None:
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


def test_commit_refuses_bytes_that_changed_on_the_volume(
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


def test_commit_message_lists_clusters_and_changes(sync: Sync, bucket: Bucket, repository: Path) -> None:
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
