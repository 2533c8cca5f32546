"""Signals: both raise Terminated; a block can defer them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from steps.errors import Terminated
from steps.runtime import signals

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    signals.install()
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in numbers:
        signal.signal(number, before[number])


def _start(started: list[str]) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    started.append("git")


def test_deferred_signal_raises_at_the_end_of_the_block() -> None:
    started: list[str] = []
    with pytest.raises(Terminated, match="SIGTERM"), signals.deferred():
        _start(started)
    assert started


def test_deferred_block_defers_the_repeated_signal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_REPEAT_SECONDS", 0.01)
    with pytest.raises(Terminated):
        _start([])
    started: list[str] = []
    with pytest.raises(Terminated):  # noqa: PT012 - where it is raised is the question
        with signals.deferred():
            signal.sigtimedwait([signal.SIGUSR1], 0.1)
            started.append("git")
        signal.pause()
    assert started


def test_signal_after_a_deferred_block_raises_at_once() -> None:
    with signals.deferred():
        pass
    started: list[str] = []
    with pytest.raises(Terminated):
        _start(started)
    assert not started


@pytest.mark.parametrize("at", ["signals.install", "cli._set_up_log", "cli._click"])
def test_signal_before_or_after_a_command_exits_with_143_and_an_error(at: str) -> None:
    interrupted = f"""
import os, signal, sys
from steps import cli
from steps.runtime import signals
was = {at}
def interrupted(*given):
    try:
        return was(*given)
    finally:
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            os.kill(os.getpid(), signal.SIGTERM)
{at} = interrupted
sys.argv = ["git-sync", "--version"]
cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", interrupted],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (143, "")
    assert "Git synchronization was stopped" in done.stdout
