"""A full volume: the error names the path and the volume, for each file that may fill it up."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.soak.full_disks import file_system, obstacle
from tests.support.receiver import receiver
from tests.support.repositories import contents, install_hook

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import CommandResult, Sync

pytestmark = pytest.mark.skipif(bool(obstacle()), reason=obstacle())


@pytest.mark.parametrize("download_only", [False, True])
def test_error_of_a_full_volume_names_the_path_and_the_volume(
    download_only: bool, sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put_many({f"clusterbackup/{name}/{n}": os.urandom(9000) for name in "ab" for n in range(4)})
    room = tmp_path / "small"
    options = [f"size={size}k" for size in range(8, 200, 16)] + [f"nr_inodes={n}" for n in range(4, 50, 5)]
    failed = 0
    for number, option in enumerate(options):
        with file_system(room / str(number), option):
            work_dir = room / str(number) / "work"
            extra = {"GIT_REPOSITORY": ""} if download_only else {}
            outcome = sync("run", WORK_DIR=str(work_dir), RETRY_ATTEMPTS="1", **extra)
        if outcome.exit == 0:
            continue
        failed += 1
        assert outcome.exit == 40, outcome.errors
        errors = [line["error"] for line in outcome.lines if line["level"] == "error"]
        named = rf"{re.escape(str(work_dir))}.*\(volume {re.escape(str(room))}/{number} has .* free\)"
        assert re.search(named, errors[0]), f"{option}: {errors}"
    assert failed > 10


@pytest.mark.parametrize("steps", [False, True])
def test_run_on_a_full_volume_ends_with_sync_complete_and_the_next_run_is_exact(
    steps: bool, sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    objects = {f"clusterbackup/{name}/{n}": os.urandom(9000) for name in "ab" for n in range(4)}
    bucket.put_many(objects)
    room = tmp_path / "small"
    options = [f"size={size}k" for size in range(4, 120, 12)] + [f"nr_inodes={n}" for n in range(3, 40, 4)]
    failed = 0
    for number, option in enumerate(options):
        here = sync.elsewhere(room / str(number) / "work")
        with file_system(room / str(number), option):
            exits, last = (run_steps if steps else run_once)(here)
            if any(exits):
                failed += 1
                assert last.lines[-1]["operation"] == "sync_complete", f"{option}: {last.text}"
                assert last.complete["exit_code"] == 40 or steps
                assert steps or re.search(r"no space left|disk is full", last.lines[-1]["error"])
            remount(room / str(number), "rw,size=64m,nr_inodes=10000")
            assert here().exit == 0
            assert contents(repository) == objects
    assert failed > 5


@pytest.mark.parametrize("command", ["run", "report"])
def test_run_on_a_read_only_volume_ends_with_sync_complete(
    command: str, sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put("clusterbackup/a/x", b"x")
    room = tmp_path / "small"
    here = sync.elsewhere(room / "work")
    with file_system(room, "size=4m"):
        for step in ("discover", "download", "detect", "publish"):
            assert here(step, "--run-id", "r").exit == 0
        remount(room, "ro")
        result = here(command)
    assert result.exit == 40
    assert result.complete["exit_code"] == 40
    assert f"read-only file system: {room}" in result.errors


def test_run_whose_volume_fills_up_during_the_push_calls_the_webhook_and_ends_with_sync_complete(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    bucket.put("clusterbackup/a/x", b"x")
    room = tmp_path / "small"
    here = sync.elsewhere(room / "work")
    install_hook(
        repository, "post-receive", f"#!/bin/sh\ncat /dev/zero > {room}/filler 2>/dev/null\nexit 0\n"
    )
    with file_system(room, "size=4m"), receiver() as hook:
        result = here(WEBHOOK_URL=hook.url)
        assert result.exit == 40
        assert result.lines[-1]["operation"] == "sync_complete"
        assert f"no space left on device: {room}" in result.errors
        assert [json.loads(delivery.body)["run"]["exit_code"] for delivery in hook.got] == [40]
        assert contents(repository) == {"clusterbackup/a/x": b"x"}
        (room / "filler").unlink()
        (repository / "hooks" / "post-receive").unlink()
        again = here()
        assert (again.exit, again.complete["files_changed"]) == (0, 0)


def run_once(sync: Sync) -> tuple[list[int], CommandResult]:
    result = sync("run", RETRY_ATTEMPTS="1")
    return [result.exit], result


def run_steps(sync: Sync) -> tuple[list[int], CommandResult]:
    """Call every step, as a workflow does without regard to failures, and return the result of report."""
    results = [
        sync(step, "--run-id", "r") for step in ("discover", "download", "detect", "publish", "report")
    ]
    return [result.exit for result in results], results[-1]


def remount(room: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", room], check=True)
