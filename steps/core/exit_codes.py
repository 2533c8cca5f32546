"""Exit codes, and which one wins when several apply."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Exit(IntEnum):
    """The result of a command for its caller (a person, Argo, a CronJob).

    Argo's executor uses 64 and 65, and 128+n are signals: never use them here.
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
    """Return the exit code of a run with all of these outcomes; OK if there is none."""
    applying = set(exits)
    return next((code for code in _PRECEDENCE if code in applying), Exit.OK)
