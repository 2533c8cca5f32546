"""report, step 5: add the run to the state across runs (sync-metadata.json)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from steps.core.operations import Operation
from steps.reporting.delivery import Reported
from steps.reporting.state import believable_result, believable_state, is_other_sync, state_after
from steps.runtime import logs
from steps.workdir.files import write_document
from steps.workdir.state_file import read_state

if TYPE_CHECKING:
    from pathlib import Path

    from steps.contracts import RunResult, State


def report(state_file: Path, result: RunResult, *, output: Path | None = None) -> Reported | None:
    """Add the run to the state and write it, to the directory ``output`` if given.

    A repeated report changes nothing. A dry run is not reported: the result is None. An unreadable state is
    an error, because a new one would reset every counter to zero.
    """
    if result.dry_run:
        return None
    now = datetime.now(UTC)
    result, ended = believable_result(result, now), result
    found = read_state(state_file)
    old = believable_state(found, result, now) if found else None
    if old != found or result is not ended:
        _log_clocks(found, ended)
    if is_other_sync(old, result):
        logs.warning(Operation.SETUP_WORKDIR, "The working directory now belongs to another bucket or branch")
    file = (output or state_file.parent) / state_file.name
    reported = Reported(
        old,
        state_after(old, result, now),
        result,
        file,
        # The directory ``output`` is that of one run. WORK_DIR keeps the page of the last whole run.
        pages="report-filtered" if result.filtered_by_options and output is None else "report",
    )
    write_document(reported.file, reported.state)
    return reported


def _log_clocks(state: State | None, result: RunResult) -> None:
    """Log that the state or the result has instants ahead of now."""
    logs.warning(
        Operation.REPORT,
        "Times ahead of this machine's clock are ignored",
        error="the clock of this machine, or of one that ran git-sync before, is wrong",
        last_runs=[run.finished_at.isoformat() for run in state.runs] if state else [],
        last_success=state and state.last_success and state.last_success.at.isoformat(),
        this_run=result.finished_at.isoformat(),
        run=result.run_id,
    )
