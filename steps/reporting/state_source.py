"""Read the state that report wrote: from WORK_DIR, or from its artifact in S3."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from steps.clients.s3.store import ObjectStore
from steps.contracts import State
from steps.core import limits
from steps.core.operations import Operation
from steps.errors import SyncError, TryAgain, translated
from steps.workdir.files import parse_document
from steps.workdir.state_file import read_state
from steps.workdir.volume import Volume

if TYPE_CHECKING:
    from pathlib import Path

    from steps.runtime.settings.state import StateSettings


class StateSource(Protocol):
    """A source of the state, which serve reads every ``pause_seconds`` and when a client asks.

    Clients that ask more often than every ``cache_seconds`` get the same state.
    """

    where: str
    pause_seconds: float
    cache_seconds: float

    def read(self) -> State | None:
        """Return the current state, None if there is none yet. Raises SyncError if it cannot be read."""


def state_source(settings: StateSettings | None, work_dir: Path) -> StateSource:
    """Return the artifact in S3 if STATE_ENDPOINT is set, otherwise the file in WORK_DIR."""
    return _InS3(settings) if settings else StateFile(Volume(work_dir).state)


class StateFile:
    """sync-metadata.json on a volume. It is parsed once for each version of the file."""

    pause_seconds = 1.0
    cache_seconds = 0.0

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._path = path
        self._parsed: tuple[tuple[int, int, int], State | None] | None = None

    def read(self) -> State | None:
        """Return the content of the file, read and checked again if the file has changed."""
        version = self._version()
        if self._parsed is None or version is None or self._parsed[0] != version:
            state = read_state(self._path)
            if version is None:
                return state
            # If the file was replaced in between, its version is another one, and it is read again.
            self._parsed = version, state
        return self._parsed[1]

    def _version(self) -> tuple[int, int, int] | None:
        """Return what distinguishes the file from others in its place; writers replace it."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


class _InS3:
    pause_seconds = 10.0
    cache_seconds = 2.0

    def __init__(self, settings: StateSettings) -> None:
        self._key = settings.key
        self.where = f"{settings.bucket}/{self._key}"
        self._store = ObjectStore(settings, object_seconds=limits.STATE_SECONDS)

    def read(self) -> State | None:
        content = self._store.read(self._key, max_bytes=limits.STATE_BYTES)
        return None if content is None else parse_document(content, State, self.where)


@dataclass(frozen=True)
class Reading:
    """The state, None if there is none yet, and its age. ``problem``: why it could not be read again."""

    state: State | None
    age_seconds: float = 0.0
    problem: SyncError | None = None


class LastReading:
    """The state that was read last. No call takes longer than HTTP_STATE_SECONDS, even if the source hangs.

    Safe to share between threads. At most one background thread reads the source.
    """

    def __init__(self, source: StateSource) -> None:
        self.where = source.where
        self.pause_seconds = source.pause_seconds
        self._source = source
        self._lock = threading.Lock()
        self._refresh: _Refresh | None = None
        self._last: _Refresh | None = None  # the last one that succeeded

    def read(self) -> Reading:
        """Return the current state, or the last one for HTTP_STALE_STATE_SECONDS after a transient problem.

        Raises SyncError otherwise.
        """
        with self._lock:
            if self._refresh is None or self._refresh.ended_before(self._source.cache_seconds):
                self._refresh = _Refresh(self._source)
            refresh = self._refresh
        problem = refresh.wait()
        with self._lock:
            if problem is None:
                self._last = refresh
                return Reading(refresh.state)
            last = self._last
        if last is None or not problem.transient or last.age() > limits.HTTP_STALE_STATE_SECONDS:
            raise problem.with_traceback(None)  # otherwise it would grow with each thread that raises it
        return Reading(last.state, last.age(), problem)


class _Refresh:
    """One reading of the source, in a daemon thread."""

    def __init__(self, source: StateSource) -> None:
        self.state: State | None = None
        self._source = source
        self._problem: SyncError | None = TryAgain(
            Operation.SERVE,
            "Failed to read the state",
            f"no answer from {source.where} yet",
            path=source.where,
        )
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._ended_at = self._began
        threading.Thread(target=self._read, daemon=True).start()

    def age(self) -> float:
        """Return the seconds since the state was requested. The state may be newer, never older."""
        return time.monotonic() - self._began

    def ended_before(self, seconds: float) -> bool:
        """Whether this reading ended at least ``seconds`` ago."""
        return self._ended.is_set() and time.monotonic() - self._ended_at >= seconds

    def wait(self) -> SyncError | None:
        """Wait until HTTP_STATE_SECONDS after the start. Return the problem, None if there is none."""
        self._ended.wait(max(0, limits.HTTP_STATE_SECONDS - self.age()))
        return self._problem

    def _read(self) -> None:
        try:
            with translated():
                self.state = self._source.read()
            self._problem = None
        except SyncError as problem:
            self._problem = problem
        finally:
            self._ended_at = time.monotonic()
            self._ended.set()
