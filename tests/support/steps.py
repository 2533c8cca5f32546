"""Calls the steps of one run separately, on a bucket with an earlier sync."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.sync import CommandResult, Sync

FIRST = {
    f"clusterbackup/{cluster}/object-{number}.yaml": b"1"
    for cluster in ("east", "west")
    for number in range(6)
}
KEY = "clusterbackup/east/object-0.yaml"


def prepare(sync: Sync, run_id: str) -> None:
    """Call every step before publish."""
    for step in ("discover", "download", "detect"):
        assert sync(step, "--run-id", run_id).exit == 0


def publish(sync: Sync, run_id: str) -> CommandResult:
    """Call publish."""
    return sync("publish", "--run-id", run_id)


def publish_again(sync: Sync, run_id: str) -> CommandResult:
    """Call publish again, as after a kill between its push and its result."""
    (sync.work_dir / ".git-sync" / "runs" / run_id / "result.json").unlink()
    return publish(sync, run_id)


def forget_last_push(sync: Sync) -> None:
    """Remove the last push from the volume, so that the next run accepts a branch without it."""
    (sync.work_dir / ".git-sync" / "last-push.json").unlink()
    (sync.work_dir / "sync-metadata.json").write_text(json.dumps(sync.state | {"last_push": None}))


def result(sync: Sync, run_id: str) -> dict[str, Any]:
    """Return result.json of the run."""
    loaded = json.loads((sync.work_dir / ".git-sync" / "runs" / run_id / "result.json").read_text())
    assert isinstance(loaded, dict)
    return loaded
