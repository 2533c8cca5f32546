"""An S3 server without scruples: it holds and lists every key, also those that real stores refuse.

Read only, on one bucket of whatever name; it asks for no signature. Keys are bytes, for HTTP knows
nothing else. It is for keys that no store at hand would take, and says nothing of how stores are.
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
    from collections.abc import Iterator, Mapping

_PAGE = 1000


@contextmanager
def shelf(objects: Mapping[bytes, bytes]) -> Iterator[Bucket]:
    """Serve `objects`, by key, as long as the block lasts."""
    shelved = _Objects(dict(objects), sorted(objects))

    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802
            _answer(self, shelved)

        do_HEAD = do_GET  # noqa: N815

    server = LoopbackServer(Handler)
    with server.running():
        yield Bucket(S3Server(server.endpoint), "shelf")


@dataclass(frozen=True)
class _Objects:
    bodies: dict[bytes, bytes]
    keys: list[bytes]

    def page(self, prefix: bytes, after: bytes, delimiter: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield keys and (True beside them) common prefixes, without end: all that follow `after`."""
        position = max(bisect_left(self.keys, prefix), bisect_right(self.keys, after) if after else 0)
        while position < len(self.keys) and (key := self.keys[position]).startswith(prefix):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut == -1:
                yield key, False
                position += 1
            else:
                common = key[: cut + 1]
                if common > after:
                    yield common, True
                position = bisect_left(self.keys, common[:-1] + bytes([delimiter[0] + 1]))


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
        known = {"ETag": f'"{_etag(body)}"', "Last-Modified": formatdate(0, usegmt=True)}
        handler.reply(200, date | known | {"Content-Type": "application/octet-stream"}, body)


def _listing(objects: _Objects, query: str) -> bytes:
    asked = {name.encode(): value for name, value in _parameters(query)}
    prefix, delimiter = asked.get(b"prefix", b""), asked.get(b"delimiter", b"")
    after = bytes.fromhex(asked[b"continuation-token"].decode()) if b"continuation-token" in asked else b""
    after = after or asked.get(b"start-after", b"")
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
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>shelf</Name>'
        f"<EncodingType>url</EncodingType><Prefix>{escape(quote(prefix, safe='/'))}</Prefix>"
        f"<IsTruncated>{str(truncated).lower()}</IsTruncated>{more}{''.join(entries)}</ListBucketResult>"
    ).encode()


def _parameters(query: str) -> Iterator[tuple[str, bytes]]:
    for name, value in parse_qsl(query, keep_blank_values=True, encoding="latin-1"):
        yield name, value.encode("latin-1")


def _etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
