"""One bucket: its names, its listings, its objects' bytes."""

from __future__ import annotations

import hashlib
import io
import re
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import obstore
from obstore.exceptions import BaseError, PreconditionError

from steps.clients.http import server_words
from steps.clients.s3.errors import (
    MINIO_ERRORS,
    is_changed,
    is_denied,
    is_missing_bucket,
    is_not_found,
    refusal_of,
    translated,
)
from steps.clients.s3.listing import Listed, Listing, Pages
from steps.clients.s3.transport import open_clients
from steps.core import limits
from steps.core.git_objects import blob_header
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.errors import FixConfiguration, SyncError, TryAgain
from steps.runtime import logs, retry
from steps.workdir.files import naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from obstore import GetOptions

    from steps.runtime.settings.s3 import S3Settings

_CHUNK_BYTES = 1024 * 1024
_MD5 = re.compile(r"[0-9a-f]{32}")
_MAX_PREFIXES_SHOWN = 10
# Headers about encryption with keys of S3, of KMS or of the client.
_ENCRYPTION = "x-amz-server-side-encryption"


@dataclass(frozen=True)
class Fetched:
    """An object on disk. ``etag`` and ``size`` belong to the bytes that were received.

    ``content`` are these bytes, if they were asked for: then they are not on the disk.

    ``non_md5_etag``: the ETag looks like the MD5 of the content but is not. ``encrypted``: and the server
    encrypts the object, so that its ETag need not be an MD5 (S3 API, "Object": ETag).
    """

    etag: str
    size: int
    oid: str
    non_md5_etag: bool = False
    encrypted: bool = False
    content: bytes | None = None


class Denied(Exception):
    """The server refuses to return this one object: its policy, its storage class, its encryption key."""


class Gone(Exception):
    """The object no longer exists: GET and HEAD agree."""


class TooLarge(Exception):
    """The object has grown over the limit since it was listed."""


class Rejected(Exception):
    """The check of an object's content does not allow that it is written."""


class _Changed(Exception):
    """The object has another ETag than the requested one."""


class _NotFound(Exception):
    """GET returned 404."""


