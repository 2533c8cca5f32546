from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from steps.errors import Terminated
from steps.runtime import signals
from steps.runtime.deadline import call_within


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
