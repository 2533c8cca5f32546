"""What a killed run leaves behind is removed by the next one. (Kills at any instant: tests/soak/kills.py.)"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync


def test_a_kill_leaves_no_lock_and_no_home_of_gits_for_good(
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
