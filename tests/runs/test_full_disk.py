"""A full volume: the error names the path and the volume, for each file that may fill it up."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.soak.full_disks import file_system, obstacle

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

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
