"""Hostile keys, from the bucket to a clone: cases that the soak family hostile-keys does not have."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.hostile.damage import clone_and_check
from tests.hostile.fixed import BAD, GOOD
from tests.hostile.grammar import TRICKS, keys
from tests.support.fake_s3 import fake_s3
from tests.support.repositories import bare_repository, git
from tests.support.sync import Sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket


def test_grammar_has_all_tricks_and_is_deterministic() -> None:
    assert len({*GOOD, *(path for path, _ in BAD)}) > 120
    made = keys(random.Random(7), 2000, "/executed")
    assert [key.key for key in made] == [key.key for key in keys(random.Random(7), 2000, "/executed")]
    assert {key.trick for key in made} == {trick.__name__.strip("_") for trick in TRICKS} | {
        "fixed",
        "harmless",
    }
    assert {reason for key in made for reason in key.verdicts} == {
        *("empty_segment", "dot_segment", "git_directory", "git_file", "backslash", "control_character"),
        *("bidi_control", "replacement_character", "segment_too_long", "path_too_long", "too_large"),
        "too_many_levels",
        *("no_cluster", "marker"),
    }
    assert len({key.body for key in made if key.body and key.verdicts != {"too_large"}}) > 1800


def test_keys_that_are_not_unicode_fail_only_their_cluster(repository: Path, tmp_path: Path) -> None:
    """The SDK replaces such bytes, which changes the order of the keys, so the listing cannot be proven."""
    odd = {b"clusterbackup/east/\xff": b"1", b"clusterbackup/east/\xfe": b"2", b"clusterbackup/east/z": b"3"}
    with fake_s3(odd | {b"clusterbackup/west/x": b"x", b"clusterbackup/\xff/x": b"x"}) as bucket:
        sync = Sync.between(bucket, repository, tmp_path / "workspace")
        result = sync()
        assert result.exit == 10
        assert git(repository, "ls-tree", "-r", "--name-only", "main") == b"clusterbackup/west/x\n"
        assert (
            "east: Failed to list: two different entries for key clusterbackup/east/\ufffd" in result.errors
        )
        assert sync.state["last_run"]["quarantined"] == {"replacement_character": 1}


def test_object_with_the_prefix_as_its_key_is_reported(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({"clusterbackup/": b"not a marker", "clusterbackup/east/x": b"x"})
    assert sync().exit == 0
    assert sync.state["last_run"]["quarantined"] == {"no_cluster": 1}
    bucket.put("clusterbackup/", b"")
    assert sync().exit == 0
    assert sync.state["last_run"]["quarantined"] == {}


# -- the checks themselves ------------------------------------------------------------------------


@pytest.mark.parametrize("path", [".gitattributes", ".gitmodules", "bin/tool", "link"], ids=lambda path: path)
def test_check_detects_a_harmful_clone(path: str, tmp_path: Path) -> None:
    executed = tmp_path / "executed"
    repository = _repository_with(path, tmp_path, executed)
    directory = tmp_path / "directory"
    directory.mkdir()
    files = {b"plain": b"plain\n"}
    if path not in {"link", ".gitmodules"}:
        files[path.encode()] = git(repository, "cat-file", "blob", f"main:{path}")
    with pytest.raises((AssertionError, subprocess.CalledProcessError)):
        clone_and_check(repository, directory, files, executed)


def _repository_with(path: str, tmp_path: Path, executed: Path) -> Path:
    """Create a repository with a harmful file at `path`."""
    repository = bare_repository(tmp_path / "evil.git")
    content = {
        ".gitattributes": b"* filter=probe\n",
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
    assert not executed.exists()
    return repository
