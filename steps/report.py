"""report: the run's last word, and the state that outlives it (sync-metadata.json)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from steps import logs
from steps.contracts import LastSuccess, RunResult, RunStart, State, Status
from steps.core.exits import Exit
from steps.core.keys import escaped
from steps.core.samples import Counters
from steps.errors import TryAgain
from steps.volume import read_document, write_document

if TYPE_CHECKING:
    from pathlib import Path

    from steps.errors import SyncError, Terminated

_SHOWN_FAILURES = 5


def report(state_file: Path, result: RunResult, *, written_to: Path | None = None) -> None:
    """Log sync_complete and add the run to the state, once however often it is reported.

    ``written_to`` is where the new state goes, if not over the old one. A dry run leaves no trace.
    A state that is there and cannot be read is an error: writing zeros over it would make every
    counter lie.
    """
    if not result.dry_run:
        write_document(written_to or state_file, _advanced(previous_state(state_file), result))
    _log(result)


def lost(start: RunStart, argo: str = "") -> RunResult:
    """The result of a run that left none: stopped, killed, or never begun.

    ``argo`` is the workflow.failures of an exit handler, the only witness then; "" for none.
    """
    said = "; ".join(_failures(argo)) or "the run left no result"
    return failed(TryAgain("sync_complete", "Git synchronization did not finish", said), start)


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
    return [escaped(words) for words in said[:_SHOWN_FAILURES]]


def failed(problem: SyncError | Terminated, start: RunStart) -> RunResult:
    """The result of a run that an error ended: what the log has said, and no secret either."""
    result = RunResult.of_failure(problem, start, finished_at=datetime.now(UTC))
    return result.model_copy(update={"error": logs.redacted(result.error or "")})


def previous_state(state_file: Path) -> State | None:
    """Return the state so far, None if there is none. FixConfiguration if it is damaged."""
    try:
        return read_document(state_file, State)
    except (FileNotFoundError, IsADirectoryError):  # the latter is Argo's way to say "no artifact"
        return None


def _advanced(old: State | None, result: RunResult) -> State:
    """Add the run to the state.

    What is known of a bucket and branch (the last success, the listings) is not carried over to
    another; but a run that achieved nothing there, by a mistyped setting, must not forget it either.
    The counters go on whatever happens: they are the volume's, and may never fall.
    """
    achieved = result.exit_code in {Exit.OK, Exit.PARTIAL}
    moved = old is not None and old.identity != result.identity and achieved
    if moved:
        logs.warning("setup_workdir", "This volume now serves another bucket or branch")
    known = None if moved else old
    listed = dict(known.listed) if known else {}
    last_success = known.last_success if known else None
    for cluster in result.processed:
        if cluster.listed_at and (known is None or known.identity == result.identity):
            listed[cluster.name] = max(cluster.listed_at, listed.get(cluster.name, cluster.listed_at))
    superseded = any(cluster.status is Status.SUPERSEDED for cluster in result.clusters)
    if result.exit_code == Exit.OK and not result.narrowed and not superseded:
        success = LastSuccess(run_id=result.run_id, at=result.finished_at)
        # An old run may be reported late, or again.
        last_success = max(filter(None, (last_success, success)), key=lambda known: known.at)
    last_run = result
    if old and old.last_run.started_at > result.started_at:
        last_run = old.last_run
    counters = old.counters if old else Counters()
    return State(
        identity=known.identity if known else result.identity,
        last_run=last_run,
        last_success=last_success,
        listed=listed,
        counters=counters.with_run(
            result.run_id,
            duration_seconds=result.duration_seconds,
            failed=result.exit_code != Exit.OK,
            files_processed=sum(cluster.accepted for cluster in result.processed),
        ),
    )


def _log(result: RunResult) -> None:
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
        logs.info("sync_complete", message, took=duration_ms, **data)
    else:
        logs.error(
            "sync_complete",
            f"Git synchronization ended with exit code {result.exit_code}",
            result.cause,
            took=duration_ms,
            **data,
        )
