"""Hostile keys from the bucket to somebody's clone: what the soak's family hostile-keys does not show."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.hostile.damage import clone_and_look
from tests.hostile.fixed import BAD, GOOD
from tests.hostile.grammar import TRICKS, keys
from tests.support.fake_s3 import shelf
from tests.support.repositories import bare_repository, git
from tests.support.sync import Sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket


def test_the_grammar_is_wide_and_the_same_for_the_same_seed() -> None:
    assert len({*GOOD, *(path for path, _ in BAD)}) > 120
    made = keys(random.Random(7), 2000, "/canary")
    assert [key.key for key in made] == [key.key for key in keys(random.Random(7), 2000, "/canary")]
    assert {key.trick for key in made} == {trick.__name__.strip("_") for trick in TRICKS} | {
        "fixed",
        "innocent",
    }
    assert {reason for key in made for reason in key.verdicts} == {
        *("empty_segment", "dot_segment", "git_directory", "git_file", "backslash", "control_character"),
        *("bidi_control", "replacement_character", "segment_too_long", "path_too_long", "too_large"),
        *("no_cluster", "marker"),
    }
    assert len({key.body for key in made if key.body and key.verdicts != {"too_large"}}) > 1800


def test_a_store_that_lists_what_is_no_unicode_costs_that_cluster_alone(
    repository: Path, tmp_path: Path
) -> None:
    """What the SDK makes of such keys are others, in another order: that listing is proven by nobody."""
    odd = {b"clusterbackup/east/\xff": b"1", b"clusterbackup/east/\xfe": b"2", b"clusterbackup/east/z": b"3"}
    with shelf(odd | {b"clusterbackup/west/x": b"x", b"clusterbackup/\xff/x": b"x"}) as bucket:
        sync = Sync.between(bucket, repository, tmp_path / "workspace")
        result = sync()
        assert result.exit == 10
        assert git(repository, "ls-tree", "-r", "--name-only", "main") == b"clusterbackup/west/x\n"
        assert "east: Failed to list: keys out of order at 'clusterbackup/east/\ufffd'" in result.errors
        assert sync.state["last_run"]["quarantined"] == {"replacement_character": 1}


def test_an_object_in_the_place_of_the_prefix_itself_is_reported(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({"clusterbackup/": b"not a marker", "clusterbackup/east/x": b"x"})
    assert sync().exit == 0
    assert sync.state["last_run"]["quarantined"] == {"no_cluster": 1}
    bucket.put("clusterbackup/", b"")
    assert sync().exit == 0
    assert sync.state["last_run"]["quarantined"] == {}


# -- that the judge would notice --------------------------------------------------------------


@pytest.mark.parametrize("path", [".gitattributes", ".gitmodules", "bin/tool", "link"], ids=lambda path: path)
def test_a_clone_that_does_harm_is_noticed(path: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    repository = _repository_with(path, tmp_path, canary)
    room = tmp_path / "room"
    room.mkdir()
    files = {b"plain": b"plain\n"}
    if path not in {"link", ".gitmodules"}:
        files[path.encode()] = git(repository, "cat-file", "blob", f"main:{path}")
    with pytest.raises((AssertionError, subprocess.CalledProcessError)):
        clone_and_look(repository, room, files, canary)


def _repository_with(path: str, tmp_path: Path, canary: Path) -> Path:
    """A repository in which `path` does what its name says."""
    repository = bare_repository(tmp_path / "evil.git")
    content = {
        ".gitattributes": b"* filter=canary\n",
        ".gitmodules": f'[submodule "s"]\n\tpath = s\n\turl = file://{repository}\n'.encode(),
        "bin/tool": b"#!/bin/sh\n",
        "link": b"plain",
    }[path]
    mode = {"bin/tool": "100755", "link": "120000"}.get(path, "100644")
    commands = [b"commit refs/heads/main\ncommitter A <a@example.com> 1 +0000\ndata 1\nm\n"]
    for name, at, body in (("plain", "100644", b"plain\n"), (path, mode, content)):
        commands.append(f"M {at} inline {name}\ndata {len(body)}\n".encode() + body + b"\n")
    git(repository, "fast-import", "--quiet", stdin=b"".join(commands))
    if path == ".gitmodules":
        oid = git(repository, "rev-parse", "main").decode().strip()
        link = f"commit refs/heads/main\ncommitter A <a@example.com> 1 +0000\ndata 1\nm\nfrom {oid}\n"
        git(repository, "fast-import", "--quiet", "--force", stdin=f"{link}M 160000 {oid} s\n".encode())
    assert not canary.exists()
    return repository
