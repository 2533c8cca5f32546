"""What somebody has laid into WORK_DIR. The soak's family planted has all things at all places."""

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


# What once made a run wait for ever, or write elsewhere, or say what nobody understands.
FOUND = [
    (planted_files.pipe, "sync-metadata.json", 40),
    (planted_files.link_to_a_spring, "sync-metadata.json", 40),
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
def test_what_is_no_file_is_not_waited_for(
    plant: planted_files.Plant, place: str, exit_code: int, sync: Sync, tmp_path: Path
) -> None:
    sync.bucket.put_many(OBJECTS)
    assert planted_files.trial(sync, plant, place, tmp_path) == exit_code


def test_a_file_that_no_object_could_be_is_not_read_to_its_end(
    sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put_many(OBJECTS)
    sync = sync.with_settings(GIT_REPOSITORY="")
    assert planted_files.trial(sync, planted_files.sparse_file, "clusterbackup/east/ns/0.yaml", tmp_path) == 0


def test_a_cache_is_not_adopted_through_a_planted_link(sync: Sync, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
    brought = tmp_path / "brought"
    (sync.work_dir / ".git-sync" / "cache").rename(brought)
    cache = sync.work_dir / ".git-sync" / "cache"
    cache.mkdir()
    (cache / "east").symlink_to(tmp_path / "to-be-made")
    assert sync("discover", "--cache", str(brought)).exit == 0
    assert not (tmp_path / "to-be-made").exists()


EVIL_CONFIG = """
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
[filter "canary"]
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


def _evil_repository(place: Path, canary: Path, *, ours: bool) -> None:
    """A repository in which everything that can be a program is one; `ours`: it bears git-sync's mark."""
    if place.exists():  # WORK_DIR, or what it lies in
        git(place, "init", "--quiet", "--bare", ".")
    else:
        bare_repository(place)
    program = canary.with_name("program")
    program.write_text(f"#!/bin/sh\ntouch {canary}\n")
    program.chmod(0o755)
    (place / "hooks").mkdir(exist_ok=True)
    for hook in HOOKS:
        (place / "hooks" / hook).write_bytes(program.read_bytes())
        (place / "hooks" / hook).chmod(0o755)
    (place / "info").mkdir(exist_ok=True)
    (place / "info" / "attributes").write_text("* filter=canary\n")
    (place / "objects" / "info" / "alternates").write_text(f"{canary.with_name('alternate')}/objects\n")
    evil = EVIL_CONFIG.format(
        hooks=place / "hooks",
        program=program,
        attributes=place / "info/attributes",
        include=place / "included",
    )
    (place / "included").write_text(f"[core]\n\tfsmonitor = {program}\n")
    (place / "config").write_text((place / "config").read_text() + evil)
    if ours:
        (place / "git-sync-scratch").touch()
        (place.parent / ".gitconfig").write_text(CONFIG_MARK + evil)


@pytest.mark.parametrize("ours", [True, False], ids=["with our mark", "without our mark"])
@pytest.mark.parametrize(
    "where", [".git", ".", "..", ".git-sync/old.git", "clusterbackup/east", "clusterbackup/.git"]
)
def test_planted_repositories_run_nothing(
    where: str, ours: bool, sync: Sync, repository: Path, tmp_path: Path
) -> None:
    sync.bucket.put_many(OBJECTS)
    room = tmp_path / "room"
    sync = sync.elsewhere(room / "workspace")
    canary = tmp_path / "canary"
    bare_repository(tmp_path / "alternate")
    sync.work_dir.mkdir(parents=True)
    place = Path(os.path.normpath(sync.work_dir / where))
    _evil_repository(place, canary, ours=ours)
    around = fingerprint(tmp_path, without=(sync.work_dir, repository))
    result = sync()
    refused = where == ".git" and not ours  # it may be somebody's
    assert result.exit == (40 if refused else 0), result.errors
    if not refused:
        assert contents(repository) == OBJECTS
        assert git(repository, "rev-list", "--count", "main") == b"1\n"
    assert not canary.exists()
    assert fingerprint(tmp_path, without=(sync.work_dir, repository)) == around
