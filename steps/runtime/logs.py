"""The log: one JSON object per line, or text on a terminal. docs/logs.md describes the fields."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pythonjsonlogger.json import JsonFormatter

from steps.runtime import redaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from steps.core.operations import Operation
    from steps.errors import SyncError, Terminated


class LogLevel(StrEnum):
    """LOG_LEVEL."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """LOG_FORMAT: ``auto`` is text on a terminal and JSON lines elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


_logger = logging.getLogger("git-sync")
_last_error = ""
_FIELDS = ("data", "duration_ms", "error")


def debug(operation: Operation, message: str, **data: Any) -> None:
    """Log a detail."""
    _log(logging.DEBUG, operation, message, data=data)


def info(operation: Operation, message: str, *, took: float | None = None, **data: Any) -> None:
    """Log what was done. ``took``, in milliseconds, is the line's duration_ms."""
    _log(logging.INFO, operation, message, data=data, duration_ms=took)


def warning(operation: Operation, message: str, *, error: str | None = None, **data: Any) -> None:
    """Log a problem that does not fail the step."""
    _log(logging.WARNING, operation, message, data=data, error=error)


def error(operation: Operation, message: str, error: str, *, took: float | None = None, **data: Any) -> None:
    """Log a failure: ``message`` says what failed, ``error`` why."""
    global _last_error  # noqa: PLW0603 - the process writes it as its termination message
    _last_error = redaction.redacted(f"{message}: {error}")
    _log(logging.ERROR, operation, message, data=data, error=error, duration_ms=took)


def last_error() -> str:
    """Return message and error of the newest failure; "" if there was none."""
    return _last_error


def failure(problem: SyncError | Terminated, **data: Any) -> None:
    """Log a SyncError or a signal as an error of its operation; at level debug also the traceback."""
    error(problem.operation, problem.message, problem.error, **(getattr(problem, "data", {}) | data))
    if is_debug():
        debug(problem.operation, "Traceback", traceback="".join(traceback.format_exception(problem)))


def is_debug() -> bool:
    """Whether debug lines are written. Ask before computing something expensive for one."""
    return _logger.isEnabledFor(logging.DEBUG)


@contextmanager
def timed() -> Iterator[Callable[[], float]]:
    """Yield a function that returns the milliseconds since the block began."""
    start = time.monotonic()
    yield lambda: round((time.monotonic() - start) * 1000, 2)


def set_up(level: LogLevel, format_: LogFormat, secrets: Callable[[], list[str]]) -> None:
    """Write the log to standard output, without the secrets that ``secrets`` returns at each line."""
    handler = _StdoutHandler()
    handler.setFormatter(_Text() if is_text(format_) else _Json())
    redaction.set_up(secrets)
    handler.addFilter(redaction.redact_record)
    _logger.handlers = [handler]
    _logger.propagate = False
    _logger.setLevel(level.value.upper())


def is_text(format_: LogFormat) -> bool:
    """Whether this format is text on the current standard output."""
    return format_ is LogFormat.TEXT or (format_ is LogFormat.AUTO and sys.stdout.isatty())


@contextmanager
def redirected_to(write: Callable[[str], None]) -> Iterator[None]:
    """Write the lines with ``write`` while the block runs, for example above a progress bar."""
    handlers = [handler for handler in _logger.handlers if isinstance(handler, _StdoutHandler)]
    for handler in handlers:
        handler.write = write
    try:
        yield
    finally:
        for handler in handlers:
            handler.write = _print


def _print(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


class _StdoutHandler(logging.Handler):
    write: Callable[[str], None] = staticmethod(_print)

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record) + "\n"
        with suppress(OSError, ValueError):  # a closed standard output must not stop a backup
            self.write(line)


def _log(level: int, operation: Operation, message: str, **fields: Any) -> None:
    _logger.log(level, message, extra={"operation": operation, **fields})


class _Json(JsonFormatter):
    def __init__(self) -> None:
        super().__init__(json_ensure_ascii=True)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        record: dict[str, Any] = {
            "timestamp": log_data.pop("timestamp"),
            "level": log_data.pop("level"),
            "component": "git-sync",
            "operation": log_data.pop("operation"),
            "message": log_data.pop("message"),
        }
        return record | {name: log_data[name] for name in _FIELDS if log_data.get(name) is not None}

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        super().add_fields(log_data, record, message_dict)
        log_data["timestamp"] = f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%SZ}"
        log_data["level"] = record.levelname.lower()


class _Text(logging.Formatter):
    """Time, level, message and error; data on warnings and errors, and on every line at level debug."""

    def format(self, record: logging.LogRecord) -> str:
        fields = vars(record)
        values = dict(fields.get("data") or {})
        problems = values.pop("problems", None) or []  # those that the error lists
        cause = f": {fields['error']}" if fields.get("error") and len(problems) <= 1 else ""
        with_data = record.levelno != logging.INFO or is_debug()
        data = " ".join(
            f"{name}={value if isinstance(value, int | float) else json.dumps(value, default=str)}"
            for name, value in values.items()
            if value not in (None, "", [], {})
        )
        stamp = f"{datetime.fromtimestamp(record.created).astimezone():%H:%M:%S}"
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        line = f"{stamp} {level}{record.getMessage()}{cause}{f'  [{data}]' if with_data and data else ''}"
        lines = [line, *(f"  {problem}" for problem in problems if not cause)]
        # The message of a server may contain control sequences that a terminal would execute.
        return "\n".join(
            "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
            for line in lines
        )
