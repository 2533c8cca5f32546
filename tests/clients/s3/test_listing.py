"""Listings: complete and in order on every server, or an error."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

import pytest

from steps.clients.s3.errors import Refused, WebPage
from steps.clients.s3.listing import Listed, Page
from steps.errors import FixConfiguration, TryAgain
from tests.support.fake_s3 import fake_s3
from tests.support.faults import Change, nth, when
from tests.support.object_store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from steps.clients.s3.store import ObjectStore
    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy


def test_listing_is_in_byte_order(any_bucket: Bucket, any_store: ObjectStore) -> None:
    names = ["p/a-x", "p/a.x", "p/a/b", "p/a0", "p/aa"]
    any_bucket.put_many(dict.fromkeys(names, b"x"))
    assert [entry.key for entry in any_store.listing("p/")] == names


def test_listing_of_many_pages_is_complete(any_bucket: Bucket, any_store: ObjectStore) -> None:
    any_bucket.put_many({f"p/{number:05}": b"x" for number in range(2100)})
    assert [entry.key for entry in any_store.listing("p/")] == [f"p/{number:05}" for number in range(2100)]


def test_listing_of_an_empty_prefix_is_empty_and_has_a_start_time(
    any_bucket: Bucket, any_store: ObjectStore
) -> None:
    any_bucket.put("other/x", b"x")
    listing = any_store.listing("p/")
    assert list(listing) == []
    assert listing.started_at is not None


def test_children_are_directories_and_the_keys_beside_them(
    any_bucket: Bucket, any_store: ObjectStore
) -> None:
    any_bucket.put_many({"p/east/a": b"", "p/west/b/c": b"", "p/file": b"x", "q/z": b""})
    assert sorted(any_store.children("p/")) == ["east/", "file", "west/"]
    assert any_store.prefixes() == ["p/", "q/"]


# -- the proof ------------------------------------------------------------------------------------


def _body(change: Callable[[bytes], bytes]) -> Change:
    return Change(body=change)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda xml: xml.replace(b"p/b", b"p/a"), "two different entries for key p/a"),
        (lambda xml: xml.replace(b"<Key>p/", b"<Key>q/"), "keys out of order at q/a"),
        (lambda xml: re.sub(b"<ETag>.*?</ETag>", "<ETag>ü</ETag>".encode(), xml), "no usable ETag at p/a"),
        (
            lambda xml: xml.replace(b">false<", b">true<").replace(b"Contents", b"C"),
            "truncated listing has no token",
        ),
        (lambda xml: xml.replace(b"<Name>", b"<N>").replace(b"</Name>", b"</N>"), "answer is not a listing"),
        (lambda xml: xml.replace(b"<Key>p/a</Key>", b""), "an object without a key"),
    ],
    ids=["twice", "foreign prefix", "ETag", "no token", "no name", "no key"],
)
def test_listing_raises_try_again_where_a_page_is_wrong(
    damage: Callable[[bytes], bytes],
    error: str,
    *,
    bucket: Bucket,
    proxy: S3FaultProxy,
    faulty_store: ObjectStore,
) -> None:
    bucket.put_many({"p/a": b"1", "p/b": b"2", "p/c": b"3"})
    proxy.install(when(lambda request: request.is_list, _body(damage)))
    with pytest.raises(TryAgain) as raised:
        list(faulty_store.listing("p/"))
    assert error in raised.value.error


def test_listing_raises_try_again_where_keys_are_out_of_order_once(
    bucket: Bucket, proxy: S3FaultProxy, faulty_store: ObjectStore
) -> None:
    bucket.put_many({"p/a": b"1", "p/b": b"2", "p/c": b"3"})
    proxy.install(nth(1, _body(lambda xml: xml.replace(b"p/b", b"p/0"))))
    with pytest.raises(TryAgain, match="keys out of order at p/0"):
        list(faulty_store.listing("p/"))


def test_listing_names_a_store_that_lists_in_the_order_of_utf_16() -> None:
    """As S3Proxy 4.1 does: U+1F600 is a pair of surrogates, which sort before U+FF21."""
    objects = dict.fromkeys((key.encode() for key in ("p/a", "p/\U0001f600", "p/\uff21")), b"x")
    with (
        fake_s3(objects, order=lambda key: key.decode().encode("utf-16-be")) as bucket,
        pytest.raises(FixConfiguration) as raised,
    ):
        list(open_store(bucket).listing("p/"))
    assert raised.value.error == (
        "the store does not list keys in byte order: p/\uff21 follows p/\U0001f600;"
        " rename the object, or use another store"
    )
    assert raised.value.data == {"bucket": bucket.name, "key": "p/\uff21"}


def test_listing_requests_what_follows_the_last_key(
    bucket: Bucket, proxy: S3FaultProxy, faulty_store: ObjectStore
) -> None:
    """A page that lacks IsTruncated looks like the last one."""
    bucket.put_many({f"p/{name}": b"x" for name in "abcde"})
    proxy.page_size = 2
    proxy.install(
        when(
            lambda request: request.is_list,
            _body(lambda xml: re.sub(b"<IsTruncated>.*?</IsTruncated>", b"", xml)),
        )
    )
    assert [entry.key for entry in faulty_store.listing("p/")] == [f"p/{name}" for name in "abcde"]
    assert [request.query.get("start-after") for request in proxy.listings] == [None, "p/b", "p/d", "p/e"]


def test_listing_requests_an_empty_prefix_twice(
    bucket: Bucket, proxy: S3FaultProxy, faulty_store: ObjectStore
) -> None:
    bucket.put("p/a", b"x")
    proxy.install(
        nth(1, _body(lambda xml: re.sub(b"<Contents>.*</Contents>", b"", xml, flags=re.DOTALL))),
    )
    assert [entry.key for entry in faulty_store.listing("p/")] == ["p/a"]
    proxy.clear()
    assert list(faulty_store.listing("q/")) == []
    assert len(proxy.listings) == 2


# -- pages ----------------------------------------------------------------------------------------

_HEAD = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'


def test_page_gives_objects_common_prefixes_and_the_token() -> None:
    page = Page(
        _HEAD + b"<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        b"<NextContinuationToken>t</NextContinuationToken>"
        b"<Contents><Key>a%2Bb+c</Key><LastModified>2025-07-12T22:06:58.000Z</LastModified>"
        b"<ETag>&quot;e&quot;</ETag><Size>7</Size></Contents>"
        b"<CommonPrefixes><Prefix>d%2F</Prefix></CommonPrefixes></ListBucketResult>"
    )
    at = datetime(2025, 7, 12, 22, 6, 58, tzinfo=UTC)
    assert list(page.objects()) == [Listed("a+b c", "e", 7, at)]
    assert list(page.entries()) == [("a+b c", 7), ("d/", 0)]
    assert page.token == "t"


def test_page_without_namespace_or_encoding_is_read_as_it_is() -> None:
    page = Page(
        b"<ListBucketResult><Name>b</Name><Contents><Key>a+b%2F</Key><Size>1</Size></Contents>"
        b"</ListBucketResult>"
    )
    assert list(page.objects()) == [Listed("a+b%2F", "", 1, None)]
    assert page.token == ""


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<ListBucketResult/>",
        b'<?xml version="1.0" encoding="utf-0"?>' + _HEAD + b"</ListBucketResult>",
        _HEAD + b"<IsTruncated>true</IsTruncated></ListBucketResult>",
    ],
)
def test_page_raises_where_the_document_is_no_listing(document: bytes) -> None:
    with pytest.raises((ParseError, ValueError)):
        Page(document)


@pytest.mark.parametrize("document", [b"<html>", b"<html/>", b"\n<!DOCTYPE HTML><title>Console</title>"])
def test_page_raises_for_a_web_page(document: bytes) -> None:
    with pytest.raises(WebPage):
        Page(document)


def test_page_raises_for_an_error_that_follows_status_200() -> None:
    with pytest.raises(Refused, match="InternalError"):
        Page(b"<Error><Code>InternalError</Code></Error>")


@pytest.mark.parametrize("size", [b"", b"<Size>x</Size>"])
def test_page_raises_where_an_object_has_no_size(size: bytes) -> None:
    page = Page(_HEAD + b"<Contents><Key>a</Key>" + size + b"</Contents></ListBucketResult>")
    with pytest.raises(ValueError, match="invalid literal"):
        list(page.objects())
