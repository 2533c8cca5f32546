"""Results of runs that wrote none, and the log line sync_complete."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from steps.contracts import Outcome, RunResult, RunStart
from steps.core.exit_codes import Exit, most_severe
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.errors import ApproveNewBranch, SyncError, Terminated, TryAgain
from steps.reporting.result import cause
from steps.runtime import logs
from steps.runtime.redaction import redacted

_MAX_FAILURES = 5


def missing_result(start: RunStart, failures: str = "") -> RunResult:
    """Return the result of a run that wrote none: it was stopped or killed, or it never started.

    ``failures`` is ``workflow.failures`` of Argo's exit handler, the only source then; "" without Argo.
    """
    error = "; ".join(_argo_failures(failures)) or "the run wrote no result"
    problem = TryAgain(Operation.SYNC_COMPLETE, "Git synchronization did not finish", error)
    return failed_result(problem, start)


def explained(result: RunResult, failures: str) -> RunResult:
    """Return the result with Argo's reason if a signal ended the run: a deadline, or `argo stop`."""
    reasons = _argo_failures(failures)
    if result.exit_code != Exit.TERMINATED or not reasons:
        return result
    return result.model_copy(update={"error": f"{result.error} ({'; '.join(reasons)})"})


def _argo_failures(failures: str) -> list[str]:
    """Return name and message of each failed node, in the order in which they ended.

    Argo passes a JSON list inside a JSON string, or ``null`` inside the string if no node failed.
    """
    try:
        nodes = json.loads(json.loads(failures)) or []
        ended = sorted(nodes, key=lambda node: node["finishedAt"] or "")
        messages = [f"{node['displayName']}: {node['message']}" for node in ended if node["message"]]
    except (ValueError, TypeError, KeyError):
        return []
    return [printable(message) for message in messages[:_MAX_FAILURES]]


def failed_result(problem: SyncError | Terminated, start: RunStart, push_attempts: int = 0) -> RunResult:
    """Return the result of a run that ended with an error. Secrets are redacted as in the log."""
    return RunResult(
        run_id=start.run_id,
        identity=start.identity,
        started_at=start.started_at,
        finished_at=datetime.now(UTC),
        outcome=Outcome.REFUSED if problem.exit is Exit.REFUSED else Outcome.FAILED,
        exit_code=problem.exit,
        exit_codes=(problem.exit,),
        mode=start.mode,
        dry_run=start.dry_run,
        filtered_by_options=start.filtered_by_options,
        filter_options=start.filter_options,
        argo=start.argo,
        push_attempts=push_attempts,
        lost_branch=problem.lost if isinstance(problem, ApproveNewBranch) else None,
        operation=problem.operation,
        error=redacted(f"{problem.message}: {problem.error}"),
    )


def unreported_result(problem: SyncError, result: RunResult) -> RunResult:
    """Return the result after the state could not be written. The first error of the run stays its cause."""
    codes = {*map(Exit, result.exit_codes), problem.exit} - {Exit.OK}
    update: dict[str, object] = {
        "outcome": Outcome.FAILED,
        "exit_code": most_severe(codes),
        "exit_codes": tuple(sorted(codes)),
    }
    if result.error is None:
        update |= {
            "operation": problem.operation,
            "error": redacted(f"{problem.message}: {problem.error}"),
        }
    return result.model_copy(update=update)


def log_sync_complete(result: RunResult) -> None:
    """Log the last line of a run."""
    duration_ms = round(result.duration_seconds * 1000, 2)
    data = {
        "clusters_processed": len(result.processed),
        "files_downloaded": sum(cluster.fetched for cluster in result.clusters),
        "files_changed": result.files_changed,
        "git_commit": result.commit,
        "duration_ms": duration_ms,
        "run": result.run_id,
        "outcome": result.outcome,
        "exit_code": result.exit_code,
    }
    if result.exit_code == Exit.OK:
        message = (
            "Dry run completed: nothing was changed"
            if result.dry_run
            else "Git synchronization completed successfully"
        )
        logs.info(Operation.SYNC_COMPLETE, message, took=duration_ms, **data)
    else:
        logs.error(
            Operation.SYNC_COMPLETE,
            f"Git synchronization ended with exit code {result.exit_code}",
            cause(result),
            took=duration_ms,
            **data,
        )
