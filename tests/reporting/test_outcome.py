"""Results of runs that wrote none, and the line sync_complete."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from steps.contracts import ClusterResult, Mode, Outcome, RunStart, Status
from steps.core.operations import Operation
from steps.errors import FixConfiguration, Terminated, TryAgain
from steps.reporting.outcome import (
    explained,
    failed_result,
    log_sync_complete,
    missing_result,
    unreported_result,
)
from steps.runtime import redaction
from tests.support.log_lines import Output, entries, set_up
from tests.support.results import result

if TYPE_CHECKING:
    from steps.errors import SyncError

START = RunStart(
    run_id="r1",
    identity="0" * 16,
    started_at=datetime(2025, 7, 12, 22, 6, 58, tzinfo=UTC),
    mode=Mode.FULL,
    dry_run=False,
    filtered_by_options=True,
)


def argo(*nodes: dict[str, Any]) -> str:
    """Argo's workflow.failures: a JSON list inside a JSON string."""
    return json.dumps(json.dumps(list(nodes) or None))


def node(name: str, message: str, ended: str | None = None) -> dict[str, Any]:
    return {"displayName": name, "message": message, "finishedAt": ended}


@pytest.mark.parametrize(
    ("problem", "exit_code", "operation"),
    [
        (TryAgain(Operation.GIT_PUSH, "Failed to push", "timeout"), 30, "git_push"),
        (FixConfiguration(Operation.MINIO_CONNECT, "Failed to push", "timeout"), 40, "minio_connect"),
        (Terminated("SIGTERM"), 143, "sync_complete"),
    ],
)
def test_failed_result_has_the_code_and_the_cause_of_the_error(
    problem: SyncError | Terminated, exit_code: int, operation: str
) -> None:
    failed = failed_result(problem, START, push_attempts=3)
    assert (failed.outcome, failed.exit_code, failed.exit_codes) == (Outcome.FAILED, exit_code, (exit_code,))
    assert (failed.operation, failed.error) == (operation, f"{problem.message}: {problem.error}")
    assert (failed.run_id, failed.mode, failed.filtered_by_options, failed.push_attempts) == (
        "r1",
        Mode.FULL,
        True,
        3,
    )
    assert failed.started_at == START.started_at <= failed.finished_at


@pytest.mark.usefixtures("restored_log")
def test_failed_result_contains_no_secret() -> None:
    redaction.set_up(lambda: ["ghp_0123456789"])
    failed = failed_result(TryAgain(Operation.GIT_PUSH, "Failed", "token ghp_0123456789"), START)
    assert failed.error == "Failed: token ***"


@pytest.mark.parametrize(
    ("failures", "cause"),
    [
        (
            argo(node("b", "second", "2025-07-12T22:07:03Z"), node("a", "first\x1b", "2025-07-12T22:07:01Z")),
            r"a: first\x1b; b: second",
        ),
        (argo(node("skipped", ""), node("running", "evicted")), "running: evicted"),
        (argo(*(node(str(number), "x", "2025") for number in range(9))), "0: x; 1: x; 2: x; 3: x; 4: x"),
        (argo(), "the run wrote no result"),
        ("", "the run wrote no result"),
        ("{{workflow.failures}}", "the run wrote no result"),
        ('"[1]"', "the run wrote no result"),
    ],
)
def test_missing_result_takes_the_cause_from_argo(failures: str, cause: str) -> None:
    missing = missing_result(START, failures)
    assert (missing.exit_code, missing.operation) == (30, Operation.SYNC_COMPLETE)
    assert missing.error == f"Git synchronization did not finish: {cause}"


@pytest.mark.parametrize(
    ("exit_code", "failures", "error"),
    [
        (143, argo(node("discover(0)", "too long", "2025")), "stopped: SIGTERM (discover(0): too long)"),
        (143, argo(), "stopped: SIGTERM"),
        (40, argo(node("discover(0)", "Error (exit code 40)", "2025")), "stopped: SIGTERM"),
    ],
)
def test_stopped_result_is_explained_by_argo(exit_code: int, failures: str, error: str) -> None:
    stopped = result(outcome=Outcome.FAILED, exit_code=exit_code, error="stopped: SIGTERM")
    assert explained(stopped, failures).error == error


@pytest.mark.usefixtures("restored_log")
def test_sync_complete_of_a_successful_run_is_info_with_the_documented_data(capsys: Output) -> None:
    set_up()
    cluster = ClusterResult(name="east", status=Status.OK, fetched=5, added=3, modified=1)
    log_sync_complete(result(clusters=(cluster,), commit="0" * 40))
    (line,) = entries(capsys)
    assert (line["level"], line["message"]) == ("info", "Git synchronization completed successfully")
    assert line["data"] == {
        "clusters_processed": 1,
        "files_downloaded": 5,
        "files_changed": 4,
        "git_commit": "0" * 40,
        "duration_ms": 0.0,
        "run": "20250712T120000Z-abcdef",
        "outcome": "success",
        "exit_code": 0,
    }
    assert line["duration_ms"] == 0.0


@pytest.mark.usefixtures("restored_log")
def test_sync_complete_of_other_runs_is_an_error_with_the_cause(capsys: Output) -> None:
    set_up()
    failed = ClusterResult(name="east", status=Status.FAILED, error="Failed to list: 503")
    log_sync_complete(result(clusters=(failed,), outcome=Outcome.PARTIAL, exit_code=10))
    (line,) = entries(capsys)
    assert (line["level"], line["error"]) == ("error", "east: Failed to list: 503")
    assert line["message"] == "Git synchronization ended with exit code 10"


@pytest.mark.usefixtures("restored_log")
def test_sync_complete_of_a_dry_run_says_that_nothing_was_changed(capsys: Output) -> None:
    set_up()
    log_sync_complete(result(dry_run=True))
    assert entries(capsys)[0]["message"] == "Dry run completed: nothing was changed"


@pytest.mark.parametrize(
    ("fields", "exit_code", "error"),
    [
        ({}, 40, "Failed to use the working directory: full"),
        ({"exit_code": 20, "exit_codes": (20,)}, 40, "Failed to use the working directory: full"),
        ({"exit_code": 143, "exit_codes": (143,), "error": "SIGTERM"}, 143, "SIGTERM"),
    ],
)
def test_result_of_a_run_whose_state_cannot_be_written_has_failed(
    fields: dict[str, Any], exit_code: int, error: str
) -> None:
    problem = FixConfiguration(Operation.SETUP_WORKDIR, "Failed to use the working directory", "full")
    failed = unreported_result(problem, result(commit="c" * 40, **fields))
    assert (failed.outcome, failed.exit_code, failed.error) == (Outcome.FAILED, exit_code, error)
    assert failed.exit_codes == tuple(sorted({40, *fields.get("exit_codes", ())}))
    assert failed.commit == "c" * 40
