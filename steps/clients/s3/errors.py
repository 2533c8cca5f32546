"""Errors of the two S3 SDKs, translated into TryAgain or FixConfiguration."""

from __future__ import annotations

import http.client
import re
import ssl
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

import urllib3
from minio.error import MinioException
from obstore.exceptions import BaseError

from steps.clients.http import reason_of, root_cause, server_words
from steps.clients.s3.refusal import Refusal
from steps.core import limits
from steps.errors import FixConfiguration, SyncError, TryAgain

if TYPE_CHECKING:
    from steps.core.operations import Operation

# Everything that a request through minio can raise. (obstore's errors have one base class, BaseError.)
MINIO_ERRORS = (MinioException, urllib3.exceptions.HTTPError, ParseError, ValueError, OSError)

_NOT_FOUND = frozenset({"NoSuchKey", "NoSuchObject"})


class Refused(urllib3.exceptions.HTTPError):
    """The server does not return what was requested. minio would accept errors as application/xml only."""

    def __init__(self, method: str, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.is_head = method == "HEAD"
        self.refusal = refusal


class Lasting(urllib3.exceptions.HTTPError):
    """An answer that no retry changes. ``{0}`` in the text is the first word of the settings' names."""


class Redirected(Lasting):
    """The server redirects. git-sync does not follow: another host would answer for the bucket."""

    def __init__(self, location: str) -> None:
        # The query has the parameters of this one request.
        target = _braced(server_words(location.partition("?")[0]))
        super().__init__(f"the server redirects to {target}; set {{0}}_ENDPOINT to the server itself")


class WebPage(Lasting):
    """The answer to a LIST is a web page: another server, often the MinIO console, whose port is another."""

    def __init__(self, page: str) -> None:
        words = ": ".join(filter(None, ("the server answered with a web page", _braced(server_words(page)))))
        super().__init__(f"{words}; not an S3 server: check {{0}}_ENDPOINT")


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


class TooLong(urllib3.exceptions.HTTPError):
    """The answer is longer than S3_ANSWER_BYTES after decompression."""

    def __init__(self) -> None:
        super().__init__(f"the server's answer is longer than {limits.S3_ANSWER_BYTES:,} bytes")


# The text of obstore's errors (object_store 0.13, client/retry.rs), which have no fields.
_OBSTORE_ANSWER = re.compile(
    r" - Server returned (?:non-2xx|error) status code: (?P<status>\d{3})[^:\n]*:? ?"
    r"(?P<body>.*?)(?=\n\nDebug source:|\Z)",
    re.DOTALL,
)


def _refusal(problem: Exception) -> Refusal | None:
    """Return the server's refusal behind an SDK's error; None if there was no answer."""
    if isinstance(problem, Refused):
        return problem.refusal
    is_of_obstore = isinstance(problem, BaseError | FileNotFoundError)
    found = _OBSTORE_ANSWER.search(str(problem)) if is_of_obstore else None
    return Refusal.of(int(found["status"]), found["body"][: 64 * 1024]) if found else None


def is_not_found(problem: Exception) -> bool:
    """Whether the server answered that this object does not exist. An answer to HEAD has no code."""
    if not isinstance(problem, Refused):
        return False
    return problem.refusal.code in _NOT_FOUND or (problem.is_head and problem.refusal.status == 404)  # noqa: PLR2004 - Not Found


def is_missing_bucket(problem: FileNotFoundError) -> bool:
    """Whether obstore raises this for a missing bucket: its class is the same as for a missing object."""
    refusal = _refusal(problem)
    return refusal is not None and refusal.code == "NoSuchBucket"


def is_changed(problem: Exception) -> bool:
    """Whether the server answered that the object has another ETag (412)."""
    return isinstance(problem, Refused) and problem.refusal.status == 412  # noqa: PLR2004 - Precondition Failed


def is_denied(problem: Exception) -> bool:
    """Whether the server does not allow this request (403), or this method (405)."""
    return isinstance(problem, Refused) and problem.refusal.status in {403, 405}


def refusal_of(problem: Exception) -> str:
    """Return the server's message if it refuses this one object, so that others may still be fetched.

    "" for an answer about the credentials or the bucket, for a passing one, and for no answer.
    """
    refusal = _refusal(problem)
    return refusal.text if refusal is not None and refusal.is_about_an_object else ""


def translated(problem: Exception, operation: Operation, message: str, settings: str = "MINIO") -> SyncError:
    """Return git-sync's error, whose class says what the operator does next.

    ``settings`` is the first word of the names of the server's settings.
    """
    kind, cause = _explained(problem, settings)
    return kind(operation, message, cause)


def _explained(problem: Exception, settings: str) -> tuple[type[SyncError], str]:
    if (refusal := _refusal(problem)) is not None:
        kind = TryAgain if refusal.is_passing else FixConfiguration
        return kind, refusal.explained(settings)
    if isinstance(problem, Lasting):
        return FixConfiguration, str(problem).format(settings)
    if isinstance(problem, BaseError):
        return _explained_by_rust(str(problem), settings)
    if isinstance(problem, ValueError):
        # minio raises it for names that it refuses to send, and this package for malformed listings.
        kind = FixConfiguration if "bucket name" in str(problem) else TryAgain
        return kind, server_words(str(problem))
    return _explained_by_network(root_cause(problem), settings)


# The server closed the connection, as when it restarts; or a byte was damaged in transit.
_CLOSED_TLS = re.compile(r"SSLEOFError|SSLZeroReturnError|EOF occurred|BAD_RECORD_MAC|bad record mac")


def _explained_by_network(cause: BaseException, settings: str) -> tuple[type[SyncError], str]:
    reason = reason_of(cause)
    if isinstance(cause, ssl.SSLError | urllib3.exceptions.SSLError):
        setting = "CA_FILE" if "CERTIFICATE" in reason else "USE_SSL"
        if _CLOSED_TLS.search(repr(cause)):
            return TryAgain, f"TLS: {reason}; if this lasts, check {settings}_USE_SSL"
        return FixConfiguration, f"TLS: {reason}; check {settings}_{setting}"
    if isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, ConnectionError):
        return FixConfiguration, f"the answer is not HTTP; check {settings}_ENDPOINT and {settings}_USE_SSL"
    if re.match(r"Tunnel connection failed: 4", str(cause)):  # http.client, for CONNECT to a proxy
        return FixConfiguration, f"{reason}; check HTTPS_PROXY and NO_PROXY"
    return TryAgain, reason


