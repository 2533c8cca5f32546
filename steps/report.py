"""report, step 5: add the run to the state across runs (sync-metadata.json)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps.contracts import RunResult, State
from steps.core.operations import Operation
from steps.reporting.delivery import Reported
from steps.reporting.state import is_other_sync, state_after
from steps.runtime import logs
from steps.workdir.files import read_document, write_document

if TYPE_CHECKING:
    from pathlib import Path


def report(state_file: Path, result: RunResult, *, output: Path | None = None) -> Reported | None:
    """Add the run to the state and write it, to the directory ``output`` if given.

    A repeated report changes nothing. A dry run is not reported: the result is None. An unreadable state is
    an error, because a new one would reset every counter to zero.
    """
    if result.dry_run:
        return None
    old = previous_state(state_file)
    if is_other_sync(old, result):
        logs.warning(Operation.SETUP_WORKDIR, "The working directory now belongs to another bucket or branch")
    reported = Reported(old, state_after(old, result), (output or state_file.parent) / state_file.name)
    write_document(reported.file, reported.state)
    return reported


def previous_state(state_file: Path) -> State | None:
    """Return the state so far, None if there is none. Raises FixConfiguration if it is damaged."""
    try:
        return read_document(state_file, State)
    except (FileNotFoundError, IsADirectoryError):  # Argo creates a directory if there is no artifact
        return None
