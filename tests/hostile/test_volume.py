"""Hostile files planted in WORK_DIR. The soak family "planted" has every file at every place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from steps.clients.git.config import CONFIG_MARK
from tests.hostile import planted_files
from tests.hostile.damage import fingerprint
from tests.hostile.planted_files import OBJECTS
from tests.support.repositories import bare_repository, contents, git

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.sync import Sync


# Combinations that made earlier versions hang, write elsewhere, or log an unclear error.
FOUND = [
    (planted_files.pipe, "sync-metadata.json", 40),
    (planted_files.link_to_endless_device, "sync-metadata.json", 40),
    (planted_files.sparse_file, "sync-metadata.json", 40),
    (planted_files.pipe, ".git-sync/cache/east", 0),
    (planted_files.full_directory, ".git-sync/lock", 0),
    (planted_files.pipe, ".git-sync/lock", 0),
    (planted_files.sparse_file, ".gitconfig", 40),
    (planted_files.link_to_directory, ".git-sync/runs/planted/manifest", 0),
]


@pytest.mark.parametrize(
    ("plant", "place", "exit_code"), FOUND, ids=[f"{plant.__name__} at {place}" for plant, place, _ in FOUND]
)
def test_run_ends_when_a_planted_path_is_not_a_regular_file(
    plant: planted_files.Plant, place: str, exit_code: int, sync: Sync, tmp_path: Path
) -> None:
    sync.bucket.put_many(OBJECTS)
    assert planted_files.trial(sync, plant, place, tmp_path) == exit_code


def test_planted_sparse_file_is_not_read_to_its_end(sync: Sync, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put_many(OBJECTS)
    sync = sync.with_settings(GIT_REPOSITORY="")
    assert planted_files.trial(sync, planted_files.sparse_file, "clusterbackup/east/ns/0.yaml", tmp_path) == 0


def test_discover_does_not_copy_a_cache_through_a_planted_link(
    sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
    restored = tmp_path / "restored"
    (sync.work_dir / ".git-sync" / "cache").rename(restored)
    cache = sync.work_dir / ".git-sync" / "cache"
    cache.mkdir()
    (cache / "east").symlink_to(tmp_path / "not-existing")
    assert sync("discover", "--cache", str(restored)).exit == 0
    assert not (tmp_path / "not-existing").exists()


HOSTILE_CONFIG = """
[core]
\thooksPath = {hooks}
\tfsmonitor = {program}
\tsshCommand = {program}
\tgitProxy = {program}
\talternateRefsCommand = {program}
\taskPass = {program}
\teditor = {program}
\tpager = {program}
\tattributesFile = {attributes}
[credential]
\thelper = !{program}
[filter "probe"]
\tclean = {program}
\tsmudge = {program}
[include]
\tpath = {include}
[remote "origin"]
\turl = ext::{program}
\tuploadpack = {program}
\treceivepack = {program}
\tvcs = {program}
[url "ext::{program} "]
\tinsteadOf = file://
[protocol]
\tallow = always
[uploadpack]
\tpackObjectsHook = {program}
[alias]
\tfast-import = !{program}
[gpg]
\tprogram = {program}
[commit]
\tgpgSign = true
"""
HOOKS = (
    "pre-push",
    "post-commit",
    "reference-transaction",
    "post-checkout",
    "pre-commit",
    "update",
    "post-update",
)


def _plant_repository(place: Path, executed: Path, *, ours: bool) -> None:
    """Create a repository in which every possible setting runs a program; `ours`: with git-sync's mark."""
    if place.exists():  # WORK_DIR or its parent
        git(place, "init", "--quiet", "--bare", ".")
    else:
        bare_repository(place)
    program = executed.with_name("program")
    program.write_text(f"#!/bin/sh\ntouch {executed}\n")
    program.chmod(0o755)
    (place / "hooks").mkdir(exist_ok=True)
    for hook in HOOKS:
        (place / "hooks" / hook).write_bytes(program.read_bytes())
        (place / "hooks" / hook).chmod(0o755)
    (place / "info").mkdir(exist_ok=True)
    (place / "info" / "attributes").write_text("* filter=probe\n")
    (place / "objects" / "info" / "alternates").write_text(f"{executed.with_name('alternate')}/objects\n")
    hostile_config = HOSTILE_CONFIG.format(
        hooks=place / "hooks",
        program=program,
        attributes=place / "info/attributes",
        include=place / "included",
    )
    (place / "included").write_text(f"[core]\n\tfsmonitor = {program}\n")
    (place / "config").write_text((place / "config").read_text() + hostile_config)
    if ours:
        (place / "git-sync-scratch").touch()
        (place.parent / ".gitconfig").write_text(CONFIG_MARK + hostile_config)


@pytest.mark.parametrize("ours", [True, False], ids=["with our mark", "without our mark"])
@pytest.mark.parametrize(
    "where", [".git", ".", "..", ".git-sync/old.git", "clusterbackup/east", "clusterbackup/.git"]
)
def test_planted_repository_runs_no_program(
    where: str, ours: bool, sync: Sync, repository: Path, tmp_path: Path
) -> None:
    sync.bucket.put_many(OBJECTS)
    directory = tmp_path / "directory"
    sync = sync.elsewhere(directory / "workspace")
    executed = tmp_path / "executed"
    bare_repository(tmp_path / "alternate")
    sync.work_dir.mkdir(parents=True)
    place = Path(os.path.normpath(sync.work_dir / where))
    _plant_repository(place, executed, ours=ours)
    around = fingerprint(tmp_path, without=(sync.work_dir, repository))
    result = sync()
    refused = where == ".git" and not ours  # it may belong to a user
    assert result.exit == (40 if refused else 0), result.errors
    if not refused:
        assert contents(repository) == OBJECTS
        assert git(repository, "rev-list", "--count", "main") == b"1\n"
    assert not executed.exists()
    assert fingerprint(tmp_path, without=(sync.work_dir, repository)) == around
