"""What the SDKs raise, translated into what the operator does next."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

import pytest
import urllib3
from obstore.exceptions import GenericError

from steps.clients.s3.errors import Redirected, Refused, WebPage, is_not_found, translated
from steps.clients.s3.refusal import Refusal
from steps.core.operations import Operation
from steps.errors import FixConfiguration, TryAgain

if TYPE_CHECKING:
    from steps.errors import SyncError


def _refused(status: int, code: str, method: str = "GET") -> Refused:
    return Refused(method, Refusal(status, code, "The message."))


def _caused_by(cause: Exception) -> urllib3.exceptions.MaxRetryError:
    pool = urllib3.HTTPConnectionPool("127.0.0.1")
    return urllib3.exceptions.MaxRetryError(pool, "/", cause)


@pytest.mark.parametrize(
    ("problem", "kind", "error"),
    [
        (_refused(503, "SlowDown"), TryAgain, "SlowDown: The message."),
        (_refused(404, "NoSuchBucket"), FixConfiguration, "NoSuchBucket: The message; check MINIO_BUCKET"),
        (
            WebPage("<html><title>MinIO {Console}</title>"),
            FixConfiguration,
            "the server answered with a web page: MinIO {Console}; not an S3 server: check MINIO_ENDPOINT",
        ),
        (
            Redirected("https://{a}.example.com/b/?prefix=x"),
            FixConfiguration,
            "the server redirects to https://{a}.example.com/b/; set MINIO_ENDPOINT to the server itself",
        ),
        (ValueError("invalid bucket name b"), FixConfiguration, "invalid bucket name b"),
        (
            ValueError("a truncated listing has no token"),
            TryAgain,
            "a truncated listing has no token",
        ),
        (ParseError("no element found"), TryAgain, "no element found"),
        (_caused_by(ConnectionRefusedError(111, "Connection refused")), TryAgain, "connection refused"),
        (
            _caused_by(urllib3.exceptions.SSLError(ssl.SSLError(1, "wrong version number (_ssl.c:1006)"))),
            FixConfiguration,
            "TLS: wrong version number; check MINIO_USE_SSL",
        ),
        (
            _caused_by(ssl.SSLEOFError(8, "EOF occurred in violation of protocol (_ssl.c:1006)")),
            TryAgain,
            "TLS: EOF occurred in violation of protocol; if this lasts, check MINIO_USE_SSL",
        ),
        (
            GenericError("Generic S3 error: Error performing GET u in 1.2ms - HTTP error\n\nDebug source:"),
            TryAgain,
            "HTTP error",
        ),
    ],
    ids=lambda value: f"{type(value).__name__}: {value}" if isinstance(value, Exception) else None,
)
def test_errors_are_translated(problem: Exception, kind: type[SyncError], error: str) -> None:
    raised = translated(problem, Operation.DOWNLOAD, "Failed to download")
    assert type(raised) is kind
    assert (raised.operation, raised.message) == (Operation.DOWNLOAD, "Failed to download")
    assert raised.error == error


def test_translated_names_the_settings_of_the_state() -> None:
    raised = translated(_refused(403, "InvalidAccessKeyId"), Operation.SERVE, "Failed", "STATE")
    assert raised.error == "InvalidAccessKeyId: The message; check STATE_ACCESS_KEY"


def test_is_not_found_is_about_the_object_and_not_about_the_bucket() -> None:
    assert is_not_found(_refused(404, "NoSuchKey"))
    assert not is_not_found(_refused(404, "NoSuchBucket"))
    assert is_not_found(_refused(404, "", "HEAD"))
    assert not is_not_found(_refused(404, ""))
    assert not is_not_found(ValueError("NoSuchKey"))
