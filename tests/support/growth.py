"""Check that CPU time grows with the size of an input, and not with its square."""

from __future__ import annotations

from time import thread_time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMES_LARGER = 8

# Linear code takes about 8 times as long, quadratic code 64 times.
_MOST_TIMES_LONGER = 28


def assert_linear(run: Callable[[int], object], size: int) -> None:
    """Call ``run`` with ``size`` and with 8 times as much. It must take some milliseconds at ``size``."""
    small = min(_seconds(run, size) for _ in range(3))
    large = min(_seconds(run, size * _TIMES_LARGER) for _ in range(2))
    assert large < small * _MOST_TIMES_LONGER, f"{large / small:.0f} times as long for {_TIMES_LARGER} times"


def _seconds(run: Callable[[int], object], size: int) -> float:
    before = thread_time()
    run(size)
    return thread_time() - before
