"""Listings: the pages of ListObjectsV2, and the proof that a listing is complete.

minio signs and sends the requests and gives every key exactly as it is. This module parses the answers,
because minio's own parser takes five times as long.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from steps.clients.s3.errors import MINIO_ERRORS, translated
from steps.core.operations import Operation
from steps.errors import TryAgain

if TYPE_CHECKING:
    from collections.abc import Iterator

    import minio

    from steps.clients.s3.transport import ServerClock

_PLAIN_ETAG = re.compile(r"[\x20-\x7e]*")


class Listed(NamedTuple):
    """One object of a listing. ``etag`` has no quotes; ``modified`` has a time zone."""

    key: str
    etag: str
    size: int
    modified: datetime | None


class Listing:
    """A recursive listing, proven complete when its iteration ends.

    The proof: keys ascend strictly and start with the prefix (a server that repeats a page would
    otherwise be listed endlessly), no error occurs, and a last request for what follows the last key
    returns nothing (a missing IsTruncated looks like the end). An empty listing is requested twice.
    Raises TryAgain where the proof fails.

    ``started_at`` is the server's time when the listing began; None until the first page has come.
    """

    def __init__(self, pages: Pages, prefix: str) -> None:
        self._pages = pages
        self._prefix = prefix
        self.started_at: datetime | None = None

    def __iter__(self) -> Iterator[Listed]:
        last, came, empty_answers = "", True, 0
        while came or (last == "" and empty_answers < 2):  # noqa: PLR2004 - "twice" is the rule
            came = False
            for listed in self._after(last):
                if listed.key <= last or not listed.key.startswith(self._prefix):
                    raise TryAgain(
                        Operation.DOWNLOAD, "Failed to list", f"keys out of order at {listed.key!r}"
                    )
                if not _PLAIN_ETAG.fullmatch(listed.etag):
                    raise TryAgain(Operation.DOWNLOAD, "Failed to list", f"no usable ETag at {listed.key!r}")
                last, came = listed.key, True
                yield listed
            empty_answers += not came

    def _after(self, key: str) -> Iterator[Listed]:
        try:
            for page in self._pages.of(self._prefix, start_after=key):
                if self.started_at is None:
                    self.started_at = self._pages.clock.now()
                yield from page.objects()
        except MINIO_ERRORS as problem:
            raise translated(problem, Operation.DOWNLOAD, "Failed to list") from problem


class Pages:
    """Requests the pages of listings of one bucket."""

    def __init__(self, client: minio.Minio, bucket: str, clock: ServerClock) -> None:
        self._client = client
        self._bucket = bucket
        self.clock = clock

    def of(self, prefix: str, *, delimiter: str = "", start_after: str = "") -> Iterator[Page]:
        """Yield the pages of the keys below ``prefix`` that follow ``start_after``.

        Raises one of MINIO_ERRORS.
        """
        query = {
            "list-type": "2",
            "delimiter": delimiter,  # sent even if empty, because bucket policies can refer to it
            "encoding-type": "url",
            "max-keys": "1000",
            "prefix": prefix,
        }
        if start_after:
            query["start-after"] = start_after
        while True:
            # list_objects() calls the same method: minio signs, finds the region and raises its errors.
            page = Page(self._client._execute("GET", self._bucket, query_params=dict(query)).data)
            yield page
            if not page.token:
                return
            query["continuation-token"] = page.token

    def children(self, prefix: str) -> Iterator[str]:
        """Yield the names directly below ``prefix``; "directories" end with a slash.

        What follows the last name is requested until nothing comes, as in Listing, but the order is
        not checked. Raises one of MINIO_ERRORS.
        """
        last, after = "", None
        while last != after:
            after = last
            start = prefix + after if after else ""
            for page in self.of(prefix, delimiter="/", start_after=start):
                for key, size in page.entries():
                    child = key[len(prefix) :]
                    if after and child <= after:
                        continue  # the server ignores start-after
                    # "0" follows the slash in ASCII, so everything in a directory sorts before it.
                    last = max(last, f"{child[:-1]}0" if child.endswith("/") else child)
                    # An empty object whose key is the prefix itself marks a directory. If it has
                    # content, it is an object with the name "".
                    if key != prefix or size:
                        yield child


class Page:
    """One page of ListObjectsV2. ``token`` requests the next page; it is "" on the last one.

    Raises ParseError or ValueError if the document is not such a page.
    """

    def __init__(self, document: bytes) -> None:
        try:
            self._root = ElementTree.fromstring(document)  # noqa: S314 - expat itself limits entities
        except LookupError as unknown:  # an encoding that the XML declaration names and Python lacks
            raise ValueError(f"the listing has an {unknown}") from unknown
        self._namespace, _, name = self._root.tag.rpartition("}")
        self._namespace += "}" if self._namespace else ""
        if name != "ListBucketResult" or not self._text("Name"):
            raise ValueError("the server's answer is no listing")
        self._encoded = self._text("EncodingType") == "url"
        truncated = self._text("IsTruncated").lower() == "true"
        self.token = self._text("NextContinuationToken") if truncated else ""
        if truncated and not self.token and not any(self.entries()):
            raise ValueError("the listing breaks off")

    def entries(self) -> Iterator[tuple[str, int]]:
        """Yield the key and size of each object, then each common prefix with size 0."""
        for listed in self.objects():
            yield listed.key, listed.size
        for entry in self._root.iterfind(f"{self._namespace}CommonPrefixes"):
            if not (prefix := entry.findtext(f"{self._namespace}Prefix")):
                raise ValueError("the listing has an object without a key")
            yield self._decoded(prefix), 0

    def objects(self) -> Iterator[Listed]:
        """Yield the objects, in the order of the document."""
        key, etag, size, modified = (
            f"{self._namespace}{name}" for name in ("Key", "ETag", "Size", "LastModified")
        )
        for entry in self._root.iterfind(f"{self._namespace}Contents"):
            fields = {field.tag: field.text or "" for field in entry}
            name, at = fields.get(key), fields.get(modified)
            if not name:
                raise ValueError("the listing has an object without a key")
            yield Listed(
                self._decoded(name),
                fields.get(etag, "").replace('"', ""),
                int(fields.get(size, "")),
                _utc(datetime.fromisoformat(at)) if at else None,
            )

    def _decoded(self, key: str) -> str:
        return unquote_plus(key) if self._encoded else key

    def _text(self, name: str) -> str:
        return self._root.findtext(f"{self._namespace}{name}") or ""


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)
