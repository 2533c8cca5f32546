"""A fake S3 server that serves and lists every key, also keys that real stores refuse.

It is read only, has one bucket of any name, and checks no signature. Keys are bytes, because a URL
can encode any bytes. Use it only for keys that no available store accepts.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote_to_bytes
from xml.sax.saxutils import escape

from tests.support.bucket import Bucket
from tests.support.loopback import LoopbackHandler, LoopbackServer
from tests.support.s3 import S3Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PAGE = 1000


@contextmanager
def fake_s3(objects: Mapping[bytes, bytes], *, order: Callable[[bytes], bytes] = bytes) -> Iterator[Bucket]:
    """Serve `objects` (key to body) until the block ends; `order` returns what keys are sorted by."""
    served = _Objects(dict(objects), sorted(objects, key=order), order)

    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802
            _answer(self, served)

        do_HEAD = do_GET  # noqa: N815

    server = LoopbackServer(Handler)
    with server.running():
        yield Bucket(S3Server(server.endpoint), "fake-s3")


@dataclass(frozen=True)
class _Objects:
    bodies: dict[bytes, bytes]
    keys: list[bytes]
    order: Callable[[bytes], bytes]

    def page(self, prefix: bytes, after: bytes, delimiter: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield every key and common prefix after `after`, with True for a common prefix."""
        position = self._at(prefix) if not after else max(self._at(prefix), self._behind(after))
        while position < len(self.keys) and (key := self.keys[position]).startswith(prefix):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut == -1:
                yield key, False
                position += 1
            else:
                common = key[: cut + 1]
                if common > after:
                    yield common, True
                position = self._at(common[:-1] + bytes([delimiter[0] + 1]))

    def _at(self, key: bytes) -> int:
        return bisect_left(self.keys, self.order(key), key=self.order)

    def _behind(self, key: bytes) -> int:
        return bisect_right(self.keys, self.order(key), key=self.order)


def _answer(handler: LoopbackHandler, objects: _Objects) -> None:
    path, _, query = handler.target.partition("?")
    key = unquote_to_bytes(path).removeprefix(b"/").partition(b"/")[2]
    date = {"Date": formatdate(usegmt=True)}
    if not key:
        handler.reply(200, date | {"Content-Type": "application/xml"}, _listing(objects, query))
    elif key not in objects.bodies:
        code = b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"
        handler.reply(404, date | {"Content-Type": "application/xml"}, code)
    else:
        body = objects.bodies[key]
        metadata = {"ETag": f'"{_etag(body)}"', "Last-Modified": formatdate(0, usegmt=True)}
        handler.reply(200, date | metadata | {"Content-Type": "application/octet-stream"}, body)


def _listing(objects: _Objects, query: str) -> bytes:
    parameters = {name.encode(): value for name, value in _parameters(query)}
    prefix, delimiter = parameters.get(b"prefix", b""), parameters.get(b"delimiter", b"")
    after = (
        bytes.fromhex(parameters[b"continuation-token"].decode())
        if b"continuation-token" in parameters
        else b""
    )
    after = after or parameters.get(b"start-after", b"")
    entries: list[str] = []
    token, truncated = b"", False
    for entry, common in objects.page(prefix, after, delimiter):
        if len(entries) == _PAGE:
            truncated = True
            break
        token = entry
        name = quote(entry, safe="/")
        if common:
            entries.append(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>")
        else:
            body = objects.bodies[entry]
            entries.append(
                f"<Contents><Key>{name}</Key><LastModified>2025-07-12T22:06:58.000Z</LastModified>"
                f"<ETag>&quot;{_etag(body)}&quot;</ETag><Size>{len(body)}</Size></Contents>"
            )
    more = f"<NextContinuationToken>{token.hex()}</NextContinuationToken>" if truncated else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>fake-s3</Name>'
        f"<EncodingType>url</EncodingType><Prefix>{escape(quote(prefix, safe='/'))}</Prefix>"
        f"<IsTruncated>{str(truncated).lower()}</IsTruncated>{more}{''.join(entries)}</ListBucketResult>"
    ).encode()


def _parameters(query: str) -> Iterator[tuple[str, bytes]]:
    for name, value in parse_qsl(query, keep_blank_values=True, encoding="latin-1"):
        yield name, value.encode("latin-1")


def _etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
