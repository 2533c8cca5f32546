"""A web server that lets nobody get anywhere and tells everything it knows."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.loopback import LoopbackHandler, LoopbackServer, certified

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import trustme


@dataclass
class Echo:
    """Answers whoever brought an Authorization with ``status``, ``headers`` and ``body``, others with 401.

    ``pages`` are what it answers with 200 where a target's path ends like that. ``got`` holds the
    headers of every request, names in lower case.
    """

    url: str = ""
    status: int = 403
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/plain"})
    body: str = ""
    pages: dict[str, str] = field(default_factory=dict)
    got: list[Mapping[str, str]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """host:port."""
        return self.url.partition("//")[2]

    @property
    def authorizations(self) -> list[str]:
        """Every Authorization header that came."""
        return [headers["authorization"] for headers in self.got if "authorization" in headers]


@contextmanager
def echo(*, tls: trustme.CA | None = None) -> Iterator[Echo]:
    """Listen on a free loopback port; with `tls`, under a certificate of that CA."""
    kept = Echo()

    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802 - http.server's name
            for _ in self.request_body():
                pass
            kept.got.append({name.lower(): value for name, value in self.headers.items()})
            path = self.target.partition("?")[0]
            page = next((text for end, text in kept.pages.items() if path.endswith(end)), None)
            if "Authorization" in self.headers and page is not None:
                self.reply(200, {"Content-Type": "text/plain"}, page.encode())
            elif "Authorization" in self.headers:
                self.reply(kept.status, kept.headers, kept.body.encode())
            else:
                self.reply(401, {"WWW-Authenticate": 'Basic realm="echo"'}, b"who are you?\n")

        do_POST = do_HEAD = do_PUT = do_GET  # noqa: N815 - http.server's names

    server = LoopbackServer(Handler, tls=certified(tls))
    kept.url = f"{'http' if tls is None else 'https'}://{server.endpoint}"
    with server.running():
        yield kept
