"""A web server that takes what is sent to it and remembers it: for pushes and webhooks."""

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
    """One request as it came; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers every request with ``status`` and keeps it."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Delivery] = field(default_factory=list)
    during: Callable[[], None] = lambda: None


@contextmanager
def receiver(*, tls: trustme.CA | None = None) -> Iterator[Receiver]:
    """Listen on a free loopback port; with `tls`, under a certificate of that CA."""
    kept = Receiver()

    class Handler(LoopbackHandler):
        def _take(self) -> None:
            body = b"".join(self.request_body())
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.got.append(Delivery(self.command, self.target, headers, body))
            kept.during()
            self.reply(kept.status, kept.headers, b"so be it\n")

        do_POST = _take  # noqa: N815 - http.server's name

    server = LoopbackServer(Handler, tls=certified(tls))
    kept.url = f"{'http' if tls is None else 'https'}://{server.endpoint}"
    with server.running():
        yield kept
