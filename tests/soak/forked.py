"""Runs git-sync in processes forked from an interpreter that has imported all modules.

A fork starts without half a second of imports, so that a signal reaches a process at work.
Run as a script, this is that interpreter; it reads an order per line and answers with a line.
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
_WAIT_SECONDS = 10
_MOST_BYTES = 4 << 30
_PR_SET_CHILD_SUBREAPER = 36
_SIGNALLED, _DUE = b"signalled\n", b"due\n"

_MODULES = {"posix", "fcntl", "_io", "_posixsubprocess"}
_FILES = (io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.FileIO, socket.socket)
_IDLE = {"fspath", "getpid", "text_encoding"}


@dataclass(frozen=True)
class Instant:
    """When to send a signal: at a system call, or `after` seconds, or both.

    `call` counts the calls of one `kind` (posix.replace, write, fork_exec…), or all calls if it is "".
    """

    call: int = 0
    kind: str = ""
    after: float = 0.0


_NEVER = Instant()


@dataclass(frozen=True)
class Order:
    """One command. It receives the signal `number` at `instant`, and SIGKILL `grace` seconds later.

    With `orphans` its child processes are not killed with it.
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
    """The end of a process: `status` is its exit code, or a negative signal number.

    `calls` counts its system calls, if it was not killed. `overdue`: it was killed after the time limit.
    """

    status: int
    signalled: bool
    seconds: float
    overdue: bool = False
    calls: dict[str, int] = field(default_factory=dict)


class Forked(Sync):
    """git-sync in forked processes."""

    @classmethod
    def of(cls, sync: Sync) -> Forked:
        """Return a Forked with the same settings."""
        return cls(**vars(sync))

    def __call__(self, *arguments: str, **settings: str) -> CommandResult:
        """Run a command without a signal."""
        ended, result = fork_server().run(self.with_settings(**settings), *arguments)
        if ended.overdue:
            raise Unsafe(f"{arguments} does not end: {result.text}")
        return result


class ForkServer:
    """The client of the interpreter that forks. It runs one command at a time."""

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
        """Run one command; return its end, and its exit code with its log."""
        log = sync.repository.with_name(f"log-{self._process.pid}")
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
        """Wait for orphaned processes; return how many had to be killed."""
        left: int = self._ask({})["left"]
        return left

    def close(self) -> None:
        """End the interpreter."""
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
def fork_server() -> ForkServer:
    """Return the fork server of this process."""
    return ForkServer()


# -- in the forking interpreter -------------------------------------------------------------------


def main() -> None:
    """Execute orders until the input ends."""
    import steps.commands  # noqa: F401, PLC0415 - every child imports it

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # Orphans become children of this process, which can wait for them or kill them.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for line in sys.stdin:
        order = json.loads(line)
        if order:
            instant = Instant(**order.pop("instant"))
            answer = asdict(_execute(Order(**order, instant=instant)))
        else:
            answer = {"left": _reap(_WAIT_SECONDS)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _execute(order: Order) -> Ended:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _become(order, write_end)
        finally:
            os._exit(70)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as events:
        return _supervise(order, child, events)


def _supervise(order: Order, child: int, events: BinaryIO) -> Ended:
    """Send the signals of the order to the child when they are due, and wait for its end."""
    began = time.monotonic()
    due = [(began + _LONGEST_SECONDS, signal.SIGKILL)]
    if order.instant.after and not order.instant.call:
        due.append((began + order.instant.after, signal.Signals(order.number)))
    signalled = False
    calls: dict[str, int] = {}
    ends = os.pidfd_open(child)
    waiting: list[Any] = [ends, events]
    while ends in waiting:
        at, number = min(due)
        ready, _, _ = select.select(waiting, [], [], max(0.0, at - time.monotonic()))
        if not ready:
            due.remove((at, number))
            os.kill(child, number)
            signalled = True
            due.append((time.monotonic() + order.grace, signal.SIGKILL))
        if events in ready:
            event = events.readline()
            if event == _SIGNALLED:
                signalled = True
                due.append((time.monotonic() + order.grace, signal.SIGKILL))
            elif event == _DUE:
                due.append((time.monotonic() + order.instant.after, signal.Signals(order.number)))
            elif event:
                calls = json.loads(event)
            else:
                waiting.remove(events)
        elif ends in ready:
            waiting.remove(ends)
    os.close(ends)
    seconds = time.monotonic() - began
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL and not order.orphans:
        _reap(0)
    return Ended(status, signalled, seconds, seconds >= _LONGEST_SECONDS, calls)


def _reap(seconds: float) -> int:
    """Wait for all child processes; return how many had to be killed."""
    end = time.monotonic() + seconds
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


def _become(order: Order, events: int) -> None:
    """Turn this process into git-sync, in a separate process group."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ.clear()
    os.environ.update(order.settings)
    sys.argv = ["git-sync", *order.arguments]
    watch = _Watch(order, events)
    threading.setprofile(watch)
    sys.setprofile(watch)
    cli.main()


class _Watch:
    """Counts system calls, and sends the signal at the ordered one.

    Files change only in system calls, so a kill between two of them has no other effect.
    """

    def __init__(self, order: Order, events: int) -> None:
        self._order = order
        self._events = events
        self._calls: Counter[str] = Counter()
        self._left = order.instant.call

    def __call__(self, _frame: object, event: str, called: object) -> None:
        kind = _kind(called) if event == "c_call" else ""
        if kind == "_exit":
            os.write(self._events, json.dumps(self._calls).encode() + b"\n")
        elif kind:
            self._calls[kind] += 1
            if self._left and self._order.instant.kind in {"", kind}:
                self._left -= 1
                if not self._left:
                    self._send_signal()

    def _send_signal(self) -> None:
        if self._order.instant.after:
            os.write(self._events, _DUE)
        else:
            os.write(self._events, _SIGNALLED)
            os.kill(os.getpid(), self._order.number)


def _kind(called: object) -> str:
    """Return the name of a function that may make a system call; "" for any other."""
    owner = getattr(called, "__self__", None)
    known = owner.__name__ in _MODULES if isinstance(owner, ModuleType) else isinstance(owner, _FILES)
    name: str = getattr(called, "__name__", "") if known else ""
    return "" if name in _IDLE else name


if __name__ == "__main__":
    main()
