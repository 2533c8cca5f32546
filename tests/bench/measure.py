"""Wall time, CPU seconds and peak memory of one command, with its child processes."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Measured:
    """``peak_bytes`` is the largest sampled sum of the proportional memory (PSS) of all processes."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    exit_code: int
    output: str


def measured(command: Sequence[str], environment: Mapping[str, str], cwd: Path) -> Measured:
    """Run the command to its end, with only ``environment``."""
    with (cwd / "output").open("w+b") as sink:
        start = time.monotonic()
        child = subprocess.Popen(
            command, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
        peak = _Peak(child.pid)
        try:
            with peak:
                _, status, usage = os.wait4(child.pid, 0)
                seconds = time.monotonic() - start
        except KeyboardInterrupt:
            child.kill()
            raise
        child.returncode = os.waitstatus_to_exitcode(status)
        sink.seek(0)
        output = sink.read().decode(errors="replace")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, peak.bytes, child.returncode, output)


class _Peak:
    """Samples a process and its descendants every 50 ms while the block runs."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            self.bytes = max(self.bytes, sum(map(_pss, _tree(self._pid))))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield from _tree(int(child))


def _pss(pid: int) -> int:
    with suppress(OSError, StopIteration):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) * 1024
    return 0


def settle(directories: Iterable[Path]) -> None:
    """Flush the writes of earlier commands, and drop the files of these directories from the page cache."""
    os.sync()
    for directory in directories:
        for parent, _, names in os.walk(directory):
            for name in names:
                with suppress(OSError):
                    _evict(os.path.join(parent, name))


def _evict(path: str) -> None:
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


def bytes_in(directory: Path, end: str = "") -> int:
    """Return the total size of the files in a directory whose names have this ending."""
    return sum(
        os.lstat(os.path.join(parent, name)).st_size
        for parent, _, names in os.walk(directory)
        for name in names
        if name.endswith(end)
    )
