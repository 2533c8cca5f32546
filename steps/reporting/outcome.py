"""The outcome of a run: results of runs that left none, and the log line sync_complete."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from steps.contracts import Outcome, RunResult, RunStart
from steps.core.exit_codes import Exit
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.errors import SyncError, Terminated, TryAgain
from steps.reporting.result import cause
from steps.runtime import logs

_SHOWN_FAILURES = 5


def lost(start: RunStart, argo: str = "") -> RunResult:
    """The result of a run that left none: stopped, killed, or never begun.

    ``argo`` is the workflow.failures of an exit handler, the only witness then; "" for none.
    """
    said = "; ".join(_failures(argo)) or "the run left no result"
    return failed(TryAgain(Operation.SYNC_COMPLETE, "Git synchronization did not finish", said), start)


def _failures(argo: str) -> list[str]:
    """What Argo says of the nodes that failed, in the order in which they ended.

    It is a JSON list inside a JSON string; ``null`` in there if none failed.
    """
    try:
        nodes = json.loads(json.loads(argo)) or []
        ended = sorted(nodes, key=lambda node: node["finishedAt"] or "")
        said = [f"{node['displayName']}: {node['message']}" for node in ended if node["message"]]
    except (ValueError, TypeError, KeyError):
        return []
    return [printable(words) for words in said[:_SHOWN_FAILURES]]


def failed(problem: SyncError | Terminated, start: RunStart, push_attempts: int = 0) -> RunResult:
    """The result of a run that an error ended: what the log has said, and no secret either."""
    return RunResult(
        run_id=start.run_id,
        identity=start.identity,
        started_at=start.started_at,
        finished_at=datetime.now(UTC),
        outcome=Outcome.FAILED,
        exit_code=problem.exit,
        exit_codes=(problem.exit,),
        mode=start.mode,
        dry_run=start.dry_run,
        filtered_by_options=start.filtered_by_options,
        push_attempts=push_attempts,
        operation=problem.operation,
        error=logs.redacted(f"{problem.message}: {problem.error}"),
    )


def tell(result: RunResult) -> None:
    """Log sync_complete."""
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
