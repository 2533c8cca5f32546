"""git-sync in processes that cost little: forked from an interpreter that has imported everything.

So an instant at which one is struck lies in its work, and not in half a second of imports before it.
Run as a script, this is that interpreter; it takes an order per line, and answers with one.
"""

from __future__ import annotations

import atexit
import ctypes
import io
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from steps import cli
from tests.soak.oracle import Unsafe
from tests.support.sync import CommandResult, Sync

_ROOT = Path(__file__).parents[2]
_LONGEST_SECONDS = 20
_PATIENCE_SECONDS = 10
_MOST_BYTES = 4 << 30
_PR_SET_CHILD_SUBREAPER = 36
_STRUCK, _DUE = b"struck\n", b"due\n"

_MODULES = {"posix", "fcntl", "_io", "_posixsubprocess"}
_FILES = (io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.FileIO, socket.socket)
_IDLE = {"fspath", "getpid", "text_encoding"}


@dataclass(frozen=True)
class Instant:
    """When a process is struck: at a call that reaches the kernel, or `after` seconds, or both.

    `call` counts the calls of one `kind` (posix.replace, write, fork_exec…), or of all where it is "".
    """

    call: int = 0
    kind: str = ""
    after: float = 0.0


_NEVER = Instant()


@dataclass(frozen=True)
class Order:
    """One command. It is struck with `number` at `instant`, and with SIGKILL `grace` seconds later.

    `orphans`: what it leaves behind is not killed with it, as where only the parent is hit.
    """

    arguments: tuple[str, ...]
    settings: dict[str, str]
    log: str
    instant: Instant = _NEVER
    number: int = signal.SIGKILL
    grace: float = _LONGEST_SECONDS
    orphans: bool = False


@dataclass(frozen=True)
class Ended:
    """How it ended: exit code, or minus a signal. `calls` are those that it made, if it came to its end.

    `overdue`: it took a minute, and had to be killed.
    """

    status: int
    struck: bool
    seconds: float
    overdue: bool = False
    calls: dict[str, int] = field(default_factory=dict)


class Forked(Sync):
    """git-sync that is called in such processes."""

    @classmethod
    def of(cls, sync: Sync) -> Forked:
        """The same git-sync."""
        return cls(**vars(sync))

    def __call__(self, *arguments: str, **settings: str) -> CommandResult:
        """Run a command in peace."""
        ended, result = forker().run(self.with_settings(**settings), *arguments)
        if ended.overdue:
            raise Unsafe(f"{arguments} does not end: {result.text}")
        return result


