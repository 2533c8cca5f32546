"""Faults of the bucket: they delete nothing in Git, and each is reported."""

from __future__ import annotations

import errno
import os
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from steps import download
from steps.workdir.files import remove
from tests.support.faults import Change, Cut, Reset, Status, forbid, nth, times, when
from tests.support.first_sync import first_sync
from tests.support.repositories import branches, commit_files, contents, message, sha

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.faults import Action, Condition, Request, Rule
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Sync

OBJECTS = {
    f"clusterbackup/{cluster}/default/object-{number}.yaml": b"%d\n" % number
    for cluster in ("east", "north", "west")
    for number in range(8)
}
EAST = "clusterbackup/east/"
WEST = "clusterbackup/west/"
_SSE_C = "x-amz-server-side-encryption-customer-algorithm"


def listing_of(prefix: str) -> Callable[[Request], bool]:
    return lambda request: request.is_list and request.concerns(prefix)


def of(prefix: str) -> Callable[[Request], bool]:
    return lambda request: request.concerns(prefix)


def body(change: Callable[[bytes], bytes]) -> Change:
    return Change(body=change)


def without_last_key(xml: bytes) -> bytes:
    return re.sub(rb"<Contents>(?!.*<Contents>).*?</Contents>", b"", xml, flags=re.DOTALL)


def swapped_keys(xml: bytes) -> bytes:
    return (
        xml.replace(b"object-1", b"object-X")
        .replace(b"object-2", b"object-1")
        .replace(b"object-X", b"object-2")
    )


