"""A TCP server that answers each connection with a beginning, and then with one byte after the other."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# After the request: the head never ends, or the body does not.
STATUS_LINE = b""
HEADERS = b"HTTP/1.1 200 OK\r\nX-Slow: "
BODY = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n"


@dataclass
class Trickle:
    """A running server; ``connections`` counts those that it has accepted."""

    endpoint: str
    connections: int = 0


@contextmanager
def trickling(opening: bytes, *, seconds_per_byte: float = 0.05) -> Iterator[Trickle]:
    """Listen on a free loopback port until the block ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        server = Trickle(f"127.0.0.1:{listener.getsockname()[1]}")
        ended = threading.Event()
        threads: list[threading.Thread] = []

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(opening)
                while not ended.wait(seconds_per_byte):
                    connection.sendall(b"x")

        def accept() -> None:
            while not ended.is_set():
                if select.select([listener], [], [], 0.05)[0]:
                    server.connections += 1
                    threads.append(threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield server
        finally:
            ended.set()
            accepting.join()
            for thread in threads:
                thread.join()
