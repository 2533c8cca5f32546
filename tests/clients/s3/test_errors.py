"""What the SDKs raise, translated into what the operator does next."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

import pytest
import urllib3
from minio.error import InvalidResponseError, S3Error
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from steps.clients.s3.errors import is_not_found, translated
from steps.core.operations import Operation
from steps.errors import FixConfiguration, TryAgain

if TYPE_CHECKING:
    from steps.errors import SyncError


def _s3_error(status: int, code: str) -> S3Error:
    response = urllib3.HTTPResponse(status=status)
    return S3Error(response, code, "the message", "/b/k", "1", "2")


def _caused_by(cause: Exception) -> urllib3.exceptions.MaxRetryError:
    pool = urllib3.HTTPConnectionPool("127.0.0.1")
    return urllib3.exceptions.MaxRetryError(pool, "/", cause)


@pytest.mark.parametrize(
    ("problem", "kind", "error"),
    [
        (_s3_error(503, "SlowDown"), TryAgain, "SlowDown: the message"),
        (_s3_error(500, "InternalError"), TryAgain, "InternalError: the message"),
        (_s3_error(429, "TooManyRequests"), TryAgain, "TooManyRequests: the message"),
        (_s3_error(400, "RequestTimeout"), TryAgain, "RequestTimeout: the message"),
        (_s3_error(403, "AccessDenied"), FixConfiguration, "AccessDenied: the message"),
        (_s3_error(404, "NoSuchBucket"), FixConfiguration, "NoSuchBucket: the message"),
        (InvalidResponseError(503, "text/html", "busy"), TryAgain, "the server is overloaded"),
        (
            InvalidResponseError(200, "text/html", "console"),
            FixConfiguration,
            "not an S3 server: check MINIO_ENDPOINT",
        ),
        (PermissionDeniedError("no"), FixConfiguration, "access denied"),
        (UnauthenticatedError("no"), FixConfiguration, "access denied"),
        (ValueError("invalid bucket name b"), FixConfiguration, "invalid bucket name b"),
        (
            ValueError("a truncated listing has no token"),
            TryAgain,
            "a truncated listing has no token",
        ),
        (ParseError("no element found"), TryAgain, "no element found"),
        (_caused_by(ConnectionRefusedError(111, "Connection refused")), TryAgain, "connection refused"),
        (
            _caused_by(urllib3.exceptions.SSLError(ssl.SSLError(1, "wrong version number"))),
            FixConfiguration,
            "(MINIO_USE_SSL, MINIO_CA_FILE)",
        ),
        (GenericError("HTTP error\nand more"), TryAgain, "http error"),
    ],
    ids=lambda value: f"{type(value).__name__}: {value}" if isinstance(value, Exception) else None,
)
def test_errors_are_translated(problem: Exception, kind: type[SyncError], error: str) -> None:
    raised = translated(problem, Operation.DOWNLOAD, "Failed to download")
    assert type(raised) is kind
    assert (raised.operation, raised.message) == (Operation.DOWNLOAD, "Failed to download")
    assert error in raised.error


def test_is_not_found_is_about_the_object_and_not_about_the_bucket() -> None:
    assert is_not_found(_s3_error(404, "NoSuchKey"))
    assert not is_not_found(_s3_error(404, "NoSuchBucket"))
    assert not is_not_found(ValueError("NoSuchKey"))
