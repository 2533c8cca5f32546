"""The paths of the HTTP server, and what they answer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from steps.errors import SyncError, translated
from steps.reporting.health import Health, health, stale_clusters
from steps.reporting.html import html
from steps.reporting.run_page import run_page
from steps.reporting.status_page import status_page
from steps.runtime.redaction import redacted

if TYPE_CHECKING:
    from steps.contracts import RunResult, State
    from steps.reporting.state_source import LastReading, Reading
    from steps.runtime.settings.delivery import HttpSettings


@dataclass(frozen=True)
class Response:
    """One HTTP response."""

    status: HTTPStatus
    content_type: str
    body: bytes


class Routes:
    """The paths of the server. Each request asks for the state again; nothing is counted here."""

    def __init__(self, settings: HttpSettings, states: LastReading) -> None:
        self._settings = settings
        self._states = states
        self._since = datetime.now(UTC)
        self._reports: dict[str, tuple[RunResult, Response]] = {}

    def respond(self, path: str, accept: str) -> Response:
        """Answer one request. An unreadable state gives 503: no metrics are better than zeros."""
        paths = {
            "/": self._status,
            "/report": lambda reading: self._report(path, reading.state, "last_run"),
            "/report/filtered": lambda reading: self._report(path, reading.state, "last_filtered_run"),
            "/health": self._health,
        }
        try:
            with translated():
                if path == "/metrics":
                    return self._metrics(self._states.read(), accept)
                if path in paths:
                    return paths[path](self._states.read())
        except SyncError as problem:
            error = redacted(str(problem))
            if path == "/health":
                return _health(Health(healthy=False, reason=error), stale=False)
            return text_response(HTTPStatus.SERVICE_UNAVAILABLE, error)
        return text_response(
            HTTPStatus.NOT_FOUND, "Not found. Paths: / /report /report/filtered /health /metrics"
        )

    def _metrics(self, reading: Reading, accept: str) -> Response:
        from steps.reporting.metrics import exposition

        body, content_type = exposition(
            self._settings,
            reading.state,
            accept,
            age_seconds=reading.age_seconds,
            served_since=self._since,
        )
        return Response(HTTPStatus.OK, content_type, body)

    def _status(self, reading: Reading) -> Response:
        found = self._check(reading)
        stale = stale_clusters(self._settings.source_max_age, reading.state) if reading.state else ()
        page = status_page(
            reading.state, datetime.now(UTC), healthy=found.healthy, reason=found.reason, stale=stale
        )
        return _html(html(page))

    def _report(
        self, path: str, state: State | None, which: Literal["last_run", "last_filtered_run"]
    ) -> Response:
        """Return the report of a run. It is rendered once, because clients may ask for it all the time."""
        run: RunResult | None = getattr(state, which, None)
        if state is None or run is None:
            return text_response(HTTPStatus.NOT_FOUND, "No run has been reported yet")
        known = self._reports.get(path)
        if known is None or (known[0] is not run and known[0] != run):
            url = self._settings.commit_page(run.commit) if run.commit else None
            ages = self._settings.source_max_age
            page = run_page(run, url, max_ages=ages, clear_secrets=state.clear_secrets)
            known = self._reports[path] = run, _html(html(page))
        return known[1]

    def _health(self, reading: Reading) -> Response:
        return _health(self._check(reading), stale=reading.problem is not None)

    def _check(self, reading: Reading) -> Health:
        found = health(self._settings, reading.state, self._states.where, datetime.now(UTC))
        if reading.problem is None:
            return found
        age = f"this was read {reading.age_seconds:.0f} s ago"
        return Health(found.healthy, f"{found.reason}; {age}: {redacted(str(reading.problem))}")


def _health(found: Health, *, stale: bool) -> Response:
    status = HTTPStatus.OK if found.healthy else HTTPStatus.SERVICE_UNAVAILABLE
    body = json.dumps({**asdict(found), "stale": stale})
    return Response(status, "application/json", body.encode() + b"\n")


def _html(page: str) -> Response:
    return Response(HTTPStatus.OK, "text/html; charset=utf-8", page.encode(errors="replace"))


def text_response(status: HTTPStatus, text: str) -> Response:
    """Return one line of plain text."""
    return Response(status, "text/plain; charset=utf-8", text.encode(errors="replace") + b"\n")
