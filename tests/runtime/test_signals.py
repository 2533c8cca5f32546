"""SIGTERM: what has been begun is known before anything is given up."""

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


def _begin(begun: list[str]) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    begun.append("git")


def test_a_signal_that_is_held_back_stops_the_process_at_the_end_of_the_block() -> None:
    begun: list[str] = []
    with pytest.raises(Terminated, match="SIGTERM"), signals.deferred():
        _begin(begun)
    assert begun


def test_one_that_was_lost_does_not_come_again_inside_of_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_AGAIN_SECONDS", 0.01)
    with pytest.raises(Terminated):
        _begin([])
    begun: list[str] = []
    with pytest.raises(Terminated):  # noqa: PT012 - where it is raised is the question
        with signals.deferred():
            signal.sigtimedwait([signal.SIGUSR1], 0.1)
            begun.append("git")
        signal.pause()
    assert begun


def test_afterwards_it_stops_the_process_at_once() -> None:
    with signals.deferred():
        pass
    begun: list[str] = []
    with pytest.raises(Terminated):
        _begin(begun)
    assert not begun


@pytest.mark.parametrize("at", ["signals.install", "cli._begin_log", "cli._click"])
def test_a_signal_before_or_after_a_command_ends_with_143_and_a_word(at: str) -> None:
    struck = f"""
import os, signal, sys
from steps import cli
from steps.runtime import signals
was = {at}
def struck(*given):
    try:
        return was(*given)
    finally:
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            os.kill(os.getpid(), signal.SIGTERM)
{at} = struck
sys.argv = ["git-sync", "--version"]
cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", struck],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (143, "")
    assert "Git synchronization was stopped" in done.stdout
