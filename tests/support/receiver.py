"""A web server that records what it receives: pushes and webhooks."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.loopback import LoopbackHandler, LoopbackServer, certified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import trustme


@dataclass(frozen=True)
class Delivery:
    """One received request; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """Records every request and answers it with ``status``."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"accepted\n"
    got: list[Delivery] = field(default_factory=list)
    during: Callable[[], None] = lambda: None


@contextmanager
def receiver(*, tls: trustme.CA | None = None) -> Iterator[Receiver]:
    """Listen on a free loopback port; `tls` is the CA that issues the certificate."""
    state = Receiver()

    class Handler(LoopbackHandler):
        def _record(self) -> None:
            body = b"".join(self.request_body())
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.got.append(Delivery(self.command, self.target, headers, body))
            state.during()
            self.reply(state.status, state.headers, state.body)

        do_POST = _record  # noqa: N815 - http.server's name

    server = LoopbackServer(Handler, tls=certified(tls))
    state.url = f"{'http' if tls is None else 'https'}://{server.endpoint}"
    with server.running():
        yield state