# What obstore's errors say about the connection, in the debug output of Rust that follows their first line.
# The first line has the duration, and only "error sending request". {0} as in Lasting.
_RUST = (
    ("BareRedirect", FixConfiguration, "the server redirects without an address; check {0}_REGION"),
    ("kind: Redirect", FixConfiguration, "the server redirects in a circle; check {0}_ENDPOINT"),
    ("InvalidContentType", FixConfiguration, "the server does not use TLS; check {0}_USE_SSL"),
    ("TimedOut", TryAgain, "no complete answer in time"),
    ("Incomplete", TryAgain, "the connection ended before the answer"),
    (r"Parse\(", TryAgain, "the answer is not HTTP"),
)
_RUST_CAUSE = re.compile(r'(?:message|error): "([^"]+)"')


def _explained_by_rust(text: str, settings: str) -> tuple[type[SyncError], str]:
    first, _, debug = text.partition("\n\nDebug source:")
    for pattern, kind, explanation in _RUST:
        if re.search(pattern, debug):
            return kind, explanation.format(settings)
    if causes := _RUST_CAUSE.findall(debug):
        cause = causes[-1].removeprefix("failed to lookup address information: ")
        return TryAgain, reason_of(OSError(0, cause))
    return TryAgain, server_words(first.rsplit(" - ", 1)[-1])
