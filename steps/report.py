"""report: the run's last word, and the state that outlives it (sync-metadata.json)."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from steps import logs
from steps.contracts import LastSuccess, RunResult, RunStart, State, Status
from steps.core.exits import Exit
from steps.core.keys import escaped
from steps.core.samples import Counters
from steps.volume import read_document, write_document

if TYPE_CHECKING:
    from pathlib import Path

    from steps.errors import SyncError, Terminated


def report(state_file: Path, result: RunResult) -> None:
    """Log sync_complete and add the run to the state, once however often it is reported.

    A dry run leaves no trace. A state that is there and cannot be read is an error: writing zeros
    over it would make every counter lie.
    """
    if not result.dry_run:
        write_document(state_file, _advanced(previous_state(state_file), result))
    _log(result)


def failed(problem: SyncError | Terminated, start: RunStart) -> RunResult:
    """The result of a run that an error ended: what the log has said, and no secret either."""
    result = RunResult.of_failure(problem, start, finished_at=datetime.now(UTC))
    return result.model_copy(update={"error": logs.redacted(result.error or "")})


def previous_state(state_file: Path) -> State | None:
    """Return the state so far, None if there is none. FixConfiguration if it is damaged."""
    try:
        return read_document(state_file, State)
    except FileNotFoundError:
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
    if result.exit_code == Exit.OK and not result.filtered and not superseded:
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
            _why(result),
            took=duration_ms,
            **data,
        )


def _why(result: RunResult) -> str:
    """What went wrong, cluster by cluster, in one line."""
    if result.error:
        return result.error
    said = []
    for cluster in result.clusters:
        if cluster.status is Status.FAILED:
            said.append(f"{escaped(cluster.name)}: {cluster.error}")
        if cluster.status is Status.REFUSED:
            allowing = shlex.quote(escaped(cluster.allow_delete or ""))
            said.append(f"{escaped(cluster.name)}: {cluster.ruling.value} (--allow-delete {allowing})")
        if cluster.left_for_next_run:
            said.append(f"{escaped(cluster.name)}: {cluster.left_for_next_run} changes left for the next run")
    return "; ".join(said)
