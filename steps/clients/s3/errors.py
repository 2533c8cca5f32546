"""Errors of the two S3 SDKs, translated into TryAgain or FixConfiguration."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error
from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from steps.clients.http import first_line, root_cause
from steps.errors import FixConfiguration, SyncError, TryAgain

if TYPE_CHECKING:
    from steps.core.operations import Operation

# Everything that a request through minio can raise. (obstore's errors have one base class, BaseError.)
MINIO_ERRORS = (MinioException, urllib3.exceptions.HTTPError, ParseError, ValueError, OSError)

_NOT_FOUND = frozenset({"NoSuchKey", "NoSuchObject"})

# Error codes that S3 servers send with a 4xx status although a retry can succeed.
_TRANSIENT_CODES = frozenset({"SlowDown", "RequestTimeout", "TooManyRequests", "OperationAborted"})


def is_not_found(problem: Exception) -> bool:
    """Whether the server answered that this object does not exist."""
    return isinstance(problem, S3Error) and problem.code in _NOT_FOUND


def translated(problem: Exception, operation: Operation, message: str) -> SyncError:
    """Return the error of ours that says what the operator does next."""
    if isinstance(problem, S3Error):
        status = problem.response.status
        is_transient = _is_transient(status) or problem.code in _TRANSIENT_CODES
        kind = TryAgain if is_transient else FixConfiguration
        return kind(operation, message, f"{problem.code}: {problem.message}")
    if isinstance(problem, InvalidResponseError):
        if _is_transient(getattr(problem, "_code", 0)):
            return TryAgain(operation, message, "the server is overloaded")
        return FixConfiguration(operation, message, "this is no S3 server: check MINIO_ENDPOINT")
    if isinstance(problem, PermissionDeniedError | UnauthenticatedError):
        return FixConfiguration(operation, message, "access denied")
    if isinstance(problem, ValueError):
        # minio raises it for names that it refuses to send, and this package for malformed listings.
        kind = FixConfiguration if "bucket name" in str(problem).lower() else TryAgain
        return kind(operation, message, str(problem))
    cause = root_cause(problem)
    if isinstance(cause, ssl.SSLError | urllib3.exceptions.SSLError):
        reason = first_line(str(cause))
        return FixConfiguration(operation, message, f"TLS: {reason} (MINIO_USE_SSL, MINIO_CA_FILE)")
    text = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
    return TryAgain(operation, message, first_line(text))


def _is_transient(status: int) -> bool:
    return status >= 500 or status == 429  # noqa: PLR2004 - HTTP status codes
