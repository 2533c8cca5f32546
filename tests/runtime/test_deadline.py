from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from concurrent.futures import Future

import pytest

from steps.errors import Terminated
from steps.runtime import signals
from steps.runtime.deadline import Deadline, DeadlinePassed, call_within


def test_deadline_without_an_end_never_passes() -> None:
    deadline = Deadline()
    assert not deadline.has_passed
    assert deadline.remaining() is None
    assert list(deadline.pace(range(3000))) == list(range(3000))
    deadline.check()


def test_deadline_that_has_passed_raises() -> None:
    deadline = Deadline.after(-1)
    assert deadline.has_passed
    assert deadline.remaining() == 0
    assert 0 < (deadline.remaining(5) or 0) < 5
    with pytest.raises(DeadlinePassed):
        deadline.check()
    with pytest.raises(DeadlinePassed):
        deadline.result(Future())


def test_deadline_ends_an_endless_iteration() -> None:
    with pytest.raises(DeadlinePassed):
        sum(Deadline.after(0.1).pace(itertools.count()))


def test_deadline_returns_a_finished_result_and_raises_the_error_of_a_task() -> None:
    done: Future[int] = Future()
    done.set_result(1)
    assert Deadline.after(-1).result(done) == 1
    failed: Future[int] = Future()
    failed.set_exception(TimeoutError("of the task"))
    with pytest.raises(TimeoutError, match="of the task"):
        Deadline.after(5).result(failed)


def test_call_within_returns_the_result() -> None:
    assert call_within(5, lambda: 42) == 42


def test_call_within_raises_the_error_of_the_call() -> None:
    def fail() -> None:
        raise KeyError("absent")

    with pytest.raises(KeyError, match="absent"):
        call_within(5, fail)


def test_call_within_ends_at_the_deadline() -> None:
    release = threading.Event()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        call_within(0.1, release.wait)
    assert time.monotonic() - began < 2
    release.set()


def test_call_within_is_interrupted_by_a_signal() -> None:
    release = threading.Event()
    handlers = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    }
    signals.install()
    try:
        threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGTERM]).start()
        began = time.monotonic()
        with pytest.raises(Terminated):
            call_within(20, release.wait)
        assert time.monotonic() - began < 5
    finally:
        signals.ignore()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        release.set()


def test_call_within_uses_one_thread_for_calls_in_turn() -> None:
    assert len({call_within(5, threading.get_ident) for _ in range(20)}) == 1


def test_call_within_never_reuses_the_thread_of_a_late_call() -> None:
    release = threading.Event()
    late: list[threading.Thread] = []

    def wait() -> None:
        late.append(threading.current_thread())
        release.wait()

    with pytest.raises(TimeoutError):
        call_within(0.1, wait)
    assert call_within(5, threading.current_thread) is not late[0]
    release.set()
    late[0].join(5)
    assert not late[0].is_alive()
    assert call_within(5, lambda: 42) == 42
