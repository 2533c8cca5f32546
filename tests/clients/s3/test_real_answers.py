"""What S3 servers answer when something is wrong: the exit code and the error that follow.

Each row has its source: the server's documentation or code, or a report with the answer. Statuses, codes and
messages are those of the servers; request ids, which differ each time, are invented.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, NamedTuple

import pytest
import trustme

from steps.clients.s3.listing import Listed
from steps.clients.s3.store import Denied
from steps.errors import SyncError
from steps.runtime import retry
from tests.support.bucket import Bucket
from tests.support.loopback import LoopbackHandler, LoopbackServer, certified
from tests.support.object_store import open_store
from tests.support.s3 import S3Server

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from steps.clients.s3.store import ObjectStore

XML, TEXT_XML, HTML, PLAIN = "application/xml", "text/xml; charset=utf-8", "text/html", "text/plain"
ACCESS = "allow s3:ListBucket and s3:GetObject for MINIO_ACCESS_KEY"
CLOCKS = "check the clocks of this machine and of the server"
KEYS = "MINIO_ACCESS_KEY and MINIO_SECRET_KEY"
NOT_S3 = "not an S3 server: check MINIO_ENDPOINT and MINIO_USE_SSL"
SIGNATURE = "The request signature we calculated does not match the signature you provided."
NAMED = 10  # the object is named, and the others are committed


@dataclass(frozen=True)
class Answer:
    """An answer; ``text`` and ``more`` are the message and the other elements of an S3 error."""

    status: int
    code: str = ""
    text: str = ""
    more: str = ""
    kind: str = XML

    @property
    def body(self) -> bytes:
        if not self.code:
            return self.text.encode()
        message = f"<Message>{self.text}</Message>" if self.text else ""
        inner = f"<Code>{self.code}</Code>{message}{self.more}<RequestId>4F0E</RequestId><HostId>h1</HostId>"
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()


class Row(NamedTuple):
    """An answer, the exit code, and what the error says after the words of the server."""

    answer: Answer
    exit_: int
    cure: str = ""
    words: str = ""  # if they are not the code and the message

    @property
    def error(self) -> str:
        words = self.words or f"{self.answer.code}: {self.answer.text}"
        return f"{words.removesuffix('.')}; {self.cure}" if self.cure else words


# AWS: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, unless a row names a report.
LISTINGS = {
    "AWS, wrong key": Row(
        Answer(403, "InvalidAccessKeyId", "The access key ID that you provided does not exist."),
        40,
        "check MINIO_ACCESS_KEY",
    ),
    # github.com/anomalizer/ngx_aws_auth issue 17
    "AWS, wrong secret": Row(
        Answer(403, "SignatureDoesNotMatch", SIGNATURE, "<StringToSign>GET 20250712T22</StringToSign>"),
        40,
        "check MINIO_SECRET_KEY",
    ),
    "AWS, expired token": Row(
        Answer(400, "ExpiredToken", "The provided token has expired.", "<Token-0>t</Token-0>"),
        40,
        f"renew {KEYS}",
    ),
    # github.com/versity/versitygw issue 1514 quotes AWS
    "AWS, clock": Row(
        Answer(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            "<RequestTime>20250901T162148Z</RequestTime><ServerTime>2025-09-03T16:21:50Z</ServerTime>",
        ),
        40,
        CLOCKS,
    ),
    "AWS, missing bucket": Row(
        Answer(404, "NoSuchBucket", "The specified bucket does not exist", "<BucketName>b</BucketName>"),
        40,
        "check MINIO_BUCKET",
    ),
    # github.com/s3fs-fuse/s3fs-fuse issue 227
    "AWS, region in the signature": Row(
        Answer(
            400,
            "AuthorizationHeaderMalformed",
            "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'us-east-2'",
            "<Region>us-east-2</Region>",
        ),
        40,
        "check MINIO_REGION",
    ),
    # github.com/appoxy/aws pull request 110
    "AWS, endpoint of another region": Row(
        Answer(
            301,
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified endpoint.",
            "<Endpoint>b.s3-ap-northeast-1.amazonaws.com</Endpoint>",
        ),
        40,
        "check MINIO_ENDPOINT and MINIO_REGION",
    ),
    "AWS, policy": Row(Answer(403, "AccessDenied", "Access Denied"), 40, ACCESS),
    # github.com/noobaa/noobaa-core issue 10060 quotes AWS
    "AWS, policy, with the permission": Row(
        Answer(403, "AccessDenied", "u is not authorized to perform: s3:ListBucket on &quot;r&quot;"),
        40,
        ACCESS,
        'AccessDenied: u is not authorized to perform: s3:ListBucket on "r"',
    ),
    "AWS, bucket switched off": Row(
        Answer(403, "AllAccessDisabled", "All access to this object has been disabled"), 40
    ),
    "AWS, account": Row(Answer(403, "AccountProblem", "There is a problem with your AWS account."), 40),
    # github.com/pingcap/tiflash issue 10538
    "AWS, slow down": Row(Answer(503, "SlowDown", "Please reduce your request rate."), 30),
    "AWS, internal error": Row(Answer(500, "InternalError", "An internal error occurred. Try again."), 30),
    "AWS, maintenance": Row(Answer(503, "ServiceUnavailable", "Service is unable to handle request."), 30),
    "AWS, timeout": Row(Answer(400, "RequestTimeout", "Your socket connection timed out."), 30),
    "AWS, another operation": Row(Answer(409, "OperationAborted", "An operation is in progress."), 30),
    "AWS, error after status 200": Row(Answer(200, "InternalError", "An internal error occurred."), 30),
    # github.com/minio/minio cmd/api-errors.go
    "MinIO, wrong key": Row(
        Answer(403, "InvalidAccessKeyId", "The Access Key Id you provided does not exist in our records."),
        40,
        "check MINIO_ACCESS_KEY",
    ),
    "MinIO, start": Row(
        Answer(503, "XMinioServerNotInitialized", "Server not initialized, please try again."), 30
    ),
    "MinIO, lost disks": Row(
        Answer(503, "XMinioReadQuorum", "Multiple disk failures, unable to reconstruct data."), 30
    ),
    "MinIO, lock": Row(
        Answer(408, "XMinioServerTimedOut", "A timeout occurred while trying to lock a resource"), 30
    ),
    "MinIO, without TLS": Row(
        Answer(400, "XMinioInsecureClientRequest", "Cannot respond to plain-text request"),
        40,
        "check MINIO_USE_SSL",
    ),
    # github.com/pivotal-sadubois/tanzu-demo-hub issue 13: the console answers as text/xml
    "MinIO, port of the console": Row(
        Answer(403, "AccessDenied", "S3 API Request made to Console port.", kind=TEXT_XML), 40, ACCESS
    ),
    "MinIO, page of the console": Row(
        Answer(200, text="<!doctype html><html><head><title>MinIO Console</title></head>", kind=HTML),
        40,
        "not an S3 server: check MINIO_ENDPOINT",
        "the server answered with a web page: MinIO Console",
    ),
    # github.com/minio/minio-go issue 563: Ceph sends no message
    "Ceph, missing bucket": Row(
        Answer(404, "NoSuchBucket", more="<BucketName>foo</BucketName>"),
        40,
        words="NoSuchBucket: check MINIO_BUCKET",
    ),
    # docs.redhat.com, Ceph Storage 6, developer guide, appendix C: the codes
    "Ceph, wrong secret": Row(
        Answer(403, "SignatureDoesNotMatch"), 40, words="SignatureDoesNotMatch: check MINIO_SECRET_KEY"
    ),
    "Ceph, blocked user": Row(
        Answer(403, "UserSuspended"),
        40,
        words="UserSuspended: ask the administrator to unblock MINIO_ACCESS_KEY",
    ),
    "Ceph, clock": Row(Answer(403, "RequestTimeTooSkewed"), 40, words=f"RequestTimeTooSkewed: {CLOCKS}"),
    "Ceph, rate limit": Row(Answer(503, "SlowDown"), 30, words="SlowDown: the server answered 503"),
    # github.com/seaweedfs/seaweedfs weed/s3api/s3err/s3api_errors.go
    "SeaweedFS, no identities": Row(
        Answer(400, "InvalidRequest", "Signed request requires setting up SeaweedFS S3 authentication"), 40
    ),
    "SeaweedFS, too many requests": Row(
        Answer(429, "ErrTooManyRequest", "Too many simultaneous request count"), 30
    ),
    "SeaweedFS, quota of bytes": Row(
        Answer(429, "ErrRequestBytesExceed", "Simultaneous request bytes exceed limitations"), 30
    ),
    # github.com/grafana/loki issue 9224
    "R2, key of another service": Row(
        Answer(400, "InvalidArgument", "Credential access key has length 25, should be 32"), 40
    ),
    # github.com/apache/opendal issue 1689
    "R2, wrong secret": Row(
        Answer(403, "SignatureDoesNotMatch", f"{SIGNATURE} Check your secret access key."),
        40,
        "check MINIO_SECRET_KEY",
    ),
    # github.com/vastsa/FileCodeBox issue 95 has the code, github.com/remotely-save/remotely-save issue 706
    # the status
    "R2, not allowed": Row(Answer(401, "Unauthorized", "Unauthorized"), 40, f"check {KEYS}"),
    # github.com/edenlabllc/ehealth.api issue 945
    "GCS, wrong secret": Row(
        Answer(403, "SignatureDoesNotMatch", f"{SIGNATURE} Check your Google secret key."),
        40,
        "check MINIO_SECRET_KEY",
    ),
    # github.com/kylemcdonald/ethereum-emissions issue 6
    "GCS, permission": Row(
        Answer(
            403,
            "AccessDenied",
            "Access denied.",
            "<Details>a@b.example does not have storage.objects.list access to the bucket.</Details>",
        ),
        40,
        ACCESS,
        "AccessDenied: Access denied. a@b.example does not have storage.objects.list access to the bucket",
    ),
    # rclone 1.75; test_store.py asks rclone itself
    "rclone, wrong key": Row(
        Answer(403, "InvalidAccessKeyId", "The access key ID does not exist", kind=TEXT_XML),
        40,
        "check MINIO_ACCESS_KEY",
    ),
    # github.com/thephpleague/flysystem-aws-s3-v3 issue 278
    "DigitalOcean, slow down": Row(Answer(503, "SlowDown", "Reduce your request rate."), 30),
    # the default error pages of nginx and HAProxy, and Go's net/http/server.go
    "nginx, maintenance": Row(
        Answer(503, text="<html>\n<head><title>503 Service Unavailable</title></head>", kind=HTML),
        30,
        words="the server answered 503 (text/html): 503 Service Unavailable",
    ),
    "nginx, not found": Row(
        Answer(404, text="<html>\n<head><title>404 Not Found</title></head>", kind=HTML),
        40,
        NOT_S3,
        "the server answered 404 (text/html): 404 Not Found",
    ),
    "nginx, HTTP to HTTPS": Row(
        Answer(400, text="<title>400 The plain HTTP request was sent to HTTPS port</title>", kind=HTML),
        40,
        NOT_S3,
        "the server answered 400 (text/html): 400 The plain HTTP request was sent to HTTPS port",
    ),
    "HAProxy, overload": Row(
        Answer(503, text="<html><body><h1>503 Service Unavailable</h1>\nNo server", kind=HTML),
        30,
        words="the server answered 503 (text/html): 503 Service Unavailable No server",
    ),
    "Go, HTTP to HTTPS": Row(
        Answer(400, text="Client sent an HTTP request to an HTTPS server.\n", kind=""),
        40,
        NOT_S3,
        "the server answered 400: Client sent an HTTP request to an HTTPS server.",
    ),
}

GETS = {
    "AWS, policy": Row(Answer(403, "AccessDenied", "Access Denied"), NAMED),
    # github.com/getmoto/moto issue 8748 quotes AWS
    "AWS, archived": Row(
        Answer(403, "InvalidObjectState", "The operation is not valid for the object's storage class"), NAMED
    ),
    # github.com/localstack/localstack issue 8422 names the codes
    "AWS, disabled KMS key": Row(Answer(400, "KMS.DisabledException", "key/k is disabled."), NAMED),
    "AWS, deleted KMS key": Row(
        Answer(400, "KMS.KMSInvalidStateException", "key/k is pending deletion."), NAMED
    ),
    # github.com/minio/minio cmd/api-errors.go, as AWS
    "MinIO, key of the client": Row(
        Answer(400, "InvalidRequest", "The object was stored using a form of Server Side Encryption."), NAMED
    ),
    "MinIO, without KMS": Row(
        Answer(501, "NotImplemented", "Server side encryption specified but KMS is not configured"), 40
    ),
    # cloud.google.com/storage/docs/xml-api/reference-status
    "GCS, disabled KMS key": Row(Answer(400, "CloudKmsDisabledKey", "Cloud KMS key is disabled."), NAMED),
    # github.com/alangrainger/share-note issue 63
    "Backblaze, cap": Row(
        Answer(403, text='{"code": "download_cap_exceeded"}', kind="application/json"),
        NAMED,
        words='the server answered 403 (application/json): {"code": "download_cap_exceeded"}',
    ),
    "AWS, expired token": Row(
        Answer(400, "ExpiredToken", "The provided token has expired."), 40, f"renew {KEYS}"
    ),
    "AWS, slow down": Row(Answer(503, "SlowDown", "Please reduce your request rate."), 30),
    "Ceph, policy": Row(Answer(403, "AccessDenied"), NAMED, words="AccessDenied"),
}

# AWS API reference, HeadObject: the answer has no body.
HEADS = {
    "denied": Row(Answer(403), 40, ACCESS, "the server answered 403"),
    "bad request": Row(Answer(400), 40, words="the server answered 400"),
    "slow down": Row(Answer(503), 30, words="the server answered 503"),
    "internal error": Row(Answer(500), 30, words="the server answered 500"),
}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "REQUESTS", replaced(retry.REQUESTS, first_pause=0.001))


@contextmanager
def answering(answer: Answer, *, tls: ssl.SSLContext | None = None) -> Iterator[Bucket]:
    """A bucket of a server that gives this answer to every request."""

    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802
            self.reply(answer.status, {"Content-Type": answer.kind} if answer.kind else {}, answer.body)

        do_HEAD = do_GET  # noqa: N815

    server = LoopbackServer(Handler, tls=tls)
    with server.running():
        yield Bucket(S3Server(server.endpoint), "backups")


def outcome(store: ObjectStore, request: str) -> tuple[int, str]:
    """Return the exit code and the error that follow from this request."""
    try:
        match request:
            case "LIST":
                list(store.listing("p/"))
            case "HEAD":
                store.exists("p/a")
            case _:
                # An ETag that is no MD5 is requested through the other library.
                etag = "0" * 32 + ("-1" if request == "GET of a multipart upload" else "")
                store.fetch(Listed("p/a", etag, 1, None), b"/dev/null", max_bytes=1)
    except Denied as denied:
        return NAMED, str(denied)
    except SyncError as problem:
        return problem.exit, problem.error
    return 0, ""


@pytest.mark.parametrize("name", LISTINGS)
def test_answer_to_list_has_an_exit_code_and_an_error(name: str) -> None:
    row = LISTINGS[name]
    with answering(row.answer) as bucket:
        assert outcome(open_store(bucket), "LIST") == (row.exit_, row.error)


@pytest.mark.parametrize("request_", ["GET", "GET of a multipart upload"])
@pytest.mark.parametrize("name", GETS)
def test_answer_to_get_has_an_exit_code_and_an_error(name: str, request_: str) -> None:
    row = GETS[name]
    # obstore does not show the type of the answer.
    error = row.error.replace(" (application/json)", "") if request_ == "GET" else row.error
    with answering(row.answer) as bucket:
        assert outcome(open_store(bucket), request_) == (row.exit_, error)


@pytest.mark.parametrize("name", HEADS)
def test_answer_to_head_has_an_exit_code_and_an_error(name: str) -> None:
    row = HEADS[name]
    with answering(row.answer) as bucket:
        assert outcome(open_store(bucket), "HEAD") == (row.exit_, row.error)


@pytest.mark.parametrize("request_", ["LIST", "GET"])
def test_https_to_a_server_without_tls_exits_40(request_: str) -> None:
    with answering(Answer(400)) as bucket:
        exit_, error = outcome(open_store(bucket, MINIO_USE_SSL="true"), request_)
    assert exit_ == 40
    assert error.endswith("; check MINIO_USE_SSL")


def test_untrusted_certificate_exits_40() -> None:
    with answering(Answer(200), tls=certified(trustme.CA())) as bucket:
        exit_, error = outcome(open_store(bucket, MINIO_USE_SSL="true"), "LIST")
    assert exit_ == 40
    assert error.startswith("TLS: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: ")
    assert error.endswith("; check MINIO_CA_FILE")


def test_http_to_a_server_with_tls_exits_30_or_40() -> None:
    """Python's server closes the connection; others answer with an alert or a page, as in the tables."""
    with answering(Answer(200), tls=certified(trustme.CA())) as bucket:
        exit_, error = outcome(open_store(bucket), "LIST")
    assert (exit_, error) == (30, "the connection ended before the answer")
