"""Memory and CPU time of a run, separately for Python, its git processes, and the git of the remote."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SAMPLE_SECONDS = 0.02
_REMOTE = (b"upload-pack", b"receive-pack")
PYTHON, GIT, REMOTE = "python", "git", "remote"


@dataclass(frozen=True)
class Measured:
    """``peak_bytes`` is the largest sampled sum of resident memory, by kind of process."""

    seconds: float
    cpu_seconds: float
    peak_bytes: Mapping[str, int]
    exit_code: int
    output: str


def measured(command: Sequence[str], environment: Mapping[str, str], directory: Path) -> Measured:
    """Run the command to its end, with only ``environment``."""
    log = directory / "output"
    with log.open("wb") as sink:
        began = time.monotonic()
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
        peaks = _Peaks(child.pid)
        with peaks:
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
    output = log.read_text(errors="replace")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, peaks.bytes, child.returncode, output)


class _Peaks:
    """Samples a process and its descendants while the block runs."""

    def __init__(self, pid: int) -> None:
        self.bytes: Counter[str] = Counter()
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
            now: Counter[str] = Counter()
            for kind, pid in _tree(self._pid, PYTHON):
                now[kind] += _resident(pid)
            self.bytes |= now


def _tree(pid: int, kind: str) -> Iterator[tuple[str, int]]:
    """Yield the process and its descendants. Over file:// git also starts the processes of the remote.

    A child that still is Python is a fork before its exec of git, and shares the memory of its parent.
    """
    yield kind, pid
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split()):
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                if kind == REMOTE or any(name in command for name in _REMOTE):
                    yield from _tree(child, REMOTE)
                elif Path(f"/proc/{child}/comm").read_text().startswith("git"):
                    yield from _tree(child, GIT)


def _resident(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
