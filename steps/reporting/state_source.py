"""Read the state that report wrote: from WORK_DIR, or from its artifact in S3."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Protocol

from steps.clients.s3.store import ObjectStore
from steps.contracts import State
from steps.workdir.files import parse_document, read_document
from steps.workdir.volume import Volume

if TYPE_CHECKING:
    from pathlib import Path

    from steps.runtime.settings.state import StateSettings


_CACHE_SECONDS = 2


class StateSource(Protocol):
    """A source of the state; ``pause_seconds`` is the interval at which serve polls it."""

    where: str
    pause_seconds: float

    def read(self) -> State | None:
        """Return the current state, None if there is none yet. Raises SyncError if it cannot be read."""


def state_source(settings: StateSettings | None, work_dir: Path) -> StateSource:
    """Return the artifact in S3 if STATE_ENDPOINT is set, otherwise the file in WORK_DIR."""
    return _InS3(settings) if settings else StateFile(Volume(work_dir).state)


class StateFile:
    """sync-metadata.json on a volume."""

    pause_seconds = 1.0

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._path = path

    def read(self) -> State | None:
        """Read and check the file."""
        try:
            return read_document(self._path, State)
        except FileNotFoundError:
            return None


class _InS3:
    pause_seconds = 10.0

    def __init__(self, settings: StateSettings) -> None:
        self._key = settings.key
        self.where = f"{settings.bucket}/{self._key}"
        self._store = ObjectStore(settings)
        self._lock = threading.Lock()
        self._content: bytes | None = None
        self._read_at = -math.inf

    def read(self) -> State | None:
        with self._lock:  # clients of the HTTP server must not cause one S3 request each
            if time.monotonic() - self._read_at > _CACHE_SECONDS:
                self._content = self._store.read(self._key)
                self._read_at = time.monotonic()
            content = self._content
        return None if content is None else parse_document(content, State, self.where)
