"""The process that inspects changed files, forked from an interpreter that has imported its code.

Its start takes 0.1 seconds of CPU time, half of a run in tests. The forked process executes the same program
with the same descriptors. tests/publishing/test_isolated.py and git-sync as a program start the real one.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROGRAM = """
import os, socket, sys
server = socket.socket(fileno=int(sys.argv[1]))
sys.path[:0] = sys.argv[2:]
from steps.publishing.inspection_process import main
while True:
    _, descriptors, _, _ = socket.recv_fds(server, 1, 4)
    if not descriptors:
        break
    child = os.fork()
    if child == 0:
        status = 1
        try:
            server.close()
            os.setsid()
            os.dup2(descriptors[0], 0)
            os.close(descriptors[0])
            sys.argv[1:] = map(str, descriptors[1:])
            main()
            status = 0
        finally:
            os._exit(status)
    for descriptor in descriptors:
        os.close(descriptor)
    server.sendall(b"%-20d" % child)
    server.sendall(b"%-20d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


class _Forking:
    """The client of that interpreter. It runs one inspection at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def run(self, blobs: IO[bytes], files: Iterable[IO[bytes]], seconds: float) -> int | None:
        """Do what `isolated._run` does."""
        with self._lock:
            server = self._socket = self._socket or _start()
            socket.send_fds(server, [b"x"], [blobs.fileno(), *(file.fileno() for file in files)])
            server.settimeout(None)
            child = _number(server)
            try:
                server.settimeout(max(seconds, 0.001))
                return _number(server)
            except TimeoutError:
                self._end(server, child)
                return None
            except BaseException:
                self._end(server, child)
                raise

    def _end(self, server: socket.socket, child: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        server.settimeout(None)
        _number(server)


def _number(server: socket.socket) -> int:
    return int(server.recv(20, socket.MSG_WAITALL))


def _start() -> socket.socket:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(theirs.fileno()), *filter(None, sys.path)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


forked_run = _Forking().run
