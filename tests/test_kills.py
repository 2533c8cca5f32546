"""SIGKILL at any instant: nothing is lost or invented, and the next run needs nobody."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.repositories import branches, contents, fsck, git, log

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_was_killed_is_made_good_by_the_next(
    seed: int, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    choice = random.Random(seed)
    keys = [f"clusterbackup/{cluster}/{number}.yaml" for cluster in ("east", "west") for number in range(30)]
    written: dict[str, set[bytes]] = {key: set() for key in keys}
    for attempt in range(6):
        for key in choice.sample(keys, 10) if attempt else keys:
            body = b"%d-%d" % (attempt, choice.randrange(1000))
            bucket.put(key, body)
            written[key].add(body)
        process = sync.start("run")
        time.sleep(choice.uniform(0.3, 1.2))  # from before the first request to after the push
        process.kill()
        process.communicate()
        held = contents(repository) if branches(repository) else {}
        assert all(body in written[key] for key, body in held.items()), "every blob was once the object"
        assert not branches(repository) or held.keys() == set(keys), "no path is ever lost"
    assert sync().exit == 0
    assert contents(repository) == {key: bucket.get(key) for key in keys}
    commits = len(log(repository))
    assert sync().exit == 0
    assert len(log(repository)) == commits
    fsck(repository)
    assert git(repository, "rev-list", "--min-parents=2", "main") == b""


def test_a_kill_leaves_no_lock_behind(sync: Sync, bucket: Bucket) -> None:
    bucket.put("clusterbackup/east/a.yaml", b"a")
    process = sync.start("run")
    while not (sync.work_dir / ".git-sync" / "lock").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert sync().exit == 0
