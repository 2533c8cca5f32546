"""SIGTERM and SIGINT: stop, clean up, say so."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from steps.errors import Terminated

if TYPE_CHECKING:
    from collections.abc import Iterator

_AGAIN_SECONDS = 2.0

# Signals that arrived while they were deferred; None outside such a block.
_waiting: list[int] | None = None


def install() -> None:
    """Let both signals raise Terminated in the main thread."""
    sys.unraisablehook = _unraisable
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)


def caught() -> None:
    """Somebody has caught Terminated: it need not come again, and nothing may interrupt cleaning up."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def deferred() -> Iterator[None]:
    """Defer both signals to the end of the block, so that a process it starts is known before they raise."""
    global _waiting  # noqa: PLW0603 - signals are the process's
    came: list[int] = []
    _waiting = came
    try:
        yield
    finally:
        _waiting = None
        if came:
            signal.raise_signal(came[0])


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    if not isinstance(lost.exc_value, Terminated):  # that one comes again, see below
        sys.__unraisablehook__(lost)


def _stop(number: int, _frame: object) -> None:
    if _waiting is not None:
        _waiting.append(number)
        return
    name = signal.Signals(number).name

    def again(_number: int, _frame: object) -> None:
        if _waiting is None:  # else at the next time
            raise Terminated(name)

    # An exception that is raised while a finalizer happens to run is printed and forgotten.
    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)
    raise Terminated(name)
