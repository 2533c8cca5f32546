"""Refusals of S3 servers: their words, what to do, and whether a retry may help."""

from __future__ import annotations

import pytest

from steps.clients.s3.refusal import Refusal

ERROR = '<?xml version="1.0"?><Error><Code>{}</Code><Message>{}</Message><RequestId>1F</RequestId></Error>'


@pytest.mark.parametrize("content_type", ["application/xml", "text/xml; charset=utf-8", "text/plain", ""])
def test_error_document_of_any_content_type_is_read(content_type: str) -> None:
    body = ERROR.format("AccessDenied", "Access\n Denied &amp; more.")
    refusal = Refusal.of(403, body, content_type)
    assert refusal.text == "AccessDenied: Access Denied & more."


@pytest.mark.parametrize(
    ("status", "content_type", "body", "text"),
    [
        (404, "text/html; charset=utf-8", "<title>404 Not Found</title><p>x", " (text/html): 404 Not Found"),
        (403, "text/html", "<h1>Blocked</h1> by <b>A &amp; B</b>", " (text/html): Blocked by A & B"),
        (400, "", "Client sent an HTTP request.\n", ": Client sent an HTTP request"),
        (403, "application/json", '{"code": 7}', ' (application/json): {"code": 7}'),
    ],
)
def test_other_answer_is_quoted_with_status_and_type(
    status: int, content_type: str, body: str, text: str
) -> None:
    explained = Refusal.of(status, body, content_type).explained("MINIO")
    expected = f"the server answered {status}{text}"
    assert explained == f"{expected}; not an S3 server: check MINIO_ENDPOINT and MINIO_USE_SSL"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (ERROR.format("NoSuchBucket", ""), "NoSuchBucket: check STATE_BUCKET"),
        ("<Error><Code>NoSuchBucket</Code></Error>", "NoSuchBucket: check STATE_BUCKET"),
        ("<Error><Code>Odd</Code></Error>", "Odd: the server answered 404"),
        (ERROR.format("Odd", "Really."), "Odd: Really."),
        (ERROR.format("NoSuchBucket", "It is gone."), "NoSuchBucket: It is gone; check STATE_BUCKET"),
        (
            "<Error><Code>Odd</Code><Message>Denied.</Message><Details>No access.</Details></Error>",
            "Odd: Denied. No access.",
        ),
    ],
)
def test_refusal_says_what_to_do(body: str, text: str) -> None:
    assert Refusal.of(404, body).explained("STATE") == text


def test_words_are_cut_between_words() -> None:
    refusal = Refusal.of(403, ERROR.format("AccessDenied", "word " * 1000))
    assert refusal.words == "word " * 199 + "word…"


@pytest.mark.parametrize(
    ("status", "code", "is_passing"),
    [
        *((500, "InternalError", True), (503, "SlowDown", True), (503, "", True), (429, "", True)),
        *((400, "RequestTimeout", True), (409, "OperationAborted", True), (200, "InternalError", True)),
        *((501, "NotImplemented", False), (505, "", False), (400, "ExpiredToken", False)),
        *((403, "RequestTimeTooSkewed", False), (404, "NoSuchBucket", False)),
    ],
)
def test_refusal_is_passing_if_a_retry_may_help(status: int, code: str, is_passing: bool) -> None:
    assert Refusal(status, code, "").is_passing is is_passing


@pytest.mark.parametrize(
    ("status", "code", "is_about_an_object"),
    [
        *((403, "AccessDenied", True), (403, "InvalidObjectState", True)),
        *((401, "", False), (400, "ExpiredToken", False), (503, "SlowDown", False)),
        *((404, "NoSuchBucket", False), (403, "SignatureDoesNotMatch", False)),
    ],
)
def test_refusal_of_one_object_stops_no_others(status: int, code: str, is_about_an_object: bool) -> None:
    assert Refusal(status, code, "").is_about_an_object is is_about_an_object
