"""A thread pool that several users share. No user can occupy all threads."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class FairPool:
    """``threads`` threads. Each user submits its tasks through a separate share.

    A share gets a second thread only if one is free for each of the ``users`` that has no running task. So
    if the tasks of one user hang, the others still make progress. The threads are daemons, so that a task
    that hangs does not keep the process alive.
    """

    def __init__(self, threads: int, users: int, name: str) -> None:
        self._threads = threads
        self._users = min(users, threads)
        self._name = name
        self._changed = threading.Condition()
        self._workers: list[threading.Thread] = []
        self._shares: list[Share] = []
        self._idle = self._running = 0
        self._is_shut_down = False

    def share(self) -> Share:
        """Return a share for one more user."""
        share = Share(self)
        with self._changed:
            share.is_closed = self._is_shut_down
            self._shares.append(share)
        return share

    def expect(self, users: int) -> None:
        """Keep threads for this many users from now on."""
        with self._changed:
            self._users = min(users, self._threads)
            self._changed.notify_all()

    def shutdown(self, *, wait: bool) -> None:
        """Cancel all tasks that have not begun. ``wait``: wait for the others."""
        with self._changed:
            self._is_shut_down = True
            for share in self._shares:
                share.cancel()
            self._changed.notify_all()
        if wait:
            for worker in self._workers:
                worker.join()

    def submit(self, share: Share, task: _Task) -> None:
        """Queue a task; for Share. After shutdown or close it is cancelled: no thread would take it."""
        with self._changed:
            if share.is_closed:
                task[0].cancel()
                return
            share.queue.append(task)
            self._changed.notify()
            queued = sum(len(known.queue) for known in self._shares)
            if queued > self._idle and len(self._workers) < self._threads:
                worker = threading.Thread(
                    target=self._work, name=f"{self._name}_{len(self._workers)}", daemon=True
                )
                self._workers.append(worker)
                worker.start()

    def close(self, share: Share) -> None:
        """Cancel the tasks of a share that have not begun; for Share. The others still count."""
        with self._changed:
            share.cancel()
            self._shares = [known for known in self._shares if known is not share or share.running]

    def _work(self) -> None:
        while (begun := self._next_task()) is not None:
            share, (future, function, arguments) = begun
            try:
                if future.set_running_or_notify_cancel():
                    future.set_result(function(*arguments))
            except BaseException as problem:  # noqa: BLE001 - raised again by the future
                future.set_exception(problem)
            with self._changed:
                share.running -= 1
                self._running -= 1
                if share.is_closed and not share.running:
                    self._shares.remove(share)

    def _next_task(self) -> tuple[Share, _Task] | None:
        """Wait for a task that may begin; None after shutdown."""
        with self._changed:
            while (share := self._next_share()) is None:
                if self._is_shut_down:
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            share.running += 1
            self._running += 1
            return share, share.queue.popleft()

    def _next_share(self) -> Share | None:
        chosen = min((share for share in self._shares if share.queue), key=_running, default=None)
        if chosen and chosen.running:
            busy = sum(share.running > 0 for share in self._shares if not share.is_closed)
            if self._threads - self._running <= self._users - busy:
                return None
        return chosen


_Task = tuple[Future[Any], "Callable[..., Any]", tuple[Any, ...]]


class Share:
    """One user's access to a FairPool."""

    def __init__(self, pool: FairPool) -> None:
        self.running = 0
        self.queue: deque[_Task] = deque()
        self.is_closed = False
        self._pool = pool

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Return the future result of ``function(*arguments)``."""
        future: Future[T] = Future()
        self._pool.submit(self, (future, function, arguments))
        return future

    def cancel(self) -> None:
        """Cancel the tasks that have not begun."""
        self.is_closed = True
        while self.queue:
            self.queue.popleft()[0].cancel()

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close(self)


def _running(share: Share) -> int:
    return share.running
