"""The little web server behind `serve`, and behind `run` while it works.

It only reads, and says nothing that is secret; but names of clusters and files are nobody else's
business either: keep the port inside.
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
from steps.runtime import logs

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
def answering(settings: HttpSettings, source: StateSource) -> Iterator[None]:
    """Answer on METRICS_PORT while the block runs. FixConfiguration if the port cannot be had."""

    class Handler(_Handler):
        answers = Answers(settings, source)

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
        with suppress(OSError):  # wakes the thread, which looks for its end now and then
            server.socket.shutdown(socket.SHUT_RDWR)
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Answer:
    """What a request gets."""

    status: HTTPStatus
    content_type: str
    body: bytes


class Answers:
    """The paths there are. Each reads the state anew: nothing here is counted or remembered."""

    def __init__(self, settings: HttpSettings, source: StateSource) -> None:
        self._settings = settings
        self._source = source

    def answer(self, path: str, accept: str) -> Answer:
        """Answer one request; 503 where the state cannot be read, for no figure is better than zeros."""
        paths = {"/": self._status, "/report": self._report, "/health": self._health}
        try:
            with translated():
                if path == "/metrics":
                    from steps.reporting.metrics import exposition

                    body, content_type = exposition(self._settings, self._source.read(), accept)
                    return Answer(HTTPStatus.OK, content_type, body)
                if path in paths:
                    return paths[path](self._source.read())
        except SyncError as problem:
            said = logs.redacted(str(problem))
            if path == "/health":
                return _health(Health(healthy=False, reason=said))
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, said)
        return _text(HTTPStatus.NOT_FOUND, "There are: / /report /health /metrics")

    def _status(self, state: State | None) -> Answer:
        judged = self._judge(state)
        return _html(html(status_page(state, healthy=judged.healthy, reason=judged.reason)))

    def _report(self, state: State | None) -> Answer:
        if state is None:
            return _text(HTTPStatus.NOT_FOUND, "No run has been reported yet")
        run = state.last_run
        return _html(html(run_page(run, self._settings.commit_page(run.commit) if run.commit else None)))

    def _health(self, state: State | None) -> Answer:
        return _health(self._judge(state))

    def _judge(self, state: State | None) -> Health:
        return health(self._settings, state, self._source.where, datetime.now(UTC))


def _health(judged: Health) -> Answer:
    status = HTTPStatus.OK if judged.healthy else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, "application/json", json.dumps(asdict(judged)).encode() + b"\n")


def _html(page: str) -> Answer:
    return Answer(HTTPStatus.OK, "text/html; charset=utf-8", page.encode(errors="replace"))


def _text(status: HTTPStatus, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", text.encode(errors="replace") + b"\n")


class _Server(ThreadingHTTPServer):
    """On every address of this machine, by IPv4 and IPv6 where there is both."""

    daemon_threads = True

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        super().__init__(("", port), handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Not the parent's, which asks the DNS for this machine's name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "git-sync", self.socket.getsockname()[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is none of our errors."""


class _Handler(BaseHTTPRequestHandler):
    answers: ClassVar[Answers]
    server_version, sys_version = "git-sync", ""
    timeout = _SECONDS_PER_REQUEST

    def do_GET(self) -> None:
        answer = self.answers.answer(self.path.partition("?")[0], self.headers.get("Accept", ""))
        self.send_response(answer.status)
        headers = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body))}
        for name, value in (headers | _HEADERS).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: object) -> None:
        """Say nothing: probes come every few seconds."""
