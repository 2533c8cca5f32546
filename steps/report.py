"""report: the run's last word, and the state that outlives it (sync-metadata.json)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps import logs
from steps.contracts import LastSuccess, RunResult, State
from steps.core.exits import Exit
from steps.core.samples import Counters
from steps.volume import read_document, write_document

if TYPE_CHECKING:
    from pathlib import Path


def report(state_file: Path, result: RunResult) -> None:
    """Log sync_complete and add the run to the state, once however often it is reported.

    A dry run leaves no trace. A state that is there and cannot be read is an error: writing zeros
    over it would make every counter lie.
    """
    if not result.dry_run:
        state = previous_state(state_file)
        if state is not None and state.identity != result.identity:
            logs.warning("setup_workdir", "Starting a new state: the old one is of another bucket or branch")
            state = None
        write_document(state_file, _advanced(state, result))
    _log(result)


def previous_state(state_file: Path) -> State | None:
    """Return the state so far, None if there is none. FixConfiguration if it is damaged."""
    try:
        return read_document(state_file, State)
    except FileNotFoundError:
        return None


def _advanced(state: State | None, result: RunResult) -> State:
    succeeded = result.exit_code == Exit.OK and not result.filtered
    last_success = LastSuccess(run_id=result.run_id, at=result.finished_at)
    counters = state.counters if state else Counters()
    listed = dict(state.listed) if state else {}
    for cluster in result.processed:
        if cluster.listed_at:
            listed[cluster.name] = max(cluster.listed_at, listed.get(cluster.name, cluster.listed_at))
    return State(
        identity=result.identity,
        last_run=result,
        last_success=last_success if succeeded else (state.last_success if state else None),
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
    said = [
        f"{cluster.name}: {cluster.error or cluster.ruling}"
        for cluster in result.clusters
        if not cluster.processed or cluster.allow_delete
    ]
    left = [
        f"{cluster.name}: {cluster.left_for_next_run} changes left for the next run"
        for cluster in result.clusters
        if cluster.left_for_next_run
    ]
    return "; ".join(said + left)
