"""The HTTP server of `serve`, and of `run` while it works.

It only reads. Its pages contain no secret, but they name clusters and files: do not expose the port outside
the cluster.
"""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

from steps.core.operations import Operation
from steps.errors import FixConfiguration, SyncError, translated
from steps.reporting.health import Health, health
from steps.reporting.html import html
from steps.reporting.run_page import run_page
from steps.reporting.status_page import status_page
from steps.runtime.redaction import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steps.contracts import State
    from steps.reporting.state_source import StateSource
    from steps.runtime.settings.delivery import HttpSettings

_SECONDS_PER_REQUEST = 10
_POLL_SECONDS = 0.05
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@contextmanager
def http_server(settings: HttpSettings, source: StateSource) -> Iterator[None]:
    """Listen on METRICS_PORT while the block runs. Raises FixConfiguration if the port is unavailable."""

    class Handler(_Handler):
        routes = Routes(settings, source)

    try:
        server = _Server(settings.port, Handler)
    except OSError as problem:
        cause = f"port {settings.port}: {(problem.strerror or str(problem)).lower()}"
        raise FixConfiguration(Operation.SERVE, "Failed to listen on METRICS_PORT", cause) from problem
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        with suppress(OSError):  # wakes the thread, which otherwise polls for its end
            server.socket.shutdown(socket.SHUT_RDWR)
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Response:
    """One HTTP response."""

    status: HTTPStatus
    content_type: str
    body: bytes


class Routes:
    """The paths of the server. Each request reads the state again; nothing is cached or counted here."""

    def __init__(self, settings: HttpSettings, source: StateSource) -> None:
        self._settings = settings
        self._source = source

    def respond(self, path: str, accept: str) -> Response:
        """Answer one request. An unreadable state gives 503: no metrics are better than zeros."""
        paths = {"/": self._status, "/report": self._report, "/health": self._health}
        try:
            with translated():
                if path == "/metrics":
                    from steps.reporting.metrics import exposition

                    body, content_type = exposition(self._settings, self._source.read(), accept)
                    return Response(HTTPStatus.OK, content_type, body)
                if path in paths:
                    return paths[path](self._source.read())
        except SyncError as problem:
            error = redacted(str(problem))
            if path == "/health":
                return _health(Health(healthy=False, reason=error))
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, error)
        return _text(HTTPStatus.NOT_FOUND, "Not found. Paths: / /report /health /metrics")

    def _status(self, state: State | None) -> Response:
        found = self._check(state)
        return _html(html(status_page(state, healthy=found.healthy, reason=found.reason)))

    def _report(self, state: State | None) -> Response:
        if state is None:
            return _text(HTTPStatus.NOT_FOUND, "No run has been reported yet")
        run = state.last_run
        return _html(html(run_page(run, self._settings.commit_page(run.commit) if run.commit else None)))

    def _health(self, state: State | None) -> Response:
        return _health(self._check(state))

    def _check(self, state: State | None) -> Health:
        return health(self._settings, state, self._source.where, datetime.now(UTC))


def _health(found: Health) -> Response:
    status = HTTPStatus.OK if found.healthy else HTTPStatus.SERVICE_UNAVAILABLE
    return Response(status, "application/json", json.dumps(asdict(found)).encode() + b"\n")


def _html(page: str) -> Response:
    return Response(HTTPStatus.OK, "text/html; charset=utf-8", page.encode(errors="replace"))


def _text(status: HTTPStatus, text: str) -> Response:
    return Response(status, "text/plain; charset=utf-8", text.encode(errors="replace") + b"\n")


class _Server(ThreadingHTTPServer):
    """Listens on every address of this machine, IPv4 and IPv6 if both are available."""

    daemon_threads = True

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        super().__init__(("", port), handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # The parent's method would look up this machine's name in DNS.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "git-sync", self.socket.getsockname()[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a client that disconnected is not an error of the server."""


class _Handler(BaseHTTPRequestHandler):
    routes: ClassVar[Routes]
    server_version, sys_version = "git-sync", ""
    timeout = _SECONDS_PER_REQUEST

    def do_GET(self) -> None:
        response = self.routes.respond(self.path.partition("?")[0], self.headers.get("Accept", ""))
        self.send_response(response.status)
        headers = {"Content-Type": response.content_type, "Content-Length": str(len(response.body))}
        for name, value in (headers | _HEADERS).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: object) -> None:
        """Log nothing: probes arrive every few seconds."""