class ObjectStore:
    """One bucket. Safe to share between threads.

    Raises TryAgain for what a retry can cure (network, overload, a listing that cannot be proven), and
    FixConfiguration for a wrong address, credential, bucket or permission.
    """

    def __init__(self, settings: S3Settings, *, object_seconds: int = limits.S3_OBJECT_SECONDS) -> None:
        self.endpoint = settings.endpoint
        self.bucket = settings.bucket
        try:
            clients = open_clients(settings, object_seconds)
        except (BaseError, *MINIO_ERRORS) as problem:
            cause = server_words(str(problem))
            raise FixConfiguration(Operation.MINIO_CONNECT, "Failed to connect to MinIO", cause) from problem
        self._minio = clients.minio
        self._obstore = clients.obstore
        self._pages = Pages(clients.minio, self.bucket, clients.clock)

    def children(self, prefix: str) -> Iterator[str]:
        """Yield the names directly below ``prefix``; "directories" end with a slash.

        It proves nothing: a missing name counts as unknown, not as deleted. It also checks the connection,
        so its errors have the operation minio_connect.
        """
        try:
            yield from self._pages.children(prefix)
        except MINIO_ERRORS as problem:
            raise self._not_connected(problem) from problem

    def _not_connected(self, problem: Exception) -> SyncError:
        error = translated(problem, Operation.MINIO_CONNECT, "Failed to connect to MinIO")
        error.data = {"endpoint": self.endpoint, "bucket": self.bucket}
        return error

    def prefixes(self) -> list[str]:
        """Return some top-level prefixes of the bucket, for an error message."""
        try:
            page = next(self._pages.of("", delimiter="/"))
            return [key for key, _ in islice(page.entries(), _MAX_PREFIXES_SHOWN)]
        except MINIO_ERRORS as problem:
            raise self._not_connected(problem) from problem

    def listing(self, prefix: str) -> Listing:
        """Return the recursive listing of ``prefix``. It counts only after a complete iteration."""
        return Listing(self._pages, prefix)

    def read(self, key: str, *, max_bytes: int) -> bytes | None:
        """Return the content of an object, which is None if it does not exist. A failure is not retried.

        This is obstore and not minio, because serve reads the state again and again: obstore ends a request
        at its deadline, where call_within would keep a thread and a connection for each late one.
        """
        try:
            response = obstore.get(self._obstore, key)
            if response.meta["size"] > max_bytes:
                cause = f"{key} is larger than {max_bytes:,} bytes"
                raise FixConfiguration(Operation.MINIO_CONNECT, "Failed to read from S3", cause, key=key)
            return bytes(response.bytes())
        except FileNotFoundError as problem:
            if not is_missing_bucket(problem):
                return None
            raise self._unread(problem, key) from problem
        except BaseError as problem:
            raise self._unread(problem, key) from problem

    def _unread(self, problem: Exception, key: str) -> SyncError:
        error = translated(problem, Operation.MINIO_CONNECT, "Failed to read from S3", settings="STATE")
        error.data = {"endpoint": self.endpoint, "bucket": self.bucket, "key": key}
        return error

    def exists(self, key: str) -> bool:
        """Request this one object; ``key`` is one that the key rules accept.

        Where HEAD is not allowed, a listing of this key decides. S3 answers 403 to HEAD of a missing key
        if the policy allows ListBucket only with a prefix (S3 API, HeadObject: "Permissions").
        """
        try:
            self._minio.stat_object(self.bucket, key)
        except MINIO_ERRORS as problem:
            if is_not_found(problem):
                return False
            if is_denied(problem):
                return self._is_listed(key)
            raise self._unlisted(problem, key) from problem
        return True

    def _is_listed(self, key: str) -> bool:
        """Whether a listing of the keys that start with ``key``, the shortest first, starts with it."""
        try:
            page = next(self._pages.of(key, max_keys=1))
            return any(listed.key == key for listed in page.objects())
        except MINIO_ERRORS as problem:
            raise self._unlisted(problem, key) from problem

    def check_listable(self, prefix: str) -> None:
        """Raise an error unless the store still answers to a listing of ``prefix``."""
        self._is_listed(prefix)

    def _unlisted(self, problem: Exception, key: str) -> SyncError:
        error = translated(problem, Operation.DOWNLOAD, "Failed to list")
        error.data = self._named(key)
        return error

    def _named(self, key: str) -> dict[str, object]:
        return {"bucket": self.bucket, "key": printable(key)}

    def fetch(
        self,
        listed: Listed,
        target: bytes,
        *,
        max_bytes: int,
        in_memory: int | None = None,
        rejects: Callable[[Iterator[bytes]], bool] | None = None,
    ) -> Fetched:
        """Write the object's bytes to ``target``, checked against ETag, length and MD5.

        Objects of up to ``in_memory`` bytes are returned instead, and not written. Before a larger one is
        written, it is requested once more for ``rejects``, and Rejected is raised if that is true.

        If the object has changed since it was listed, its new content is fetched. The object is requested
        REQUESTS.attempts times at most. Raises Gone, TooLarge or Denied if there is nothing to write.
        """
        try:
            return self._fetch(listed, target, max_bytes, in_memory, rejects)
        except SyncError as problem:
            problem.data |= self._named(listed.key)
            raise

    def _fetch(
        self,
        listed: Listed,
        target: bytes,
        max_bytes: int,
        in_memory: int | None,
        rejects: Callable[[Iterator[bytes]], bool] | None,
    ) -> Fetched:
        unproven = ""  # the blob id of the last content whose MD5 is not the ETag
        failure = ""
        headers: dict[str, str] = {}
        for pause in retry.REQUESTS.pauses():
            # obstore follows redirects, so only an MD5 proves that the content is that of the listed object.
            names_md5 = _MD5.fullmatch(listed.etag) is not None
            of_this_host = partial(self._chunks_of_this_host, headers=headers)
            chunks = self._chunks if names_md5 and not unproven else of_this_host
            try:
                if rejects and in_memory is not None and listed.size > in_memory and rejects(chunks(listed)):
                    raise Rejected
                content = self._get(listed, target, chunks, in_memory)
            except TryAgain:
                if pause is None:
                    raise
                time.sleep(pause)
                continue
            except _Changed:
                listed, unproven = self._current(listed, max_bytes), ""
                failure = "the object keeps changing"
                continue
            except _NotFound:
                listed, unproven = self._current(listed, max_bytes), ""
                failure = "GET returned 404 but HEAD says the object exists"
                time.sleep(pause or 0)
                continue
            is_md5 = content.md5 == listed.etag
            # The bytes were damaged in transit, or this store's ETags are not MD5s (SSE-C, KMS). The
            # same bytes twice prove the latter.
            if is_md5 or content.oid == unproven or not names_md5:
                encrypted = any(name.startswith(_ENCRYPTION) for name in headers)
                is_other = content.oid == unproven
                encrypted = encrypted and is_other
                return Fetched(listed.etag, content.size, content.oid, is_other, encrypted, content.in_memory)
            unproven = content.oid
            failure = "the content does not match its ETag"
        raise TryAgain(Operation.DOWNLOAD, "Failed to download", failure)

    def has_md5_as_etag(self, listed: Listed) -> bool:
        """Whether the ETag of this object is its MD5; False if it has changed, or is refused."""
        md5 = hashlib.md5(usedforsecurity=False)
        try:
            for chunk in self._chunks(listed):
                md5.update(chunk)
        except (Denied, _Changed, _NotFound):
            return False
        return md5.hexdigest() == listed.etag

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

    def _get(
        self,
        listed: Listed,
        target: bytes,
        chunks: Callable[[Listed], Iterator[bytes]],
        in_memory: int | None,
    ) -> _Content:
        md5 = hashlib.md5(usedforsecurity=False)
        blob = hashlib.sha1(blob_header(listed.size), usedforsecurity=False)
        size = 0
        memory = io.BytesIO() if in_memory is not None and listed.size <= in_memory else None
        with naming(target), nullcontext(memory) if memory else open(target, "wb") as out:
            for chunk in chunks(listed):
                if size + len(chunk) > listed.size:
                    raise TryAgain(
                        Operation.DOWNLOAD,
                        "Failed to download",
                        "received more bytes than the object has",
                        size=listed.size,
                    )
                out.write(chunk)
                md5.update(chunk)
                blob.update(chunk)
                size += len(chunk)
        if size != listed.size:
            raise TryAgain(
                Operation.DOWNLOAD,
                "Failed to download",
                "received fewer bytes than the object has",
                size=listed.size,
                received=size,
            )
        return _Content(size, md5.hexdigest(), blob.hexdigest(), memory.getvalue() if memory else None)

    def _chunks(self, listed: Listed) -> Iterator[bytes]:
        """Yield the content through obstore, which is faster."""
        try:
            condition: GetOptions = {"if_match": f'"{listed.etag}"'} if listed.etag else {}
            response = obstore.get(self._obstore, listed.key, options=condition)
            etag, size = response.meta["e_tag"], response.meta["size"]
            _check_version(listed, etag, size)
            yield from response.stream(min_chunk_size=_CHUNK_BYTES)
        except FileNotFoundError:
            raise _NotFound from None
        except PreconditionError:
            raise _Changed from None
        except BaseError as problem:
            raise _failed_get(problem) from problem

    def _chunks_of_this_host(self, listed: Listed, headers: dict[str, str]) -> Iterator[bytes]:
        """Yield the content through minio, whose pool follows no redirect; add the answer's ``headers``."""
        condition: dict[str, str | list[str] | tuple[str]] = (
            {"If-Match": f'"{listed.etag}"'} if listed.etag else {}
        )
        try:
            response = self._minio.get_object(self.bucket, listed.key, request_headers=condition)
            headers |= {name.lower(): value for name, value in response.headers.items()}
            try:
                etag, length = response.headers.get("ETag"), response.headers.get("Content-Length", "")
                _check_version(listed, etag, int(length) if length.isdecimal() else listed.size)
                yield from response.stream(_CHUNK_BYTES)
            finally:
                response.close()
                response.release_conn()
        except MINIO_ERRORS as problem:
            if is_not_found(problem):
                raise _NotFound from None
            if is_changed(problem):
                raise _Changed from None
            raise _failed_get(problem) from problem

    def _stat(self, key: str) -> Listed:
        try:
            found = self._minio.stat_object(self.bucket, key)
        except MINIO_ERRORS as problem:
            if is_not_found(problem):
                raise Gone from problem
            raise translated(problem, Operation.DOWNLOAD, "Failed to download") from problem
        return Listed(key, found.etag or "", found.size or 0, found.last_modified)


def _failed_get(problem: Exception) -> Denied | SyncError:
    """Return the error of a GET: Denied if the server refuses only this object."""
    if refusal := refusal_of(problem):
        return Denied(refusal)
    return translated(problem, Operation.DOWNLOAD, "Failed to download")


def _check_version(listed: Listed, etag: str | None, size: int) -> None:
    """Raise _Changed unless the response is of the listed version; some stores ignore If-Match."""
    logs.debug(Operation.S3_REQUEST, "GET", key=listed.key, etag=listed.etag, size=size)
    if (etag or "").strip('"') not in {"", listed.etag} or (etag is None and size != listed.size):
        raise _Changed


class _Content(NamedTuple):
    size: int
    md5: str
    oid: str
    in_memory: bytes | None
