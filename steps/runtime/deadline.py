"""A deadline for a call that cannot be given one."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def call_within(seconds: float, call: Callable[[], T]) -> T:
    """Return the result of ``call``. Raises TimeoutError if it takes longer than ``seconds``.

    The call runs in a thread, because timeouts of sockets restart at each byte and none applies to a name
    lookup. A late call continues in its thread, which ends with the process: only for calls of a process that
    ends soon.
    """
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as problem:  # noqa: BLE001 - raised again in the caller's thread
            outcome.set_exception(problem)

    threading.Thread(target=work, daemon=True).start()
    return outcome.result(seconds)
