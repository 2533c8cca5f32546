"""Reads the state, sync-metadata.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps.contracts import State
from steps.workdir.files import read_document

if TYPE_CHECKING:
    from pathlib import Path


def read_state(path: Path, *, identity: str | None = None) -> State | None:
    """Return the state; None if there is none, or if it is not of the sync with this identity (None: any).

    Raises FixConfiguration if it is damaged.
    """
    try:
        state = read_document(path, State)
    except (FileNotFoundError, IsADirectoryError):  # Argo creates a directory if there is no artifact
        return None
    return state if identity in {None, state.identity} else None
