"""One contract for the objects of a bucket, on S3 servers that share nothing but the protocol."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import pytest

from steps.clients.s3.listing import Listed
from steps.clients.s3.store import Denied, Gone, TooLarge
from steps.errors import FixConfiguration, TryAgain
from tests.support.bucket import Bucket
from tests.support.faults import Status, when
from tests.support.object_store import open_store
from tests.support.s3 import S3Server
from tests.support.trickle import trickling

if TYPE_CHECKING:
    from pathlib import Path

    from steps.clients.s3.store import ObjectStore
    from steps.errors import SyncError
    from tests.support.proxy import S3FaultProxy

LIMIT = 100 * 1024 * 1024


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


ODD = [
    *("system:admin", "%2F", "%", "a b", "*", "?x=1", "#frag", "'quoted'", '"double"', "a+b", "a&b", "<x>"),
    *("[b]", "{b}", "^c", "`d", "a|b", "~t", "ü", "e\u0301", "日本", "\U0001f600", "-dash", "x.", ".hidden"),
    *("@", "=", ";", "$HOME"),
]


def test_store_lists_and_fetches_every_legal_key_exactly(
    any_bucket: Bucket, any_store: ObjectStore, tmp_path: Path
) -> None:
    objects = {f"p/{key}": f"content of {key}".encode() for key in ODD}
    any_bucket.put_many(objects)
    listed = list(any_store.listing("p/"))
    assert [entry.key for entry in listed] == sorted(objects, key=str.encode)
    for entry in listed:
        target = tmp_path / "object"
        fetched = any_store.fetch(entry, bytes(target), max_bytes=LIMIT)
        assert target.read_bytes() == objects[entry.key]
        assert (fetched.oid, fetched.size) == (blob_id(objects[entry.key]), len(objects[entry.key]))


def test_fetch_streams_a_large_object(any_bucket: Bucket, any_store: ObjectStore, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096 * 5
    any_bucket.put("p/large", data)
    (entry,) = any_store.listing("p/")
    fetched = any_store.fetch(entry, bytes(tmp_path / "object"), max_bytes=LIMIT)
    assert (fetched.oid, fetched.size) == (blob_id(data), len(data))
    assert (tmp_path / "object").read_bytes() == data


def test_fetch_returns_the_new_content_of_an_object_that_changed_since_it_was_listed(
    any_bucket: Bucket, any_store: ObjectStore, tmp_path: Path
) -> None:
    any_bucket.put("p/a", b"old")
    (entry,) = any_store.listing("p/")
    any_bucket.put("p/a", b"newer")
    fetched = any_store.fetch(entry, bytes(tmp_path / "object"), max_bytes=LIMIT)
    assert (tmp_path / "object").read_bytes() == b"newer"
    assert (fetched.size, fetched.oid) == (5, blob_id(b"newer"))


def test_object_that_outgrew_the_limit_is_too_large(
    any_bucket: Bucket, any_store: ObjectStore, tmp_path: Path
) -> None:
    any_bucket.put("p/a", b"old")
    (entry,) = any_store.listing("p/")
    any_bucket.put("p/a", b"x" * 100)
    with pytest.raises(TooLarge):
        any_store.fetch(entry, bytes(tmp_path / "object"), max_bytes=99)


def test_fetch_raises_gone_for_an_object_deleted_since_it_was_listed(
    any_bucket: Bucket, any_store: ObjectStore, tmp_path: Path
) -> None:
    any_bucket.put("p/a", b"old")
    (entry,) = any_store.listing("p/")
    any_bucket.delete("p/a")
    with pytest.raises(Gone):
        any_store.fetch(entry, bytes(tmp_path / "object"), max_bytes=LIMIT)


def test_exists_compares_the_exact_key(any_bucket: Bucket, any_store: ObjectStore) -> None:
    any_bucket.put("clusterbackup/east/%2F", b"1")
    any_bucket.put("clusterbackup/east/a/b", b"1")
    assert any_store.exists("clusterbackup/east/%2F")
    assert not any_store.exists("clusterbackup/east/%252F")
    assert any_store.exists("clusterbackup/east/a/b")
    assert not any_store.exists("clusterbackup/east/a")
    assert not any_store.exists("clusterbackup/east/A/b")


def test_read_returns_the_content_or_none_if_there_is_no_such_object(
    any_bucket: Bucket, any_store: ObjectStore
) -> None:
    any_bucket.put("state.json", b"{}")
    assert any_store.read("state.json", max_bytes=2) == b"{}"
    assert any_store.read("other.json", max_bytes=2) is None


def test_read_raises_for_a_missing_bucket(bucket: Bucket) -> None:
    with pytest.raises(FixConfiguration, match="NoSuchBucket: The specified bucket does not exist"):
        open_store(bucket, MINIO_BUCKET="absent").read("state.json", max_bytes=2)


def test_read_raises_for_an_object_that_is_too_large(bucket: Bucket) -> None:
    bucket.put("state.json", b"{ }")
    with pytest.raises(FixConfiguration, match=r"state\.json is larger than 2 bytes"):
        open_store(bucket).read("state.json", max_bytes=2)


@pytest.mark.parametrize(
    "opening",
    [
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 200 OK\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: 9999\r\n\r\n",
    ],
    ids=["headers", "body"],
)
def test_read_ends_at_its_deadline_if_the_answer_trickles(opening: bytes, bucket: Bucket) -> None:
    with trickling(opening) as server:
        store = open_store(bucket, object_seconds=1, MINIO_ENDPOINT=server.endpoint)
        began = time.monotonic()
        with pytest.raises(TryAgain, match="no complete answer in time"):
            store.read("state.json", max_bytes=100_000)
        assert time.monotonic() - began < 5


def test_a_missing_bucket_raises_fix_configuration(any_bucket: Bucket) -> None:
    with pytest.raises(FixConfiguration) as raised:
        next(open_store(any_bucket, MINIO_BUCKET="no-such-bucket").children("p/"))
    assert raised.value.operation == "minio_connect"


def test_wrong_credentials_raise_fix_configuration(
    any_bucket: Bucket, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.params["server"] == "moto":
        pytest.skip("moto accepts every credential; tests/runs/test_failures.py refuses it in a proxy")
    for name, code in (
        ("MINIO_SECRET_KEY", "SignatureDoesNotMatch"),
        ("MINIO_ACCESS_KEY", "InvalidAccessKeyId|XAdminUserNotFound"),
    ):
        with pytest.raises(FixConfiguration, match=f"({code}): .*; check {name}$"):
            next(open_store(any_bucket, object_seconds=60, **{name: "wrong"}).children("p/"))


@pytest.mark.parametrize("etag", ["0" * 32, "0" * 32 + "-1"], ids=["obstore", "minio"])
@pytest.mark.parametrize(
    ("status", "code", "kind", "error"),
    [
        (400, "ExpiredToken", FixConfiguration, "; renew MINIO_ACCESS_KEY and MINIO_SECRET_KEY"),
        (400, "AuthorizationHeaderMalformed", FixConfiguration, "; check MINIO_REGION"),
        (503, "SlowDown", TryAgain, ""),
    ],
)
def test_failed_get_has_the_words_of_the_server_and_the_key(
    *,
    etag: str,
    status: int,
    code: str,
    kind: type[SyncError],
    error: str,
    faulty_store: ObjectStore,
    bucket: Bucket,
    proxy: S3FaultProxy,
) -> None:
    proxy.install(when(lambda r: r.is_get, Status(status, code)))
    with pytest.raises(kind) as raised:
        faulty_store.fetch(Listed("p/Ä b", etag, 1, None), b"/dev/null", max_bytes=LIMIT)
    assert raised.value.error == f"{code}: injected by a test{error}"
    assert raised.value.data == {"bucket": bucket.name, "key": "p/Ä b"}


@pytest.mark.parametrize("etag", ["0" * 32, "0" * 32 + "-1"], ids=["obstore", "minio"])
def test_object_that_the_server_refuses_is_denied_in_the_words_of_the_server(
    etag: str, faulty_store: ObjectStore, proxy: S3FaultProxy
) -> None:
    proxy.install(when(lambda r: r.is_get, Status(400, "InvalidRequest")))
    with pytest.raises(Denied, match=r"^InvalidRequest: injected by a test$"):
        faulty_store.fetch(Listed("p/a", etag, 1, None), b"/dev/null", max_bytes=LIMIT)


def test_a_refused_connection_raises_try_again() -> None:
    bucket = Bucket(S3Server(endpoint="127.0.0.1:1"), "bucket")
    with pytest.raises(TryAgain, match="connection refused"):
        next(open_store(bucket).children("p/"))
    with pytest.raises(TryAgain):
        open_store(bucket).fetch(Listed("p/a", "0" * 32, 1, None), b"/dev/null", max_bytes=LIMIT)
