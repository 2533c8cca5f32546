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

from steps.clients.s3.errors import MINIO_ERRORS, Refused, WebPage, translated
from steps.clients.s3.refusal import Refusal
from steps.core.clock import is_ahead
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.errors import FixConfiguration, TryAgain

if TYPE_CHECKING:
    from collections.abc import Iterator

    import minio

    from steps.clients.s3.transport import ServerClock

_PLAIN_ETAG = re.compile(r"[\x20-\x7e]{0,1024}")


class Listed(NamedTuple):
    """One object of a listing. ``etag`` has no quotes; ``modified`` has a time zone."""

    key: str
    etag: str
    size: int
    modified: datetime | None


class Listing:
    """A recursive listing, proven complete when its iteration ends.

    The proof: keys ascend and start with the prefix (a server that repeats a page would otherwise be
    listed endlessly), no error occurs, and a last request for what follows the last key returns nothing
    (a missing IsTruncated looks like the end). An empty listing is requested twice.
    Raises TryAgain if the proof fails, and FixConfiguration if the store has another order than S3: S3Proxy
    4.1 sorts by UTF-16, where U+1F600 comes before U+FF21.

    An entry that is repeated immediately and unchanged is ignored, and so is the key that a page was
    requested to start after (rustfs#1165, SeaweedFS before its pull request 10496: start-after is inclusive).

    ``started_at`` is the server's time when the listing began; None until the first page has arrived.
    """

    def __init__(self, pages: Pages, prefix: str) -> None:
        self._pages = pages
        self._prefix = prefix
        self.started_at: datetime | None = None
        self._now: datetime | None = None

    def __iter__(self) -> Iterator[Listed]:
        last, came, empty_answers = None, True, 0
        while came or (last is None and empty_answers < 2):  # noqa: PLR2004 - "twice" is the rule
            came = False
            for number, listed in enumerate(self._after(last.key if last else "")):
                if last is not None and (listed == last or (number == 0 and listed.key == last.key)):
                    continue
                self._check(listed, last)
                last, came = listed, True
                yield self._with_usable_date(listed)
            empty_answers += not came

    def _check(self, listed: Listed, last: Listed | None) -> None:
        if last is not None and listed.key == last.key:
            problem = "two different entries for key"
        elif (last is not None and listed.key < last.key) or not listed.key.startswith(self._prefix):
            if last is not None and self._follows_again(listed, last):
                raise self._other_order(listed, last)
            problem = "keys out of order at"
        elif not _PLAIN_ETAG.fullmatch(listed.etag):
            problem = "no usable ETag at"
        else:
            return
        raise TryAgain(Operation.DOWNLOAD, "Failed to list", f"{problem} {printable(listed.key)}")

    def _follows_again(self, listed: Listed, last: Listed) -> bool:
        """Whether the store, asked again for what follows ``last``, begins with this key again."""
        following = (entry.key for entry in self._after(last.key) if entry.key != last.key)
        return next(following, None) == listed.key

    def _other_order(self, listed: Listed, last: Listed) -> FixConfiguration:
        key, previous = printable(listed.key), printable(last.key)
        order = f"the store does not list keys in byte order: {key} follows {previous}"
        error = f"{order}; rename the object, or use another store"
        data = {"bucket": self._pages.bucket, "key": key}
        return FixConfiguration(Operation.DOWNLOAD, "Failed to list", error, **data)

    def _with_usable_date(self, listed: Listed) -> Listed:
        """Remove a date in the future: it would hide for years that no new object is written."""
        if listed.modified is None or self._now is None or not is_ahead(listed.modified, self._now):
            return listed
        return listed._replace(modified=None)

    def _after(self, key: str) -> Iterator[Listed]:
        try:
            for page in self._pages.of(self._prefix, start_after=key):
                self._now = self._pages.clock.now()
                self.started_at = self.started_at or self._now
                yield from page.objects()
        except MINIO_ERRORS as problem:
            error = translated(problem, Operation.DOWNLOAD, "Failed to list")
            error.data = {"bucket": self._pages.bucket, "prefix": self._prefix}
            raise error from problem


class Pages:
    """Requests the pages of listings of one bucket."""

    def __init__(self, client: minio.Minio, bucket: str, clock: ServerClock) -> None:
        self._client = client
        self.bucket = bucket
        self.clock = clock

    def of(
        self, prefix: str, *, delimiter: str = "", start_after: str = "", max_keys: int = 1000
    ) -> Iterator[Page]:
        """Yield the pages of the keys below ``prefix`` that follow ``start_after``.

        Raises one of MINIO_ERRORS.
        """
        query = {
            "list-type": "2",
            "delimiter": delimiter,  # sent even if empty, because bucket policies can refer to it
            "encoding-type": "url",
            "max-keys": str(max_keys),
            "prefix": prefix,
        }
        if start_after:
            query["start-after"] = start_after
        while True:
            # list_objects() calls the same method: minio signs, finds the region and raises its errors.
            page = Page(self._client._execute("GET", self.bucket, query_params=dict(query)).data)
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
        if re.match(rb"\s*<(?:!doctype html|html)\b", document, re.IGNORECASE):
            raise WebPage(document.decode(errors="replace"))
        if b"<!DOCTYPE" in document:  # entities can expand 8 MiB to a gigabyte (expat allows a factor of 100)
            raise ValueError("the listing declares a document type")
        try:
            self._root = ElementTree.fromstring(document)  # noqa: S314 - expat itself limits entities
        except LookupError as unknown:  # an encoding that the XML declaration names and Python lacks
            raise ValueError(f"the listing has an {unknown}") from unknown
        self._namespace, _, name = self._root.tag.rpartition("}")
        self._namespace += "}" if self._namespace else ""
        if name == "Error":  # a server that has sent the status before it lists
            raise Refused("GET", Refusal.of(200, document.decode(errors="replace")))
        if name != "ListBucketResult" or not self._text("Name"):
            raise ValueError("the server's answer is not a listing")
        self._encoded = self._text("EncodingType") == "url"
        truncated = self._text("IsTruncated").lower() == "true"
        self.token = self._text("NextContinuationToken") if truncated else ""
        if truncated and not self.token and not any(self.entries()):
            raise ValueError("a truncated listing has no token")

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
                _size(fields.get(size, "")),
                _date(at),
            )

    def _decoded(self, key: str) -> str:
        return unquote_plus(key) if self._encoded else key

    def _text(self, name: str) -> str:
        return self._root.findtext(f"{self._namespace}{name}") or ""


def _size(text: str) -> int:
    if (size := int(text)) < 0:
        raise ValueError(f"the listing has an object with the size {size}")
    return size


def _date(text: str | None) -> datetime | None:
    """Return the date in UTC; None if it is missing, in an unknown format, or beyond the year 9999."""
    try:
        at = datetime.fromisoformat(text or "")
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
