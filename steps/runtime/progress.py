"""The progress bar of `run` on a terminal: objects, bytes and rates."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from steps.runtime import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


class Bar:
    """Counts objects to download and downloaded objects; download's worker threads call it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("Downloading", total=0, size="", rate="")
        self._lock = threading.Lock()
        self._found = 0
        self._bytes = 0

    def found(self) -> None:
        """Count an object to download."""
        with self._lock:
            self._found += 1
            self._progress.update(self._task, total=self._found)

    def fetched(self, size: int) -> None:
        """Count a downloaded object of ``size`` bytes."""
        with self._lock:
            self._bytes += size
            task = self._progress.tasks[0]
            elapsed = task.elapsed or 1e-9
            rate = f"{task.completed / elapsed:,.0f} objects/s, {self._bytes / elapsed / 1e3:,.0f} kB/s"
            self._progress.update(self._task, advance=1, size=f"{self._bytes / 1e3:,.0f} kB,", rate=rate)


@contextmanager
def bar() -> Iterator[Bar]:
    """Show the bar below the log lines while the block runs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[size]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
    )
    console = Console()

    def above(line: str) -> None:
        # Unwrapped, so that a command in a message can be copied as one line.
        console.print(line, end="", soft_wrap=True, markup=False, highlight=False, emoji=False)

    with Progress(*columns, console=console, transient=True) as progress, logs.redirected_to(above):
        yield Bar(progress)
