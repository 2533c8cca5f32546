"""A web server that rejects every request and answers with a text that contains all secrets."""

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
    """Answers with ``status``, ``headers`` and ``body``; without an Authorization header with 401.

    ``pages`` maps the end of a path to a body that is served with 200. ``got`` has the headers of
    every request, with names in lower case.
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
        """Return every Authorization header received."""
        return [headers["authorization"] for headers in self.got if "authorization" in headers]


@contextmanager
def echo(*, tls: trustme.CA | None = None) -> Iterator[Echo]:
    """Listen on a free loopback port; `tls` is the CA that issues the certificate."""
    state = Echo()

    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802 - http.server's name
            for _ in self.request_body():
                pass
            state.got.append({name.lower(): value for name, value in self.headers.items()})
            path = self.target.partition("?")[0]
            page = next((text for end, text in state.pages.items() if path.endswith(end)), None)
            if "Authorization" in self.headers and page is not None:
                self.reply(200, {"Content-Type": "text/plain"}, page.encode())
            elif "Authorization" in self.headers:
                self.reply(state.status, state.headers, state.body.encode())
            else:
                self.reply(401, {"WWW-Authenticate": 'Basic realm="echo"'}, b"authentication required\n")

        do_POST = do_HEAD = do_PUT = do_GET  # noqa: N815 - http.server's names

    server = LoopbackServer(Handler, tls=certified(tls))
    state.url = f"{'http' if tls is None else 'https'}://{server.endpoint}"
    with server.running():
        yield state
