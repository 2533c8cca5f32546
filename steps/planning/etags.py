"""Whether a store's ETags are MD5 sums: decides if content that does not match its ETag is damaged."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from steps.clients.s3.listing import Listed
from steps.workdir.rowfile import read_rows
from steps.workdir.rows import ListedRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from steps.clients.s3.store import ObjectStore

_MD5 = re.compile(r"[0-9a-f]{32}")
_EXAMINED = 3
_MAX_BYTES = 1 << 20


@dataclass
class ETags:
    """The ETags of one cluster, whose objects ``listing`` has. Safe to share between threads.

    Some gateways invent ETags that look like MD5 sums, for all objects. If other objects of the cluster have
    real ones, the content of this object is damaged.
    """

    store: ObjectStore
    bucket_prefix: str
    listing: Path
    _are_md5s: bool | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def are_md5s(self, beside: bytes) -> bool:
        """Whether one of a few small objects beside this one has its MD5 as its ETag. Raises SyncError."""
        with self._lock:
            if self._are_md5s is None:
                others = islice(self._others(beside), _EXAMINED)
                self._are_md5s = any(map(self.store.has_md5_as_etag, others))
            return self._are_md5s

    def _others(self, beside: bytes) -> Iterator[Listed]:
        for path, reason, size, etag in read_rows(self.listing, ListedRow):
            if path != beside and not reason and 0 < size <= _MAX_BYTES and _MD5.fullmatch(etag):
                yield Listed(self.bucket_prefix + path.decode(), etag, size, None)
