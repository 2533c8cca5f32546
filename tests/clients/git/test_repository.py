"""The scratch repository: what it replaces, what it ignores, and a full disk."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from steps.clients.git.repository import Repository
from steps.errors import FixConfiguration, translated
from steps.runtime.settings.reading import read
from tests.soak.full_disks import file_system, obstacle
from tests.support.deep import deep
from tests.support.fast_imports import first_commit
from tests.support.repositories import bare_repository, commit_files, contents, git, sha
from tests.support.steps import FIRST, KEY, forget_last_push

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.gitbackend import GitRequest
    from tests.support.gitserver import GitServer
    from tests.support.sync import Sync


@pytest.mark.skipif(bool(obstacle()), reason=obstacle())
@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((f"nr_inodes={inodes}" for inodes in itertools.count(2)), "no space left on device"),
        ((f"size={size}k" for size in itertools.count(4, 4)), "no space left on device|disk is full"),
    ],
    ids=["inodes", "bytes"],
)
def test_repository_reports_a_full_disk_wherever_it_fills_up(
    sizes: Iterator[str], words: str, sync: Sync, repository: Path, tmp_path: Path
) -> None:
    commit_files(repository, {"a/b.yaml": b"2"})
    settings, errors = read(sync.settings).git, []
    for size in sizes:
        room = tmp_path / size
        with file_system(room, size):
            try:
                with translated(), Repository(settings, room / "scratch.git", room / "config") as scratch:
                    scratch.fast_import(first_commit())
                    scratch.fetch()
            except FixConfiguration as problem:
                errors.append(problem.error)
            else:
                break
    assert len(errors) > 3
    assert not [error for error in errors if not re.search(words, error, re.IGNORECASE)]


@pytest.mark.usefixtures("synced")
def test_repository_ignores_locks_left_by_a_killed_run(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put(KEY, b"2")
    for name in (
        "config.lock",
        "shallow.lock",
        "refs/heads/main.lock",
        "objects/pack/pack-x.keep",
        "index.lock",
    ):
        path = sync.work_dir / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (sync.work_dir / ".gitconfig.lock").touch()
    assert sync().exit == 0
    assert contents(repository)[KEY] == b"2"


@pytest.mark.usefixtures("synced")
def test_remote_tip_ignores_branches_whose_names_end_alike(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    git(repository, "update-ref", "refs/heads/a/refs/heads/main", sha(repository))
    bucket.put(KEY, b"2")
    assert sync().exit == 0
    assert sync.state["last_run"]["push_attempts"] == 1
    forget_last_push(sync)
    git(repository, "update-ref", "-d", "refs/heads/main")
    assert sync().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}


@pytest.mark.usefixtures("synced")
def test_repository_refuses_to_replace_a_foreign_clone_or_gitconfig(sync: Sync, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "init", "--quiet", str(clone))
    outcome = sync(WORK_DIR=str(clone))
    assert outcome.exit == 40
    assert "git-sync did not create" in outcome.errors
    assert (clone / ".git" / "HEAD").exists()
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[alias]\n\tst = status\n")
    assert sync("run", "--dry-run", WORK_DIR=str(home)).exit == 40
    assert "alias" in (home / ".gitconfig").read_text()


@pytest.mark.usefixtures("synced")
def test_repository_replaces_its_own_incomplete_files(sync: Sync, bucket: Bucket, repository: Path) -> None:
    (sync.work_dir / ".gitconfig").write_bytes(b"")
    shutil.rmtree(sync.work_dir / ".git")
    (sync.work_dir / ".git").mkdir()
    (sync.work_dir / ".git-sync" / "old.git" / "objects").mkdir(parents=True)
    bucket.put(KEY, b"2")
    assert sync().exit == 0
    assert contents(repository)[KEY] == b"2"
    assert not (sync.work_dir / ".git-sync" / "old.git").exists()


@pytest.mark.usefixtures("synced")
def test_repository_ignores_planted_repositories_hooks_and_links(
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


@pytest.mark.usefixtures("synced")
def test_repository_runs_no_hook_planted_during_the_run(
    over_http: Sync, git_server: GitServer, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    hooks, marker = over_http.work_dir / ".git" / "hooks", tmp_path / "ran"

    def plant(_: GitRequest) -> None:
        hooks.mkdir(exist_ok=True)
        for name in ("reference-transaction", "pre-push"):
            (hooks / name).write_text(f"#!/bin/sh\ntouch {marker}\n")
            (hooks / name).chmod(0o755)

    git_server.before = plant
    (over_http.work_dir / ".git-sync" / "tip").unlink()
    bucket.put(KEY, b"2")
    assert over_http().exit == 0
    assert contents(repository)[KEY] == b"2"
    assert hooks.exists()
    assert not marker.exists()


def home_of_a_killed_run(sync: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a path in TMPDIR with the prefix of this WORK_DIR's homes for git."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    sync.work_dir.mkdir()
    found = sync.work_dir.stat()
    return temporary / f"git-sync-{found.st_dev:x}-{found.st_ino:x}-planted"


def test_repository_removes_homes_of_killed_runs_of_any_depth(
    sync: Sync, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("clusterbackup/east/a.yaml", b"a")
    home = home_of_a_killed_run(sync, tmp_path, monkeypatch)
    with deep(home):
        assert sync().exit == 0
        assert list(home.parent.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to create files of another user")
def test_repository_keeps_a_directory_of_another_user_in_the_place_of_a_home(
    sync: Sync, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("clusterbackup/east/a.yaml", b"a")
    home = home_of_a_killed_run(sync, tmp_path, monkeypatch)
    with deep(home):
        os.chown(home, 65534, 65534)
        assert sync().exit == 0
        assert list(home.parent.iterdir()) == [home]
        assert (home / "d" / "d" / "file").exists()


def test_repository_does_not_follow_a_link_in_the_place_of_a_home(
    sync: Sync, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("clusterbackup/east/a.yaml", b"a")
    home = home_of_a_killed_run(sync, tmp_path, monkeypatch)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    home.symlink_to(tmp_path / "precious")
    assert sync().exit == 0
    assert (tmp_path / "precious" / "file").exists()


@pytest.mark.parametrize("partial_clone", [True, False])
def test_contains_fetches_fewer_commits_if_the_server_sends_their_files(
    partial_clone: bool, over_http: Sync, git_server: GitServer, repository: Path, tmp_path: Path
) -> None:
    commits = b"".join(
        b"commit refs/heads/main\ncommitter x <x@example.com> %d +0000\ndata 1\nx\n"
        b"M 100644 inline a\ndata <<END\n%d\nEND\n\n" % (number, number)
        for number in range(1100)
    )
    served = bare_repository(repository.with_name("long.git"), partial_clone=partial_clone)
    subprocess.run(["git", "-C", served, "fast-import", "--quiet"], input=commits, check=True)
    first = git(served, "rev-list", "--max-parents=0", "main").decode().strip()
    settings = read({**over_http.settings, "GIT_REPOSITORY": git_server.url_for(served)}).git
    with Repository(settings, tmp_path / "scratch.git", tmp_path / "config") as scratch:
        scratch.fetch()
        assert scratch.contains(first) is partial_clone
        found = git(tmp_path / "scratch.git", "rev-list", "refs/git-sync/base").split()
    assert len(found) == (1100 if partial_clone else 1000)
