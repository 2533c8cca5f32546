"""The commit: its message, its id, and what it must not contain."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from steps.core.changes import PlanRow
from steps.core.git_objects import Change, blob_header
from steps.workdir.rowfile import read_rows, write_rows
from steps.workdir.rows import RowsHeader
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
        "Git-Sync-Substance",
    ]


EVIL_ID = hashlib.sha1(blob_header(4) + b"evil", usedforsecurity=False).hexdigest()

# Paths that detect never plans, with what another process with access to the volume could want from them.
PLANTED = {
    "../.github/workflows/x.yaml": "dot_segment",
    "../../../.ssh/authorized_keys": "dot_segment",
    "/etc/x": "empty_segment",
    "east/../../x": "dot_segment",
    "east/.git/hooks/post-commit": "git_directory",
    "east/.gitattributes": "git_file",
    "ghost/x.yaml": "not a cluster of the run",
    "x.yaml": "not a cluster of the run",
    "east": "not a cluster of the run",
}


# Another user may have pushed a file with a name of Git; git-sync deletes it then.
PLANTED_ROWS = [
    *((path, "A", False) for path in PLANTED),
    *((path, "D", False) for path, reason in PLANTED.items() if not reason.startswith("git_")),
    *(("../../../.ssh/authorized_keys", change, True) for change in "AD"),
]


@pytest.mark.parametrize(("path", "change", "download_only"), PLANTED_ROWS)
def test_publish_refuses_a_planted_path_in_the_plan(
    path: str, change: str, *, download_only: bool, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    if download_only:
        sync = sync.elsewhere(sync.work_dir.with_name("local")).with_settings(GIT_REPOSITORY="")
        assert sync().exit == 0
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    run = sync.work_dir / ".git-sync" / "runs" / "a"
    staged = (run / "objects" if download_only else sync.work_dir / "clusterbackup") / path
    if change == "A" and not staged.exists():
        if staged.is_relative_to("/etc"):
            staged = sync.work_dir / "etc"
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.write_bytes(b"evil")
    rows = [*read_rows(run / "plan.rows", PlanRow)]
    rows.append(PlanRow(path.encode(), Change(change), EVIL_ID, 4 * (change == "A")))
    write_rows(run / "plan.rows", RowsHeader(identity="0" * 16), sorted(rows))
    before = sha(repository)
    result = publish(sync, "a")
    assert result.exit == 40
    assert f"contains {path}, which no run writes ({PLANTED[path]})" in result.errors
    assert sha(repository) == before
