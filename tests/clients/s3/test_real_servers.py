"""What rclone 1.75 and versitygw 1.8 answer to wrong settings, missing permissions and a wrong clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from steps.clients.s3.listing import Listed
from steps.clients.s3.store import Denied
from steps.errors import SyncError
from tests.support.bucket import Bucket, new_bucket
from tests.support.object_store import open_store
from tests.support.repositories import bare_repository
from tests.support.s3 import versitygw_account, versitygw_available, versitygw_server
from tests.support.sync import Sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steps.clients.s3.store import ObjectStore

LIBRARIES = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1")]
DENIED = 10
ACCESS = "AccessDenied: Access Denied; allow s3:ListBucket and s3:GetObject for MINIO_ACCESS_KEY"
SIGNATURE = (
    "SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided. "
    "Check your key and signing method; check MINIO_SECRET_KEY"
)
BUCKET = "NoSuchBucket: The specified bucket does not exist; check MINIO_BUCKET"
REGION = (
    'AuthorizationHeaderMalformed: The authorization header is malformed; the region "eu-west-1" is wrong; '
    'expecting "us-east-1"; check MINIO_REGION'
)
CLOCKS = "check the clocks of this machine and of the server"
SKEWED = (
    "RequestTimeTooSkewed: The difference between the request time and the current time is too large",
    # rclone, to a clock that is behind
    "AccessDenied: The difference between the request time and the server's time exceeds the maximum allowed",
)


def answer(store: ObjectStore, request: str) -> tuple[int, str]:
    """Return the exit code and the error of a LIST, a GET (through obstore, or through minio) or a HEAD."""
    try:
        match request:
            case "LIST":
                list(store.listing("p/"))
            case "HEAD":
                store.exists("p/a")
            case _:
                etag = "0" * 32 + ("" if request == "GET" else "-1")
                store.fetch(Listed("p/a", etag, 1, None), b"/dev/null", max_bytes=1)
    except Denied as denied:
        return DENIED, str(denied)
    except SyncError as problem:
        return problem.exit, problem.error
    return 0, ""


def is_moto(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.callspec.params["server"] == "moto")


@pytest.mark.parametrize("kind", ["LIST", "GET", "GET of a multipart upload", "HEAD"])
def test_wrong_secret_exits_40(kind: str, any_bucket: Bucket, request: pytest.FixtureRequest) -> None:
    if is_moto(request):
        pytest.skip("moto accepts every credential")
    any_bucket.put("p/a", b"x")
    assert answer(open_store(any_bucket, MINIO_SECRET_KEY="wrong"), kind) == (40, SIGNATURE)


def test_missing_bucket_exits_40(any_bucket: Bucket) -> None:
    assert answer(open_store(any_bucket, MINIO_BUCKET="absent"), "LIST") == (40, BUCKET)


@pytest.mark.parametrize("kind", ["LIST", "GET", "GET of a multipart upload"])
def test_wrong_region_exits_40(kind: str, any_bucket: Bucket, request: pytest.FixtureRequest) -> None:
    if "versitygw" not in request.node.callspec.params["server"]:
        pytest.skip("moto and rclone accept every region")
    any_bucket.put("p/a", b"x")
    assert answer(open_store(any_bucket, MINIO_REGION="eu-west-1"), kind) == (40, REGION)


@pytest.mark.skipif(not LIBRARIES, reason="needs libfaketime (apt-get install faketime)")
@pytest.mark.parametrize("ahead", ["+1d", "-1d"])
def test_run_on_a_machine_with_a_wrong_clock_exits_40(
    ahead: str, any_bucket: Bucket, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if is_moto(request):
        pytest.skip("moto accepts every signature")
    any_bucket.put("clusterbackup/east/a.yaml", b"x")
    (tmp_path / ".faketimerc").write_text(ahead)
    sync = Sync.between(any_bucket, bare_repository(tmp_path / "r.git"), tmp_path / "work")
    process = sync.start("run", LD_PRELOAD=str(LIBRARIES[0]), HOME=str(tmp_path))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 40
    errors = [line["error"] for line in map(json.loads, output.splitlines()) if line["level"] == "error"]
    assert errors[0] in [f"{words}; {CLOCKS}" for words in SKEWED]


# -- permissions -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A bucket of versitygw, whose account "bot" has no permission."""
    if not versitygw_available():
        pytest.skip("versitygw has to be built, and Go is not installed")
    accounts = tmp_path_factory.mktemp("accounts")
    with versitygw_server(tmp_path_factory.mktemp("versitygw"), accounts=accounts) as server:
        bucket = new_bucket(server)
        bucket.put("p/a", b"x")
        versitygw_account(server, "bot", "the-secret-of-bot")
        yield bucket


def allow(bucket: Bucket, *actions: str) -> None:
    """Allow the account these actions on the bucket and its objects, and no others."""
    resource = f"arn:aws:s3:::{bucket.name}"
    statements = [
        {
            "Effect": "Allow",
            "Principal": {"AWS": ["bot"]},
            "Action": action,
            "Resource": resource if action == "s3:ListBucket" else f"{resource}/*",
        }
        for action in actions
    ]
    policy = {"Version": "2012-10-17", "Statement": statements}
    bucket.request("PUT", query={"policy": ""}, body=json.dumps(policy).encode())


@pytest.mark.parametrize(
    ("action", "outcomes"),
    [
        ("s3:ListBucket", [(0, ""), (DENIED, "AccessDenied: Access Denied."), (0, "")]),
        ("s3:GetObject", [(40, ACCESS), (0, ""), (0, "")]),
        ("s3:GetObjectTagging", [(40, ACCESS), (DENIED, "AccessDenied: Access Denied."), (40, ACCESS)]),
    ],
)
def test_missing_permission_is_named(action: str, outcomes: list[tuple[int, str]], account: Bucket) -> None:
    """Without GetObject, a listing of the key decides in the place of HEAD."""
    allow(account, action)
    store = open_store(account, MINIO_ACCESS_KEY="bot", MINIO_SECRET_KEY="the-secret-of-bot")
    found = [answer(store, request) for request in ("LIST", "GET of a multipart upload", "HEAD")]
    assert found == outcomes