UNUSABLE: dict[str, Rule] = {
    "the prefix is forbidden": forbid(EAST),
    "the listing always fails": when(listing_of(EAST), Status(500, "InternalError")),
    "the connection is always reset": when(of(EAST), Reset()),
    "the listing is out of order": when(listing_of(EAST), body(swapped_keys)),
    "the listing has keys of another prefix": when(
        listing_of(EAST),
        body(lambda xml: xml.replace(b"<Key>clusterbackup/east", b"<Key>clusterbackup/west")),
    ),
    "the listing is truncated": when(listing_of(EAST), Cut(200)),
    "the listing is not XML": when(listing_of(EAST), body(lambda xml: xml[: len(xml) // 2])),
    "the listing has an unknown encoding": when(
        listing_of(EAST),
        body(lambda xml: b'<?xml version="1.0" encoding="utf-0"?>' + xml[xml.index(b"<ListBucketResult") :]),
    ),
    "the listing lacks a required element": when(
        listing_of(EAST), body(lambda xml: xml.replace(b"<Name>", b"<N>").replace(b"</Name>", b"</N>"))
    ),
    "the listing has sizes that are not numbers": when(
        listing_of(EAST), body(lambda xml: xml.replace(b"<Size>", b"<Size>x"))
    ),
    "the listing is an error with status 200": when(
        listing_of(EAST), body(lambda _: b"<Error><Code>InternalError</Code><Message>x</Message></Error>")
    ),
    "one object cannot be downloaded": when(
        lambda r: r.is_get and r.key.endswith("east/default/object-3.yaml"), Reset()
    ),
}


@pytest.mark.parametrize("rule", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_failing_cluster_keeps_its_files_and_does_not_stop_the_others(
    rule: Rule, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    in_git = {f"{EAST}default/object-3.yaml": b"old", f"{EAST}gone.yaml": b"stays"}
    commit_files(repository, in_git)
    bucket.put_many(OBJECTS)
    proxy.install(rule)
    result = faulty()
    assert result.exit == 10
    others = {key: data for key, data in OBJECTS.items() if not key.startswith(EAST)}
    assert contents(repository) == in_git | others
    assert "Git-Sync-Failed: east" in message(repository)
    assert "Clusters processed: 2\n- north: 8 files\n- west: 8 files\n" in message(repository)
    assert "east" in result.errors
    assert faulty.state["last_success"] is None
    proxy.clear()
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS


TRANSIENT: dict[str, Rule] = {
    "a 503": times(2, Status(503, "SlowDown")),
    "a reset": nth(3, Reset()),
    "a truncated body": nth(6, Cut(1)),
    "a flipped bit": nth(
        1, body(lambda data: bytes([data[0] ^ 1]) + data[1:]), lambda request: request.is_get
    ),
    "keys out of order": nth(1, body(swapped_keys), listing_of(EAST)),
    "keys of another prefix": nth(
        1,
        body(lambda xml: xml.replace(b"<Key>clusterbackup/east", b"<Key>clusterbackup/west")),
        listing_of(EAST),
    ),
    "a wrong length": nth(1, body(lambda data: data + b"x"), lambda request: request.is_get),
}


@pytest.mark.parametrize("rule", TRANSIENT.values(), ids=TRANSIENT.keys())
def test_transient_fault_is_retried(
    rule: Rule, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(rule)
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS


ONE = f"{EAST}default/object-3.yaml"


@pytest.mark.parametrize(("failures", "exit_"), [(3, 0), (4, 10)])
def test_download_requests_an_object_four_times_before_its_cluster_fails(
    failures: int, exit_: int, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(
        times(failures, body(lambda data: data + b"x"), lambda request: request.is_get and request.key == ONE)
    )
    assert faulty(RETRY_ATTEMPTS="1").exit == exit_
    assert proxy.fetched.count(ONE) == 4


def _other_bytes_each_time() -> Change:
    serial = iter(range(10, 99))
    return body(lambda data: b"%2d" % next(serial) if len(data) == 2 else data)  # OBJECTS have two bytes


@pytest.mark.parametrize(
    "action",
    [
        Status(503, "SlowDown"),
        Status(429, "TooManyRequests"),
        Status(400, "RequestTimeout"),
        Status(404, "NoSuchKey"),
        Reset(),
        Cut(0),
        Cut(1),
        body(lambda data: data + b"x"),
        _other_bytes_each_time(),
    ],
    ids=["503", "429", "400", "404 but HEAD finds it", "reset", "no body", "cut", "too long", "damaged"],
)
def test_object_that_always_fails_costs_4_gets_and_2_lists_per_attempt(
    action: Action, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    """The numbers of docs/settings.md, "Retries"."""
    bucket.put_many(OBJECTS)
    proxy.install(when(lambda request: request.is_get and request.key == ONE, action))
    assert faulty(RETRY_ATTEMPTS="3").exit == 10
    assert proxy.fetched.count(ONE) == 12
    assert len([request for request in proxy.listings if request.concerns(EAST)]) == 6
    assert len([request for request in proxy.listings if request.concerns("clusterbackup/west/")]) == 2
    heads = [request for request in proxy.requests if request.method == "HEAD"]
    assert len(heads) == (12 if action == Status(404, "NoSuchKey") else 0)


def test_object_without_an_md5_that_always_fails_costs_4_gets_per_attempt(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put_many(OBJECTS)
    multipart = body(lambda xml: re.sub(rb"(<ETag>)[^<]*(</ETag>)", rb"\g<1>abc-2\2", xml))
    proxy.install(
        when(listing_of(EAST), multipart),
        when(lambda request: request.is_get and request.key == ONE, Status(503, "SlowDown")),
    )
    assert faulty(RETRY_ATTEMPTS="1").exit == 10
    assert proxy.fetched.count(ONE) == 4


def test_listing_that_always_fails_costs_4_requests_per_attempt(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(when(listing_of(EAST), Status(503, "SlowDown")))
    assert faulty(RETRY_ATTEMPTS="3").exit == 10
    assert len([request for request in proxy.listings if request.concerns(EAST)]) == 12


def test_absence_check_that_always_fails_costs_4_requests_per_attempt(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    first_sync(faulty, OBJECTS)
    bucket.delete(ONE)
    proxy.clear()
    proxy.install(when(lambda request: request.method == "HEAD", Status(503, "SlowDown")))
    assert faulty(RETRY_ATTEMPTS="3").exit == 10
    assert len([request for request in proxy.requests if request.method == "HEAD"]) == 12


@pytest.mark.parametrize(
    ("settings", "rule"),
    [({}, times(0, Reset())), ({}, forbid(EAST)), ({"MAX_NEW_BYTES": "100"}, times(0, Reset()))],
    ids=["nothing to fetch", "no listing", "over limit"],
)
def test_download_removes_the_files_of_the_last_run_before_it_ends(
    settings: dict[str, str],
    rule: Rule,
    *,
    faulty: Sync,
    bucket: Bucket,
    proxy: S3FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise a retry could use these files, or lose new ones to a removal under way."""
    first_sync(faulty, OBJECTS)
    started, finished = [], []

    def slow_remove(path: Path) -> None:
        started.append(path)
        time.sleep(0.2)
        remove(path)
        finished.append(path)

    monkeypatch.setattr(download, "remove", slow_remove)
    if settings:
        bucket.put(f"{EAST}new.yaml", b"x" * 101)
    assert faulty("discover", **settings).exit == 0
    proxy.install(rule)
    faulty("download")
    assert started
    assert sorted(started) == sorted(finished)
    assert not [path for path in (faulty.work_dir / "clusterbackup").rglob("*") if path.is_file()]


def test_download_reports_files_of_the_last_run_that_it_cannot_remove(
    faulty: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_sync(faulty, OBJECTS)

    def failing_remove(path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(download, "remove", failing_remove)
    assert faulty("discover").exit == 0
    result = faulty("download")
    assert result.exit == 30
    assert "input/output error" in result.errors.lower()


def test_listing_without_its_last_key_is_completed(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    faulty()
    tip = sha(repository)
    proxy.install(
        nth(1, body(without_last_key), lambda r: listing_of(EAST)(r) and not r.query.get("delimiter"))
    )
    assert faulty().exit == 0
    assert sha(repository) == tip


def test_truncated_listing_without_is_truncated_is_completed(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    objects = {f"{EAST}many/{number:04}.yaml": b"x" for number in range(11)}
    bucket.put_many(objects)
    proxy.page_size = 10
    drop = body(lambda xml: re.sub(rb"<IsTruncated>true</IsTruncated>", b"", xml))
    proxy.install(when(listing_of(EAST), drop))
    assert faulty().exit == 0
    assert contents(repository) == objects


def test_empty_listing_is_requested_twice(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    empty = body(lambda xml: re.sub(rb"<Contents>.*</Contents>", b"", xml, flags=re.DOTALL))
    proxy.install(nth(1, empty, lambda r: listing_of(EAST)(r) and not r.query.get("delimiter")))
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS


@pytest.mark.parametrize("delimiter", ["/", ""])
def test_empty_pages_without_end_fail_the_run(
    delimiter: str, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put_many(OBJECTS)
    page = (
        b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix/>'
        b"<IsTruncated>true</IsTruncated>"
        b"<NextContinuationToken>again</NextContinuationToken></ListBucketResult>"
    )
    endless = Change(body=lambda _: page, status=200)
    proxy.install(when(lambda r: r.is_list and r.query.get("delimiter", "") == delimiter, endless))
    result = faulty()
    assert result.exit == 30
    assert "does not end" in result.errors


def test_etag_with_a_line_feed_fails_its_cluster_alone(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(
        when(
            listing_of(EAST),
            body(lambda xml: re.sub(rb"<ETag>.*?</ETag>", b"<ETag>a&#10;b</ETag>", xml, count=1)),
        )
    )
    assert faulty().exit == 10
    assert not [path for path in contents(repository) if path.startswith(EAST)]


def test_server_clock_years_ahead_does_not_hide_later_changes(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    future = Change(headers=lambda headers: {**headers, "date": "Fri, 01 Jan 2039 00:00:00 GMT"})
    proxy.install(when(lambda r: r.is_list, future))
    assert faulty().exit == 0
    assert not any(at.startswith("2039") for at in faulty.state["listed"].values())
    proxy.clear()
    bucket.put(f"{EAST}new.yaml", b"new")
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS | {f"{EAST}new.yaml": b"new"}


def test_object_larger_than_listed_is_not_written(faulty: Sync, bucket: Bucket, proxy: S3FaultProxy) -> None:
    bucket.put_many(OBJECTS)
    key = f"{EAST}default/object-3.yaml"
    proxy.install(when(lambda r: r.is_get and r.key == key, body(lambda data: data * 5_000_000)))
    assert faulty().exit == 10
    written = sum(path.stat().st_size for path in faulty.work_dir.rglob("*") if path.is_file())
    assert written < 1_000_000


def test_object_smaller_than_listed_is_requested_again(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    """The length counts even when the ETag is not an MD5, as after a multipart upload."""
    bucket.put_many(OBJECTS)
    key = f"{EAST}default/object-3.yaml"
    etag = bucket.request("HEAD", key).headers["etag"].strip('"').encode()
    complete = _served_with(key, "parts-2")
    proxy.install(
        when(listing_of(EAST), body(lambda xml: xml.replace(etag, b"parts-2"))),
        nth(1, replace(complete, body=lambda _: OBJECTS[key][:-1]), lambda r: r.is_get and r.key == key),
        when(lambda r: r.is_get and r.key == key, complete),
    )
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS


def test_status_429_is_retried(faulty: Sync, bucket: Bucket, proxy: S3FaultProxy) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(times(2, Status(429, "TooManyRequests")))
    assert faulty().exit == 0


@pytest.mark.parametrize("prefix", ["clusterbackup/", EAST])
def test_truncated_listing_without_a_continuation_token_fails(
    prefix: str, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(
        when(
            lambda request: request.is_list and request.query.get("prefix") == prefix,
            body(lambda xml: xml.replace(b">false<", b">true<")),
        )
    )
    result = faulty()
    assert result.exit == (10 if prefix == EAST else 30)
    assert "a truncated listing has no token" in result.errors


def test_listing_that_repeats_its_page_fails(faulty: Sync, bucket: Bucket, proxy: S3FaultProxy) -> None:
    bucket.put_many(OBJECTS)
    repeat = body(
        lambda xml: xml.replace(
            b"<IsTruncated>false</IsTruncated>",
            b"<IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>",
        )
    )
    proxy.install(when(listing_of(EAST), repeat))
    assert faulty().exit == 10


def test_object_changed_between_list_and_get_is_committed_as_fetched(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    key = f"{EAST}default/object-3.yaml"
    bucket.put_many(OBJECTS)
    proxy.install(
        nth(1, Change(before=lambda: bucket.put(key, b"newer")), lambda r: r.is_get and r.key == key)
    )
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS | {key: b"newer"}


def test_object_deleted_between_list_and_get_keeps_its_file_in_git(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    key = f"{EAST}default/object-3.yaml"
    commit_files(repository, {key: b"older"})
    bucket.put_many(OBJECTS)
    proxy.install(nth(1, Change(before=lambda: bucket.delete(key)), lambda r: r.is_get and r.key == key))
    assert faulty().exit == 0
    assert contents(repository)[key] == b"older"
    proxy.clear()
    assert faulty().exit == 0
    assert key not in contents(repository), "the next run deletes it"


def test_single_404_for_an_existing_object_is_retried(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    key = f"{EAST}default/object-3.yaml"
    proxy.install(nth(1, Status(404, "NoSuchKey"), lambda r: r.is_get and r.key == key))
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS


def test_clusters_on_later_pages_are_found_without_is_truncated(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    clusters = {f"clusterbackup/{name}/object.yaml": name.encode() for name in ("a", "a-b", "a0", "b", "c")}
    bucket.put_many(clusters)
    proxy.page_size = 2
    unmarked = body(lambda xml: re.sub(rb"<IsTruncated>.*?</IsTruncated>", b"", xml))
    proxy.install(when(lambda r: r.is_list and r.query.get("prefix") == "clusterbackup/", unmarked))
    assert faulty().exit == 0
    assert contents(repository) == clusters


def without_first_key(xml: bytes) -> bytes:
    return re.sub(rb"<Contents>.*?</Contents>", b"", xml, count=1, flags=re.DOTALL)


def test_listed_object_that_get_never_returns_exits_10(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    """MinIO lists objects that lost too many of their parts, and answers GET with 404."""
    key = f"{EAST}default/object-3.yaml"
    bucket.put_many(OBJECTS)
    proxy.install(when(lambda r: r.key == key, Status(404, "NoSuchKey")))
    for _ in range(2):
        result = faulty()
        assert result.exit == 10
        assert "The store lists objects that it does not return" in result.errors
        assert contents(repository) == {path: body for path, body in OBJECTS.items() if path != key}
        assert faulty.state["last_success"] is None
    proxy.clear()
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS


def test_listing_with_unencoded_plus_signs_exits_10(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    """In a URL-encoded listing a plus means a space; some stores do not encode a plus in a key."""
    bucket.put_many(OBJECTS | {f"{EAST}default/a+b.yaml": b"plus"})
    proxy.install(when(listing_of(EAST), body(lambda xml: xml.replace(b"%2B", b"+"))))
    result = faulty()
    assert result.exit == 10
    assert "The store lists objects that it does not return" in result.errors
    assert contents(repository) == OBJECTS


def test_object_missing_from_a_listing_is_requested_before_it_is_deleted(
    faulty: Sync, bucket: Bucket, repository: Path, proxy: S3FaultProxy
) -> None:
    first_sync(faulty, OBJECTS)
    first = sorted(key for key in OBJECTS if key.startswith(EAST))[0]
    proxy.install(when(listing_of(EAST), body(without_first_key)))
    result = faulty()
    assert result.exit == 10
    assert f"Failed to list: the listing lacks {first}, but the object exists" in result.errors
    assert contents(repository) == OBJECTS
    proxy.clear()
    proxy.install(nth(1, body(without_first_key), listing_of(EAST)))
    assert faulty().exit == 0, "the second listing has it"
    bucket.delete(first)
    assert faulty().exit == 0
    assert contents(repository).keys() == OBJECTS.keys() - {first}


def test_etags_other_than_md5_are_accepted_and_logged(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    """A gateway that invents the ETags of all objects."""
    bucket.put_many(OBJECTS)
    other = "0" * 32
    proxy.install(
        when(lambda r: r.is_list, body(lambda xml: re.sub(rb"[0-9a-f]{32}", other.encode(), xml))),
        *(when(_get_of(key), _served_with(key, other)) for key in OBJECTS),
    )
    result = faulty()
    assert result.exit == 0
    assert contents(repository) == OBJECTS
    assert "The store's ETags are not MD5 sums" in result.text


@pytest.mark.parametrize("header", ["", "x-amz-server-side-encryption", _SSE_C])
def test_object_whose_etag_alone_is_not_its_md5_is_damaged_unless_it_is_encrypted(
    header: str, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    first_sync(faulty, OBJECTS)
    key, other = f"{EAST}default/object-3.yaml", "0" * 32
    etag = bucket.request("HEAD", key).headers["etag"].strip('"')
    proxy.install(
        when(listing_of(EAST), body(lambda xml: xml.replace(etag.encode(), other.encode()))),
        when(_get_of(key), _served_with(key, other, b"X\n", {header: "aws:kms"} if header else {})),
    )
    bucket.put(f"{WEST}new.yaml", b"new")
    result = faulty()
    after = OBJECTS | {f"{WEST}new.yaml": b"new"}
    if header:
        assert result.exit == 0
        assert contents(repository) == after | {key: b"X\n"}
    else:
        assert result.exit == 10
        assert f"{key}: the content does not match its ETag, twice in the same way" in result.errors
        assert contents(repository) == after


@pytest.mark.parametrize("etag_in_get", [True, False])
def test_objects_without_listed_etags_are_downloaded(
    etag_in_get: bool, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)

    def kept(headers: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in headers.items() if name != "etag" or etag_in_get}

    proxy.install(
        when(lambda r: r.is_list, body(lambda xml: re.sub(rb"<ETag>.*?</ETag>", b"", xml))),
        when(lambda r: r.key != "", Change(headers=kept)),
    )
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS
    assert faulty().complete["files_downloaded"] == len(OBJECTS)


def _get_of(key: str) -> Condition:
    return lambda r: r.key == key and r.is_get and "if-match" in r.headers


def _served_with(
    key: str, etag: str, data: bytes | None = None, more: Mapping[str, str] | None = None
) -> Change:
    """Answer with the object and this ETag, as a store does whose ETags are not MD5s."""
    data = OBJECTS[key] if data is None else data
    given = {"content-type": "text/plain", "etag": f'"{etag}"', **(more or {})}
    return Change(
        body=lambda _: data,
        status=200,
        headers=lambda headers: {**headers, **given},
    )


# -- the run cannot start -------------------------------------------------------------------------


def test_refused_connection_is_one_error_and_exits_30(sync: Sync, repository: Path) -> None:
    result = sync(MINIO_ENDPOINT="127.0.0.1:1")
    assert result.exit == 30
    (line,) = result.of("minio_connect", "error")
    assert (line["message"], line["error"]) == ("Failed to connect to MinIO", "connection refused")
    assert has_no_commits(repository)
    assert sync.state["last_run"]["exit_code"] == 30


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("InvalidAccessKeyId", "InvalidAccessKeyId"),
        ("SignatureDoesNotMatch", "Signature"),
        ("AccessDenied", "AccessDenied"),
    ],
)
def test_wrong_credentials_exit_40(faulty: Sync, proxy: S3FaultProxy, code: str, cause: str) -> None:
    proxy.install(lambda _: Status(403, code))
    result = faulty()
    assert result.exit == 40
    (line,) = result.of("minio_connect", "error")
    assert line["message"] == "Failed to connect to MinIO"
    assert cause in line["error"]


def test_missing_bucket_exits_40(sync: Sync) -> None:
    result = sync(MINIO_BUCKET="no-such-bucket")
    assert result.exit == 40
    assert "NoSuchBucket" in result.of("minio_connect", "error")[0]["error"]


def test_tls_to_a_plain_http_server_exits_40(sync: Sync) -> None:
    result = sync(MINIO_USE_SSL="true")
    assert result.exit == 40
    assert "TLS" in result.of("minio_connect", "error")[0]["error"]


def test_endpoint_that_is_not_an_s3_server_exits_40(faulty: Sync, proxy: S3FaultProxy) -> None:
    page = Change(
        body=lambda _: b"<html>console</html>", headers=lambda _: {"content-type": "text/html"}, status=404
    )
    proxy.install(lambda _: page)
    result = faulty()
    assert result.exit == 40
    assert "not an S3 server" in result.of("minio_connect", "error")[0]["error"]


def test_prefix_without_clusters_lists_the_prefixes_of_the_bucket(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many({"backups/east/a.yaml": b"a", "logs/b": b"b"})
    result = sync()
    assert result.exit == 40
    assert "backups/, logs/" in result.errors
    assert has_no_commits(repository)


def test_empty_bucket_is_reported_as_empty(sync: Sync) -> None:
    result = sync()
    assert result.exit == 40
    assert "its prefixes: none" in result.errors


def test_run_fails_when_every_cluster_fails(faulty: Sync, bucket: Bucket, proxy: S3FaultProxy) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(when(lambda r: r.is_list and not r.query.get("delimiter"), Status(500, "InternalError")))
    assert faulty().exit == 30
    proxy.clear()
    proxy.install(when(lambda r: r.is_list and not r.query.get("delimiter"), Status(403, "AccessDenied")))
    assert faulty().exit == 40
    assert has_no_commits(faulty.repository)


def has_no_commits(repository: Path) -> bool:
    return branches(repository) == {}
