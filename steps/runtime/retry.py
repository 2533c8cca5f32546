"""How often failures are retried, and after which pauses. docs/settings.md lists the resulting numbers.

A request is retried in exactly one place:

- an object: by ObjectStore.fetch(), which also checks the content (REQUESTS)
- LIST and HEAD: by the pool in clients/s3/transport.py (REQUESTS)
- a push: by publish, which asks the remote after each one whether it landed (PUSHES)
- Pushgateway and webhook: by urllib3 (DELIVERIES)

Around them a whole step is retried RETRY_ATTEMPTS times, by ``git-sync run`` or by Argo.

This is not tenacity, because ObjectStore.fetch() uses it for every object: setting up a tenacity loop takes
as long as reading a small object (measured with tenacity 9.2).
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from steps.errors import SyncError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


@dataclass(frozen=True)
class Retry:
    """The next attempt: its number of ``attempts``, the seconds before it, and the error of the last one."""

    number: int
    attempts: int
    pause: float
    problem: SyncError | None


@dataclass(frozen=True)
class RetryPolicy:
    """At most ``attempts`` attempts, with pauses between them that start at ``first_pause`` seconds."""

    attempts: int
    first_pause: float
    longest_pause: float = 300.0

    def pauses(self) -> Iterator[float | None]:
        """Yield for each attempt the seconds to wait after it; None for the last.

        The pauses double. Each is up to 50 % shorter or longer at random.
        """
        for retries in range(self.attempts - 1):
            yield min(self.longest_pause, self.first_pause * 2**retries) * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        yield None

    def tries(self) -> Iterator[int]:
        """Yield the number of each attempt, from 1, and pause before every one but the first."""
        for number, pause in enumerate(self.pauses(), 1):
            yield number
            if pause is not None:
                time.sleep(pause)

    def call(
        self,
        function: Callable[[], T],
        *,
        is_transient: Callable[[T], bool] = lambda _: False,
        on_retry: Callable[[Retry], None] = lambda _: None,
    ) -> T:
        """Call the function; retry it while it raises a transient error or returns a transient result.

        The outcome of the last attempt counts. ``on_retry`` is called before each pause.
        """
        for number, pause in enumerate(self.pauses(), 1):
            problem = None
            try:
                result = function()
            except SyncError as raised:
                if pause is None or not raised.transient:
                    raise
                problem = raised
            else:
                if pause is None or not is_transient(result):
                    return result
            on_retry(Retry(number + 1, self.attempts, pause, problem))
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")


REQUESTS = RetryPolicy(attempts=4, first_pause=0.2)
PUSHES = RetryPolicy(attempts=5, first_pause=0.5)
REPLICAS = RetryPolicy(attempts=4, first_pause=0.5)
DELIVERIES = RetryPolicy(attempts=3, first_pause=0.5)
