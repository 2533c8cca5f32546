"""Servers in child processes that end with the tests."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_KILL_ON_CLOSE = Path(__file__).with_name("kill_on_close.py")
_POLL_SECONDS = 0.005


class NotReadyError(RuntimeError):
    """A server ended, or did not report in time that it listens."""


@contextmanager
def serving(
    command: Sequence[str],
    *,
    ready: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 30,
) -> Iterator[re.Match[str]]:
    """Run `command` until the block ends; yield the match of `ready` in its output.

    Both output streams go to `log`. The child leaves the process group of the terminal, so that Ctrl-C
    reaches only the tests, which can then clean up while the server still runs.

    Raises NotReadyError, with the output, when the command ends or `timeout_seconds` pass first.
    """
    with log.open("wb") as sink:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_KILL_ON_CLOSE), *command],
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
    assert child.stdin is not None
    try:
        yield _await_line(child, re.compile(ready), log, timeout_seconds)
    finally:
        child.stdin.close()
        child.wait(timeout=10)


def _await_line(
    child: subprocess.Popen[bytes], ready: re.Pattern[str], log: Path, timeout_seconds: float
) -> re.Match[str]:
    deadline = time.monotonic() + timeout_seconds
    while True:
        ended = child.poll() is not None
        output = log.read_text(errors="replace")
        if match := ready.search(output):
            return match
        if ended or time.monotonic() > deadline:
            state = f"ended with {child.returncode}" if ended else "is not ready"
            raise NotReadyError(f"{child.args!r} {state}:\n{output}")
        time.sleep(_POLL_SECONDS)


def free_port() -> int:
    """Return a free loopback port, for servers that do not report the port they chose."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def await_port(endpoint: str, *, timeout_seconds: float = 10) -> None:
    """Wait until `endpoint` ("host:port") accepts connections; raises NotReadyError."""
    host, port = endpoint.rsplit(":", 1)
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise NotReadyError(f"nothing listens on {endpoint}") from None
            time.sleep(_POLL_SECONDS)
        else:
            return
