"""One bucket: its names, its listings, its objects' bytes."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import obstore
from obstore.exceptions import BaseError, PreconditionError

from steps.clients.http import first_line
from steps.clients.s3.errors import MINIO_ERRORS, is_not_found, translated
from steps.clients.s3.listing import Listed, Listing, Pages
from steps.clients.s3.transport import open_clients
from steps.core.git_objects import blob_header
from steps.core.operations import Operation
from steps.errors import FixConfiguration, TryAgain
from steps.runtime import logs, retry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore import GetOptions

    from steps.runtime.settings.s3 import S3Settings

_CHUNK_BYTES = 1024 * 1024
_MD5 = re.compile(r"[0-9a-f]{32}")
_MAX_PREFIXES_SHOWN = 10


@dataclass(frozen=True)
class Fetched:
    """An object on disk. ``etag`` and ``size`` belong to the bytes that were received.

    ``non_md5_etag``: the ETag looks like the MD5 of the content but is not.
    """

    etag: str
    size: int
    oid: str
    non_md5_etag: bool = False


class Gone(Exception):
    """The object no longer exists: GET and HEAD agree."""


class TooLarge(Exception):
    """The object has grown over the limit since it was listed."""


class _Changed(Exception):
    """The object has another ETag than the requested one."""


class _NotFound(Exception):
    """GET returned 404."""


class ObjectStore:
    """One bucket. Safe to share between threads.

    Raises TryAgain for what a retry can cure (network, overload, a listing that cannot be proven), and
    FixConfiguration for a wrong address, credential, bucket or permission.
    """

    def __init__(self, settings: S3Settings) -> None:
        self.endpoint = settings.endpoint
        self.bucket = settings.bucket
        try:
            clients = open_clients(settings)
        except (BaseError, *MINIO_ERRORS) as problem:
            cause = first_line(str(problem))
            raise FixConfiguration(Operation.MINIO_CONNECT, "Failed to connect to MinIO", cause) from problem
        self._minio = clients.minio
        self._obstore = clients.obstore
        self._pages = Pages(clients.minio, self.bucket, clients.clock)

    def children(self, prefix: str) -> Iterator[str]:
        """Yield the names directly below ``prefix``; "directories" end with a slash.

        This is no proof: a name that is missing here counts as unknown, not as deleted. It is also the
        check of the connection, so its errors have the operation minio_connect.
        """
        try:
            yield from self._pages.children(prefix)
        except MINIO_ERRORS as problem:
            raise translated(problem, Operation.MINIO_CONNECT, "Failed to connect to MinIO") from problem

    def prefixes(self) -> list[str]:
        """Return some top-level prefixes of the bucket, for an error message."""
        try:
            page = next(self._pages.of("", delimiter="/"))
            return [key for key, _ in islice(page.entries(), _MAX_PREFIXES_SHOWN)]
        except MINIO_ERRORS as problem:
            raise translated(problem, Operation.MINIO_CONNECT, "Failed to connect to MinIO") from problem

    def listing(self, prefix: str) -> Listing:
        """Return the recursive listing of ``prefix``. It counts only after a complete iteration."""
        return Listing(self._pages, prefix)

    def read(self, key: str) -> bytes | None:
        """Return the content of one small object; None if it does not exist."""
        try:
            response = self._minio.get_object(self.bucket, key)
            try:
                return response.read()
            finally:
                response.close()
                response.release_conn()
        except MINIO_ERRORS as problem:
            if is_not_found(problem):
                return None
            raise translated(problem, Operation.MINIO_CONNECT, "Failed to read from S3") from problem

    def exists(self, key: str) -> bool:
        """Ask for this one object; ``key`` is one that the key rules accept."""
        return retry.REQUESTS.call(lambda: self._head(key))

    def _head(self, key: str) -> bool:
        try:
            obstore.head(self._obstore, key)
        except FileNotFoundError:
            return False
        except BaseError as problem:
            raise translated(problem, Operation.DOWNLOAD, "Failed to list") from problem
        return True

    def fetch(self, listed: Listed, target: bytes, *, max_bytes: int) -> Fetched:
        """Write the object's bytes to ``target``, checked against ETag, length and MD5.

        If the object has changed since it was listed, its new content is fetched. Whatever goes wrong,
        the object is requested REQUESTS.attempts times at most. Raises Gone or TooLarge if there is
        nothing to write.
        """
        mismatch = ""  # the blob id of the last content whose MD5 is not the ETag
        failure = ""
        for pause in retry.REQUESTS.pauses():
            try:
                content = self._get(listed, target)
            except TryAgain:
                if pause is None:
                    raise
                time.sleep(pause)
                continue
            except _Changed:
                listed, mismatch = self._current(listed, max_bytes), ""
                failure = "the object keeps changing"
                continue
            except _NotFound:
                listed, mismatch = self._current(listed, max_bytes), ""
                failure = "GET returned 404 but HEAD says the object exists"
                time.sleep(pause or 0)
                continue
            is_md5 = content.md5 == listed.etag
            # The bytes were damaged in transit, or this store's ETags are not MD5s (SSE-C, KMS). The
            # same bytes twice prove the latter.
            if is_md5 or content.oid == mismatch or not _MD5.fullmatch(listed.etag):
                return Fetched(listed.etag, content.size, content.oid, non_md5_etag=content.oid == mismatch)
            mismatch = content.oid
            failure = "the content does not match its ETag"
        raise TryAgain(Operation.DOWNLOAD, "Failed to download", failure)

    def _current(self, listed: Listed, max_bytes: int) -> Listed:
        """Return what HEAD says of the object now. Raises Gone or TooLarge."""
        current = self._stat(listed.key)
        if current.size > max_bytes:
            raise TooLarge
        if current.etag != listed.etag:
            logs.debug(
                Operation.DOWNLOAD, "Object changed since it was listed", key=listed.key, etag=current.etag
            )
        return current

    def _get(self, listed: Listed, target: bytes) -> _Content:
        md5 = hashlib.md5(usedforsecurity=False)
        blob = hashlib.sha1(blob_header(listed.size), usedforsecurity=False)
        size = 0
        with open(target, "wb") as out:
            for chunk in self._chunks(listed):
                if size + len(chunk) > listed.size:
                    raise TryAgain(
                        Operation.DOWNLOAD, "Failed to download", f"more than {listed.size} bytes came"
                    )
                out.write(chunk)
                md5.update(chunk)
                blob.update(chunk)
                size += len(chunk)
        if size != listed.size:
            raise TryAgain(Operation.DOWNLOAD, "Failed to download", f"{size} of {listed.size} bytes came")
        return _Content(size, md5.hexdigest(), blob.hexdigest())

    def _chunks(self, listed: Listed) -> Iterator[bytes]:
        try:
            condition: GetOptions = {"if_match": f'"{listed.etag}"'} if listed.etag else {}
            response = obstore.get(self._obstore, listed.key, options=condition)
            logs.debug(
                Operation.S3_REQUEST, "GET", key=listed.key, etag=listed.etag, size=response.meta["size"]
            )
            if response.meta["size"] != listed.size and response.meta["e_tag"] is None:
                raise _Changed
            if (response.meta["e_tag"] or "").strip('"') not in {"", listed.etag}:
                raise _Changed  # some stores ignore If-Match
            yield from response.stream(min_chunk_size=_CHUNK_BYTES)
        except FileNotFoundError:
            raise _NotFound from None
        except PreconditionError:
            raise _Changed from None
        except BaseError as problem:
            raise translated(problem, Operation.DOWNLOAD, "Failed to download") from problem

    def _stat(self, key: str) -> Listed:
        try:
            found = self._minio.stat_object(self.bucket, key)
        except MINIO_ERRORS as problem:
            if is_not_found(problem):
                raise Gone from problem
            raise translated(problem, Operation.DOWNLOAD, "Failed to download") from problem
        return Listed(key, found.etag or "", found.size or 0, found.last_modified)


class _Content(NamedTuple):
    size: int
    md5: str
    oid: str
