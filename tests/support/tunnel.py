"""An HTTP proxy that supports only CONNECT and records the requested hosts."""

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
    """A running proxy at ``url``; ``requested_hosts`` has each ``host:port``, in order.

    With ``login`` ("user:password") it answers 407 to requests without these credentials.
    """

    url: str
    login: str = ""
    requested_hosts: list[str] = field(default_factory=list)

    def accepts(self, authorization: str) -> bool:
        """Whether the Proxy-Authorization header is right; called by the handler."""
        return not self.login or authorization == f"Basic {b64encode(self.login.encode()).decode()}"


@contextmanager
def tunnel(login: str = "") -> Iterator[Tunnel]:
    """Run a proxy."""
    running = Tunnel("", login)

    class Handler(LoopbackHandler):
        def do_CONNECT(self) -> None:  # noqa: N802
            if not running.accepts(self.headers.get("Proxy-Authorization", "")):
                self.reply(407, {"Proxy-Authenticate": 'Basic realm="proxy"'}, b"authentication required\n")
                return
            running.requested_hosts.append(self.path)
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
    """Forward bytes in both directions until one side closes."""
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
