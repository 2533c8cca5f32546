"""Errors of the two S3 SDKs, translated into TryAgain or FixConfiguration."""

from __future__ import annotations

import html
import re
import ssl
from typing import TYPE_CHECKING, NamedTuple
from xml.etree.ElementTree import ParseError

import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from steps.clients.http import first_line, root_cause
from steps.core import limits
from steps.errors import FixConfiguration, SyncError, TryAgain

if TYPE_CHECKING:
    from steps.core.operations import Operation

# Everything that a request through minio can raise. (obstore's errors have one base class, BaseError.)
MINIO_ERRORS = (MinioException, urllib3.exceptions.HTTPError, ParseError, ValueError, OSError)

_NOT_FOUND = frozenset({"NoSuchKey", "NoSuchObject"})

# Error codes that S3 servers send with a 4xx status although a retry can succeed.
_TRANSIENT_CODES = frozenset({"SlowDown", "RequestTimeout", "TooManyRequests", "OperationAborted"})

# Error codes that are about the credentials, the clock or the bucket, never about one object.
_NOT_ABOUT_AN_OBJECT = frozenset(
    {
        *("AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId", "InvalidSecurity"),
        *("InvalidToken", "NoSuchBucket", "PermanentRedirect", "RequestTimeTooSkewed"),
        *("SignatureDoesNotMatch", "TokenRefreshRequired"),
    }
)


class _Answer(NamedTuple):
    """A server's refusal. ``code`` and ``message`` are those of the server, "" if absent."""

    status: int
    code: str
    message: str

    @property
    def text(self) -> str:
        text = ": ".join(filter(None, (self.code, self.message))) or f"the server answered {self.status}"
        return text[: limits.SERVER_MESSAGE_CHARACTERS]

    @property
    def is_transient(self) -> bool:
        return _is_transient(self.status) or self.status in _TRANSIENT_4XX or self.code in _TRANSIENT_CODES


# Besides 429.
_TRANSIENT_4XX = frozenset({408, 409, 425})

# The text of obstore's errors (object_store 0.13, client/retry.rs), which have no fields.
_OBSTORE_ANSWER = re.compile(
    r" - Server returned (?:non-2xx|error) status code: (?P<status>\d{3})[^:\n]*:? ?"
    r"(?P<body>.*?)(?=\n\nDebug source:|\Z)",
    re.DOTALL,
)


def _answer(problem: Exception) -> _Answer | None:
    """Return the server's refusal behind an SDK's error; None if there was no answer."""
    if isinstance(problem, S3Error):
        return _Answer(problem.response.status, problem.code or "", problem.message or "")
    is_of_obstore = isinstance(problem, BaseError | FileNotFoundError)
    found = _OBSTORE_ANSWER.search(str(problem)) if is_of_obstore else None
    if found is None:
        return None
    body = found["body"][: 64 * 1024]
    code, message = _element("Code", body), _element("Message", body)
    return _Answer(int(found["status"]), code, message if code else body.strip())


def _element(name: str, xml: str) -> str:
    found = re.search(f"<{name}>([^<]*)</{name}>", xml)
    return html.unescape(found[1]).strip() if found else ""


class Redirected(urllib3.exceptions.HTTPError):
    """The server redirects. git-sync does not follow: another host would answer for the bucket."""

    def __init__(self, location: str) -> None:
        super().__init__(f"the server redirects to {location}: set MINIO_ENDPOINT to the server itself")


class TooLong(urllib3.exceptions.HTTPError):
    """The answer is longer than S3_ANSWER_BYTES after decompression."""

    def __init__(self) -> None:
        super().__init__(f"the server's answer is longer than {limits.S3_ANSWER_BYTES:,} bytes")


def is_not_found(problem: Exception) -> bool:
    """Whether the server answered that this object does not exist."""
    return isinstance(problem, S3Error) and problem.code in _NOT_FOUND


def is_missing_bucket(problem: FileNotFoundError) -> bool:
    """Whether obstore raises this for a missing bucket: its class is the same as for a missing object."""
    answer = _answer(problem)
    return answer is not None and answer.code == "NoSuchBucket"


def is_changed(problem: Exception) -> bool:
    """Whether the server answered that the object has another ETag (412)."""
    return isinstance(problem, S3Error) and problem.code == "PreconditionFailed"


def is_denied(problem: Exception) -> bool:
    """Whether the server does not allow this request (403), or this method (405)."""
    return isinstance(problem, S3Error) and problem.response.status in _DENIED


_DENIED = frozenset({403, 405})


def refusal_of(problem: Exception) -> str:
    """Return the server's message if it refuses this one object, so that others may still be fetched.

    "" for an answer about the credentials or the bucket, for a passing one, and for no answer.
    """
    answer = _answer(problem)
    if answer is None or answer.is_transient or not 400 <= answer.status < 500:  # noqa: PLR2004
        return ""
    if answer.status == _UNAUTHENTICATED or answer.code in _NOT_ABOUT_AN_OBJECT:
        return ""
    return answer.text


_UNAUTHENTICATED = 401


def translated(problem: Exception, operation: Operation, message: str) -> SyncError:
    """Return git-sync's error, whose class says what the operator does next."""
    if (answer := _answer(problem)) is not None:
        kind = TryAgain if answer.is_transient else FixConfiguration
        return kind(operation, message, answer.text)
    if isinstance(problem, InvalidResponseError):
        if _is_transient(getattr(problem, "_code", 0)):
            return TryAgain(operation, message, "the server is overloaded")
        return FixConfiguration(operation, message, "not an S3 server: check MINIO_ENDPOINT")
    if isinstance(problem, PermissionDeniedError | UnauthenticatedError):
        return FixConfiguration(operation, message, "access denied")
    if isinstance(problem, ValueError):
        # minio raises it for names that it refuses to send, and this package for malformed listings.
        kind = FixConfiguration if "bucket name" in str(problem).lower() else TryAgain
        return kind(operation, message, str(problem)[: limits.SERVER_MESSAGE_CHARACTERS])
    if isinstance(problem, Redirected):
        return FixConfiguration(operation, message, str(problem))
    if isinstance(problem, BaseError):
        return TryAgain(operation, message, first_line(_innermost(str(problem))))
    cause = root_cause(problem)
    if isinstance(cause, ssl.SSLError | urllib3.exceptions.SSLError):
        reason = first_line(str(cause))
        return FixConfiguration(operation, message, f"TLS: {reason} (MINIO_USE_SSL, MINIO_CA_FILE)")
    text = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
    return TryAgain(operation, message, first_line(text))


# The causes in the debug output of Rust that follows the first line of obstore's errors.
_RUST_CAUSE = re.compile(r'(?:message|error): "([^"]+)"')


def _innermost(text: str) -> str:
    """Return the cause of an error of obstore, whose first line is only "error sending request"."""
    if "TimedOut" in text:
        return "no complete answer in time"
    causes = _RUST_CAUSE.findall(text)
    return causes[-1] if causes else text


def _is_transient(status: int) -> bool:
    return status >= 500 or status == 429  # noqa: PLR2004 - HTTP status codes
