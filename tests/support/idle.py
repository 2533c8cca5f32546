"""Clients of an HTTP server that open connections and do not finish their requests."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def idle_clients(port: int, count: int, opening: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open ``count`` connections, and send ``opening`` on each as far as the server reads it."""
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            clients.append(client)
            with suppress(OSError):  # the server may have closed the connection
                client.settimeout(0.2)
                client.sendall(opening)
        yield clients


def descriptors(pid: int) -> int:
    """The number of open file descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def peak_memory(pid: int) -> int:
    """The largest resident size of a process so far, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
