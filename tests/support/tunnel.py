"""An HTTP proxy that only knows CONNECT, and remembers where it was asked to go."""

from __future__ import annotations

import select
import socket
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.loopback import LoopbackHandler, LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Tunnel:
    """A running proxy at ``url``; ``asked`` holds each ``host:port``, in order.

    With ``login`` ("user:password") it answers 407 to whoever does not bring that.
    """

    url: str
    login: str = ""
    asked: list[str] = field(default_factory=list)

    def lets_in(self, authorization: str) -> bool:
        """Whether the Proxy-Authorization header is right; for the handler."""
        return not self.login or authorization == f"Basic {b64encode(self.login.encode()).decode()}"


@contextmanager
def tunnel(login: str = "") -> Iterator[Tunnel]:
    """Run a proxy."""
    running = Tunnel("", login)

    class Handler(LoopbackHandler):
        def do_CONNECT(self) -> None:  # noqa: N802
            if not running.lets_in(self.headers.get("Proxy-Authorization", "")):
                self.reply(407, {"Proxy-Authenticate": 'Basic realm="proxy"'}, b"who are you?\n")
                return
            running.asked.append(self.path)
            host, _, port = self.path.partition(":")
            with socket.create_connection((host, int(port)), timeout=10) as upstream:
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                _relay(self.connection, upstream)
            self.close_connection = True

    loopback = LoopbackServer(Handler)
    running.url = f"http://{loopback.endpoint}"
    with loopback.running():
        yield running


def _relay(client: socket.socket, upstream: socket.socket) -> None:
    """Pass bytes both ways until one side closes."""
    other = {client: upstream, upstream: client}
    while True:
        readable, _, _ = select.select(list(other), [], [], 30)
        for end in readable:
            data = end.recv(1 << 16)
            if not data:
                return
            other[end].sendall(data)
        if not readable:
            return
