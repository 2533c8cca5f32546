"""The paths of the HTTP server, and what they answer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from steps.errors import SyncError, translated
from steps.reporting.health import Health, health
from steps.reporting.html import html
from steps.reporting.run_page import run_page
from steps.reporting.status_page import status_page
from steps.runtime.redaction import redacted

if TYPE_CHECKING:
    from steps.contracts import State
    from steps.reporting.state_source import StateSource
    from steps.runtime.settings.delivery import HttpSettings


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
            return text_response(HTTPStatus.SERVICE_UNAVAILABLE, error)
        return text_response(HTTPStatus.NOT_FOUND, "Not found. Paths: / /report /health /metrics")

    def _status(self, state: State | None) -> Response:
        found = self._check(state)
        return _html(html(status_page(state, healthy=found.healthy, reason=found.reason)))

    def _report(self, state: State | None) -> Response:
        if state is None:
            return text_response(HTTPStatus.NOT_FOUND, "No run has been reported yet")
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


def text_response(status: HTTPStatus, text: str) -> Response:
    """Return one line of plain text."""
    return Response(status, "text/plain; charset=utf-8", text.encode(errors="replace") + b"\n")
