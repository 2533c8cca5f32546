from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, wait
from typing import TYPE_CHECKING

import pytest

from steps.runtime.fair_pool import FairPool

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What tasks wait for that would not end."""
    event = threading.Event()
    yield event
    event.set()


def test_share_returns_results_and_raises_errors() -> None:
    pool = FairPool(2, users=1, name="test")
    with pool.share() as share:
        assert [share.submit(pow, 2, n).result(5) for n in range(4)] == [1, 2, 4, 8]
        with pytest.raises(ZeroDivisionError):
            share.submit(divmod, 1, 0).result(5)
    pool.shutdown(wait=True)


def test_task_after_shutdown_or_close_is_cancelled() -> None:
    """Nothing would ever run it, and its user would never return."""
    pool = FairPool(2, users=2, name="test")
    share, other = pool.share(), pool.share()
    assert share.submit(pow, 2, 2).result(5) == 4
    with other:
        pass
    assert other.submit(pow, 2, 2).cancelled()
    pool.shutdown(wait=True)
    assert share.submit(pow, 2, 2).cancelled()
    assert pool.share().submit(pow, 2, 2).cancelled()


def test_only_user_gets_every_thread() -> None:
    pool = FairPool(4, users=1, name="test")
    share = pool.share()
    begun = threading.Barrier(5, timeout=5)

    def task() -> None:
        begun.wait()

    futures = [share.submit(task) for _ in range(4)]
    begun.wait()
    assert not wait(futures, timeout=5).not_done
    pool.shutdown(wait=True)


@pytest.mark.parametrize("threads", [2, 4, 10])
def test_users_with_endless_tasks_keep_a_thread_free_for_the_others(
    threads: int, release: threading.Event
) -> None:
    pool = FairPool(threads, users=4, name="test")
    slow = [pool.share() for _ in range(min(threads, 4) - 1)]
    for share in slow:
        for _ in range(20):
            share.submit(release.wait, 60)
    with pool.share() as share:
        futures = [share.submit(pow, 2, n) for n in range(50)]
        assert [future.result(5) for future in futures] == [2**n for n in range(50)]
    pool.shutdown(wait=False)


def test_fewer_expected_users_release_their_threads(release: threading.Event) -> None:
    pool = FairPool(3, users=3, name="test")
    share = pool.share()
    begun = threading.Semaphore(0)

    def task() -> None:
        begun.release()
        release.wait(60)

    for _ in range(3):
        share.submit(task)
    assert begun.acquire(timeout=5)
    assert not begun.acquire(timeout=0.1)
    pool.expect(1)
    assert begun.acquire(timeout=5)
    assert begun.acquire(timeout=5)
    pool.shutdown(wait=False)


def test_closed_share_cancels_tasks_that_have_not_begun(release: threading.Event) -> None:
    pool = FairPool(1, users=1, name="test")
    begun = threading.Event()

    def task() -> None:
        begun.set()
        release.wait(60)

    with pool.share() as share:
        running = share.submit(task)
        queued = share.submit(pow, 2, 2)
        assert begun.wait(5)
    with pytest.raises(CancelledError):
        queued.result(5)
    assert not running.done()
    with pool.share() as other:
        later = other.submit(pow, 2, 3)
        release.set()
        assert later.result(5) == 8
    pool.shutdown(wait=True)


def test_cancelled_future_is_skipped(release: threading.Event) -> None:
    pool = FairPool(1, users=1, name="test")
    with pool.share() as share:
        share.submit(release.wait, 60)
        calls: list[int] = []
        cancelled = share.submit(calls.append, 1)
        last = share.submit(calls.append, 2)
        assert cancelled.cancel()
        release.set()
        last.result(5)
        assert calls == [2]
    pool.shutdown(wait=True)


def test_tasks_of_all_users_end(release: threading.Event) -> None:
    """Many tasks of several users: none is lost, and no thread is left over."""
    release.set()
    pool = FairPool(7, users=4, name="test")
    done: list[int] = []
    began = time.monotonic()
    with pool.share() as first, pool.share() as second, pool.share() as third:
        futures = [share.submit(done.append, n) for n in range(2000) for share in (first, second, third)]
        assert not wait(futures, timeout=30).not_done
    assert len(done) == 6000
    assert time.monotonic() - began < 20
    pool.shutdown(wait=True)