class Forker:
    """The interpreter that forks, seen from outside. One order at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.forked"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.close)

    def run(
        self,
        sync: Sync,
        *arguments: str,
        instant: Instant = _NEVER,
        number: int = signal.SIGKILL,
        grace: float = _LONGEST_SECONDS,
        orphans: bool = False,
    ) -> tuple[Ended, CommandResult]:
        """Run one command, and return how it ended and what it result."""
        log = sync.repository.with_name(f"said-{self._process.pid}")
        log.unlink(missing_ok=True)
        order = Order(
            arguments or ("run",),
            {"PATH": os.environ["PATH"], **sync.settings},
            *(str(log), instant, number, grace, orphans),
        )
        ended = Ended(**self._ask(asdict(order)))
        result = CommandResult(ended.status, log.read_text() if log.exists() else "")
        sys.stdout.write(result.text)
        return ended, result

    def settle(self) -> int:
        """Wait for all that was left behind, and return how many there were."""
        left: int = self._ask({})["left"]
        return left

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@cache
def forker() -> Forker:
    """The one of this process."""
    return Forker()


# -- inside -----------------------------------------------------------------------------------


def main() -> None:
    """Carry out orders until there are no more."""
    import steps.commands  # noqa: F401, PLC0415 - what every child would import

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # What a killed process leaves behind becomes ours, so that it can be waited for, or killed.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for line in sys.stdin:
        given = json.loads(line)
        if given:
            instant = Instant(**given.pop("instant"))
            answer = asdict(_carried_out(Order(**given, instant=instant)))
        else:
            answer = {"left": _reap(_PATIENCE_SECONDS)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _carried_out(order: Order) -> Ended:
    news, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _become(order, told)
        finally:
            os._exit(70)
    os.close(told)
    with os.fdopen(news, "rb") as heard:
        return _attended(order, child, heard)


def _attended(order: Order, child: int, heard: BinaryIO) -> Ended:
    """Strike the child when it is due, and wait for its end."""
    began = time.monotonic()
    due = [(began + _LONGEST_SECONDS, signal.SIGKILL)]
    if order.instant.after and not order.instant.call:
        due.append((began + order.instant.after, signal.Signals(order.number)))
    struck = False
    calls: dict[str, int] = {}
    ends = os.pidfd_open(child)
    waiting: list[Any] = [ends, heard]
    while ends in waiting:
        at, number = min(due)
        ready, _, _ = select.select(waiting, [], [], max(0.0, at - time.monotonic()))
        if not ready:
            due.remove((at, number))
            os.kill(child, number)
            struck = True
            due.append((time.monotonic() + order.grace, signal.SIGKILL))
        if heard in ready:
            news = heard.readline()
            if news == _STRUCK:
                struck = True
                due.append((time.monotonic() + order.grace, signal.SIGKILL))
            elif news == _DUE:
                due.append((time.monotonic() + order.instant.after, signal.Signals(order.number)))
            elif news:
                calls = json.loads(news)
            else:
                waiting.remove(heard)
        elif ends in ready:
            waiting.remove(ends)
    os.close(ends)
    seconds = time.monotonic() - began
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL and not order.orphans:
        _reap(0)
    return Ended(status, struck, seconds, seconds >= _LONGEST_SECONDS, calls)


def _reap(patience: float) -> int:
    """Wait for everything that was left behind; return how many had to be killed in the end."""
    end = time.monotonic() + patience
    killed = set()
    me = threading.get_native_id()
    children = Path(f"/proc/self/task/{me}/children")
    while left := children.read_text().split():
        if time.monotonic() >= end:
            killed.update(left)
            for child in left:
                os.kill(int(child), signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        time.sleep(0.001)
    return len(killed)


def _become(order: Order, told: int) -> None:
    """Be git-sync, in a process group of its own."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ.clear()
    os.environ.update(order.settings)
    sys.argv = ["git-sync", *order.arguments]
    watch = _Watch(order, told)
    threading.setprofile(watch)
    sys.setprofile(watch)
    cli.main()


class _Watch:
    """Counts the calls that reach the kernel, and strikes at the one that was ordered.

    Between two of them nothing changes that a kill could leave behind.
    """

    def __init__(self, order: Order, told: int) -> None:
        self._order = order
        self._logged = told
        self._calls: Counter[str] = Counter()
        self._left = order.instant.call

    def __call__(self, _frame: object, event: str, called: object) -> None:
        kind = _kind(called) if event == "c_call" else ""
        if kind == "_exit":
            os.write(self._logged, json.dumps(self._calls).encode() + b"\n")
        elif kind:
            self._calls[kind] += 1
            if self._left and self._order.instant.kind in {"", kind}:
                self._left -= 1
                if not self._left:
                    self._strike()

    def _strike(self) -> None:
        if self._order.instant.after:
            os.write(self._logged, _DUE)
        else:
            os.write(self._logged, _STRUCK)
            os.kill(os.getpid(), self._order.number)


def _kind(called: object) -> str:
    """The name of a call that may reach the kernel; "" for any other."""
    owner = getattr(called, "__self__", None)
    known = owner.__name__ in _MODULES if isinstance(owner, ModuleType) else isinstance(owner, _FILES)
    name: str = getattr(called, "__name__", "") if known else ""
    return "" if name in _IDLE else name


if __name__ == "__main__":
    main()
