"""Exit codes, and which one wins when several hold."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Exit(IntEnum):
    """What the caller of a command (a person, Argo, a CronJob) is told.

    64 and 65 belong to Argo's executor, 128+n to signals: never use them here.
    """

    OK = 0
    UNHEALTHY = 1
    USAGE = 2
    PARTIAL = 10
    REFUSED = 20
    TRANSIENT = 30
    CONFIGURATION = 40
    TERMINATED = 143


_PRECEDENCE = (
    Exit.TERMINATED,
    Exit.USAGE,
    Exit.CONFIGURATION,
    Exit.TRANSIENT,
    Exit.REFUSED,
    Exit.PARTIAL,
    Exit.UNHEALTHY,
    Exit.OK,
)


def most_severe(exits: Iterable[Exit]) -> Exit:
    """Return the code that a run with all of these outcomes exits with; OK for none."""
    held = set(exits)
    return next((exit_ for exit_ in _PRECEDENCE if exit_ in held), Exit.OK)
