"""The progress bar: counts, rates, and log lines above it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from steps.core.operations import Operation
from steps.runtime import logs, progress
from steps.runtime.logs import LogFormat
from steps.runtime.progress import Bar, bar
from tests.support.log_lines import set_up

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("restored_log")


def test_bar_counts_objects_and_bytes() -> None:
    shown = Progress(TextColumn("{task.description}"), console=Console(file=io.StringIO()))
    counted = Bar(shown)
    for _ in range(3):
        counted.found()
    for size in (1000, 2000):
        counted.fetched(size)
    (task,) = shown.tasks
    assert (task.total, task.completed) == (3, 2)
    assert task.fields["size"] == "3 kB,"
    assert "objects/s" in task.fields["rate"]


def terminal(out: io.StringIO) -> Callable[[], Console]:
    return lambda: Console(file=out, force_terminal=True, width=40)


def test_bar_prints_log_lines_above_it_unwrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(progress, "Console", terminal(out))
    set_up(format_=LogFormat.TEXT)
    long = "git-sync run --allow-delete production-east:0123456789abcdef [bold] :smile:"
    with bar() as shown:
        shown.found()
        logs.info(Operation.DOWNLOAD, long)
        shown.fetched(1)
    assert long in out.getvalue()


def test_bar_leaves_the_log_on_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(progress, "Console", terminal(out))
    set_up(format_=LogFormat.TEXT)
    with bar():
        pass
    logs.info(Operation.DOWNLOAD, "after the bar")
    assert "after the bar" in capsys.readouterr().out
    assert "after the bar" not in out.getvalue()
