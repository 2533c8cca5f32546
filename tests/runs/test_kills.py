"""A run removes the temporary files of a killed run. (tests/soak/kills.py kills at any instant.)"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync


def test_next_run_removes_the_temporary_files_of_a_killed_run(
    sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put("clusterbackup/east/a.yaml", b"a")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = sync.start("run", TMPDIR=str(temporary))
    while not any(temporary.glob("git-sync-*")):
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert any(temporary.iterdir())
    process = sync.start("run", TMPDIR=str(temporary))
    process.communicate()
    assert process.returncode == 0
    assert not any(temporary.iterdir())
