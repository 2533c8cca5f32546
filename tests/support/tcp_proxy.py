"""A TCP proxy that counts the bytes of each direction, and breaks a connection after a number of bytes."""

from __future__ import annotations

import select
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Direction = Literal["up", "down"]
How = Literal["rst", "fin", "hang"]

_PIECE = 65536
_LINGER_ZERO = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Break:
    """Forward `after` bytes of a direction, then reset, end or stall the connection.

    "up" is towards the server. A `lasting` break also breaks every later connection at its start.
    """

    direction: Direction
    after: int
    how: How
    lasting: bool


@dataclass
class TcpProxy:
    """A running proxy at `endpoint` ("host:port")."""

    endpoint: str
    passed: dict[Direction, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    triggered: int = 0
    _break: Break | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def arm(self, fault: Break | None = None) -> None:
        """Count from 0 again, with this fault or none."""
        with self._lock:
            self.passed = {"up": 0, "down": 0}
            self.triggered = 0
            self._break = fault

    def admit(self, direction: Direction, size: int) -> tuple[int, How | None]:
        """Return how many of these bytes to forward, and how to break the connection then."""
        with self._lock:
            fault = self._break
            due = fault is not None and fault.direction == direction and not self.triggered
            left = fault.after - self.passed[direction] if fault and due else size
            self.passed[direction] += min(size, left)
            if left >= size:
                return size, None
            return left, self._trigger()

    def on_connect(self) -> How | None:
        """Return how to break a new connection, if at all."""
        with self._lock:
            return self._trigger() if self._break and self._break.lasting and self.triggered else None

    def _trigger(self) -> How | None:
        self.triggered += 1
        return self._break.how if self._break else None


@contextmanager
def tcp_proxy(upstream: str) -> Iterator[TcpProxy]:
    """Run a proxy in front of `upstream` ("host:port") until the block ends, which resets all connections."""
    host, _, port = upstream.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = TcpProxy(f"127.0.0.1:{listener.getsockname()[1]}")
        closing, closed = socket.socketpair()
        pumps: list[threading.Thread] = []

        def accept() -> None:
            while listener in select.select([listener, closed], [], [])[0]:
                client, _ = listener.accept()
                pump = threading.Thread(target=_connect, args=(proxy, client, (host, int(port)), closed))
                pumps.append(pump)
                pump.start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield proxy
        finally:
            closing.close()  # makes `closed` readable, which wakes every thread
            for thread in (acceptor, *pumps):
                thread.join()
            closed.close()


def _connect(
    proxy: TcpProxy, client: socket.socket, upstream: tuple[str, int], closed: socket.socket
) -> None:
    with client, suppress(OSError), socket.create_connection(upstream) as server:
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        how = proxy.on_connect() or _pump(proxy, client, server, closed)
        if how == "rst":
            for end in (client, server):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            return
        if how == "fin":
            for end in (client, server):
                end.shutdown(socket.SHUT_WR)
        if how is not None:
            _discard([client] if how == "hang" else [client, server], closed)


def _pump(proxy: TcpProxy, client: socket.socket, server: socket.socket, closed: socket.socket) -> How | None:
    """Forward bytes until both sides have ended, or the connection must be broken."""
    routes: dict[socket.socket, tuple[socket.socket, Direction]] = {
        client: (server, "up"),
        server: (client, "down"),
    }
    while routes:
        for end in select.select([*routes, closed], [], [])[0]:
            if end is closed:
                return "rst"
            data = end.recv(_PIECE)
            other, direction = routes[end]
            if not data:
                other.shutdown(socket.SHUT_WR)
                del routes[end]
                continue
            passes, how = proxy.admit(direction, len(data))
            other.sendall(data[:passes])
            if how is not None:
                return how
    return None


def _discard(ends: list[socket.socket], closed: socket.socket) -> None:
    """Read and discard until all these have ended."""
    while ends:
        for end in select.select([*ends, closed], [], [])[0]:
            if end is closed:
                return
            try:
                gone = not end.recv(_PIECE)
            except OSError:
                gone = True
            if gone:
                ends = [other for other in ends if other is not end]
