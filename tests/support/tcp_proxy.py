"""A TCP proxy that counts the bytes of each direction, and cuts or holds a connection after any of them."""

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
    """Let `after` bytes of a direction pass, then reset, end or hold the connection that brings more.

    "up" is towards the server. A `lasting` one happens to every connection from then on, at once.
    """

    direction: Direction
    after: int
    how: How
    lasting: bool


@dataclass
class Wire:
    """A running proxy at `endpoint` ("host:port")."""

    endpoint: str
    passed: dict[Direction, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    struck: int = 0
    _break: Break | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def arm(self, fault: Break | None = None) -> None:
        """Count from 0 again, and do this once it is time; None: nothing."""
        with self._lock:
            self.passed = {"up": 0, "down": 0}
            self.struck = 0
            self._break = fault

    def admit(self, direction: Direction, size: int) -> tuple[int, How | None]:
        """How many of these bytes may pass, and what is to happen then; for the pump."""
        with self._lock:
            fault = self._break
            due = fault is not None and fault.direction == direction and not self.struck
            left = fault.after - self.passed[direction] if fault and due else size
            self.passed[direction] += min(size, left)
            if left >= size:
                return size, None
            return left, self._strike()

    def greet(self) -> How | None:
        """What is to happen to a new connection; for the pump."""
        with self._lock:
            return self._strike() if self._break and self._break.lasting and self.struck else None

    def _strike(self) -> How | None:
        self.struck += 1
        return self._break.how if self._break else None


@contextmanager
def wire_to(upstream: str) -> Iterator[Wire]:
    """Run a proxy before `upstream` ("host:port") until the block ends, which resets what is open."""
    host, _, port = upstream.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(f"127.0.0.1:{listener.getsockname()[1]}")
        closing, closed = socket.socketpair()
        pumps: list[threading.Thread] = []

        def accept() -> None:
            while listener in select.select([listener, closed], [], [])[0]:
                client, _ = listener.accept()
                pump = threading.Thread(target=_connect, args=(wire, client, (host, int(port)), closed))
                pumps.append(pump)
                pump.start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield wire
        finally:
            closing.close()  # readable for good: everybody who waits hears of it
            for thread in (acceptor, *pumps):
                thread.join()
            closed.close()


def _connect(wire: Wire, client: socket.socket, upstream: tuple[str, int], closed: socket.socket) -> None:
    with client, suppress(OSError), socket.create_connection(upstream) as server:
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        how = wire.greet() or _pump(wire, client, server, closed)
        if how == "rst":
            for end in (client, server):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            return
        if how == "fin":
            for end in (client, server):
                end.shutdown(socket.SHUT_WR)
        if how is not None:
            _swallow([client] if how == "hang" else [client, server], closed)


def _pump(wire: Wire, client: socket.socket, server: socket.socket, closed: socket.socket) -> How | None:
    """Pass bytes on until both sides have ended, or something is to happen."""
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
            passes, how = wire.admit(direction, len(data))
            other.sendall(data[:passes])
            if how is not None:
                return how
    return None


def _swallow(ends: list[socket.socket], closed: socket.socket) -> None:
    """Read and forget until all these have ended."""
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
