"""SIGTERM and SIGINT: both raise Terminated in the main thread."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from steps.errors import Terminated

if TYPE_CHECKING:
    from collections.abc import Iterator

_REPEAT_SECONDS = 2.0

# Signals that arrived while they were deferred; None outside of `deferred`.
_pending: list[int] | None = None


def install() -> None:
    """Let both signals raise Terminated in the main thread."""
    sys.unraisablehook = _unraisable
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)


def ignore() -> None:
    """Ignore both signals, so that they do not interrupt the clean-up after Terminated was caught."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def deferred() -> Iterator[None]:
    """Defer both signals to the end of the block.

    For a block that starts a process: Terminated is raised only when the process is known, and can be killed.
    """
    global _pending  # noqa: PLW0603 - signal handlers belong to the process
    arrived: list[int] = []
    _pending = arrived
    try:
        yield
    finally:
        _pending = None
        if arrived:
            signal.raise_signal(arrived[0])


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    if not isinstance(lost.exc_value, Terminated):  # _stop repeats Terminated
        sys.__unraisablehook__(lost)


def _stop(number: int, _frame: object) -> None:
    if _pending is not None:
        _pending.append(number)
        return
    name = signal.Signals(number).name

    def repeat(_number: int, _frame: object) -> None:
        if _pending is None:  # otherwise at the next alarm
            raise Terminated(name)

    # Python drops an exception that is raised while a finalizer runs, so it is repeated until it is caught.
    signal.signal(signal.SIGALRM, repeat)
    signal.setitimer(signal.ITIMER_REAL, _REPEAT_SECONDS, _REPEAT_SECONDS)
    raise Terminated(name)
