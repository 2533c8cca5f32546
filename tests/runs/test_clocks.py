"""Runs on machines whose clock is wrong: no instant ahead of now is believed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.repositories import contents
from tests.support.steps import KEY, prepare, publish

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.sync import CommandResult, Sync

pytestmark = pytest.mark.usefixtures("synced")

WARNING = "Times ahead of this machine's clock are ignored"
DAY = timedelta(days=1)
LIBRARIES = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1")]


def warnings(result: CommandResult) -> list[str]:
    return [line["message"] for line in result.of("report", "warning")]


def with_instants_moved(sync: Sync, by: timedelta) -> None:
    """Move every instant of the state, as if the run's machine had had another clock."""

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [moved(inner) for inner in value]
        if isinstance(value, str) and value.endswith("Z") and value[4:5] == "-":
            return (datetime.fromisoformat(value) + by).isoformat()
        return value

    (sync.work_dir / "sync-metadata.json").write_text(json.dumps(moved(sync.state)))


@pytest.mark.skipif(not LIBRARIES, reason="needs libfaketime (apt-get install faketime)")
@pytest.mark.parametrize("ahead", ["+1d", "+1y"])
def test_failing_runs_count_after_a_run_on_a_machine_whose_clock_is_ahead(
    ahead: str, sync: Sync, tmp_path: Path
) -> None:
    (tmp_path / ".faketimerc").write_text(ahead)
    process = sync.start("run", LD_PRELOAD=str(LIBRARIES[0]), HOME=str(tmp_path))
    process.communicate(timeout=60)
    assert process.returncode == 0
    tomorrow = datetime.fromisoformat(sync.state["last_success"]["at"])
    assert tomorrow > datetime.now(UTC) + DAY / 2
    unknown = sync("health")
    assert unknown.exit == 1
    assert "ahead of this machine's clock" in unknown.errors
    failing = [sync(MINIO_ENDPOINT="127.0.0.1:1", RETRY_ATTEMPTS="1") for _ in range(2)]
    assert [warnings(result) for result in failing] == [[WARNING], []]
    assert sync.state["consecutive_failures"] == 2
    assert sync.state["last_run"]["exit_code"] == 30
    assert datetime.fromisoformat(sync.state["last_success"]["at"]) <= datetime.now(UTC)
    assert sync("health", HEALTH_MAX_AGE="1ms").exit == 1, "the success has an age again"
    assert sync().exit == 0
    assert sync.state["last_success"]["run_id"] == sync.state["last_run"]["run_id"]
    assert sync("health").exit == 0


def test_success_replaces_a_success_that_is_ahead_of_now(sync: Sync) -> None:
    with_instants_moved(sync, 365 * DAY)
    result = sync()
    assert warnings(result) == [WARNING]
    state = sync.state
    assert state["last_run"]["run_id"] == state["last_success"]["run_id"] == result.complete["run"]
    assert state["consecutive_failures"] == 0
    instants = [state["last_success"]["at"], *state["listed"].values(), state["last_run"]["started_at"]]
    instants += [cluster["last_success_at"] for cluster in state["clusters"].values()]
    assert all(datetime.fromisoformat(at) < datetime.now(UTC) + DAY for at in instants)
    assert warnings(sync()) == []


def test_listing_ahead_of_now_supersedes_no_run(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put(KEY, b"2")
    with_instants_moved(sync, DAY)
    prepare(sync, "a")
    outcome = publish(sync, "a")
    assert outcome.exit == 0
    assert not outcome.of("detect_changes", "warning")
    assert contents(repository)[KEY] == b"2"


def test_state_a_few_minutes_ahead_is_believed(sync: Sync) -> None:
    with_instants_moved(sync, timedelta(minutes=14))
    assert sync("health").exit == 0
    assert warnings(sync()) == []
