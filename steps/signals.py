"""SIGTERM and SIGINT: stop, clean up, say so."""

from __future__ import annotations

import signal
import sys

from steps.errors import Terminated

_AGAIN_SECONDS = 2.0


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


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    if not isinstance(lost.exc_value, Terminated):  # that one comes again, see below
        sys.__unraisablehook__(lost)


def _stop(number: int, _frame: object) -> None:
    name = signal.Signals(number).name

    def again(_number: int, _frame: object) -> None:
        raise Terminated(name)

    # An exception that is raised while a finalizer happens to run is printed and forgotten.
    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)
    raise Terminated(name)
