"""WORK_DIR: where everything lies, and writing it so that presence means complete.

The volume may be shared, old, full, or prepared by someone else: directories of ours are made sure
to be real directories, and files are replaced whole.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from steps.contracts import Document, Run
from steps.core.operations import Operation
from steps.errors import FixConfiguration, TryAgain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

D = TypeVar("D", bound=Document)

_KEPT_RUNS = 3
_LARGEST_DOCUMENT = 128 * 1024 * 1024  # what is larger would not fit into memory, and is cut: so, damaged

# Directories that need not be looked at again; there may be as many as objects.
_MOST_KNOWN = 10_000

_TEMPORARY = ".git-sync-tmp-"

# Half-written files that nobody has written to for so long are those of killed runs. (A run writes its
# pages after it has let go of the lock, so that holding it says nothing.)
_FORSAKEN_SECONDS = 3600


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def open_plain(path: Path | bytes) -> BinaryIO:
    """Open a file for reading. OSError where a directory, a pipe or a device has its name.

    Opening or reading one of these might wait for ever, or never end.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        raise OSError(errno.EINVAL, "no plain file", path)
    return os.fdopen(handle, "rb")


def write_document(path: Path, document: Document) -> None:
    """Write a JSON document, whole or not at all."""
    with atomic_file(path) as out:
        out.write(document.model_dump_json(indent=2).encode() + b"\n")
        out.flush()
        os.fsync(out.fileno())  # row files carry a checksum instead


def read_document(path: Path, kind: type[D]) -> D:
    """Read a JSON document. FileNotFoundError if it is not there, FixConfiguration if it is damaged."""
    with open_plain(path) as file:
        return parse_document(file.read(_LARGEST_DOCUMENT), kind, str(path))


def parse_document(content: bytes, kind: type[D], where: str) -> D:
    """Return the JSON document; FixConfiguration, which names ``where``, if it is damaged."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        raise FixConfiguration(
            Operation.SETUP_WORKDIR,
            "Failed to read the working directory",
            f"{where} is damaged or of another version ({first['msg']}): restore or remove it",
        ) from problem


@dataclass(frozen=True)
class RunFiles:
    """The files by which one run's steps talk to each other."""

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "run.json"

    @property
    def shards(self) -> Path:
        return self.root / "shards.json"

    @property
    def plan(self) -> Path:
        return self.root / "plan"

    @property
    def verdict(self) -> Path:
        return self.root / "verdict.json"

    @property
    def replan(self) -> Path:
        return self.root / "plan-again"

    @property
    def replanned_verdict(self) -> Path:
        return self.root / "verdict-again.json"

    @property
    def result(self) -> Path:
        return self.root / "result.json"

    def baseline(self, cluster: str) -> Path:
        return self.root / "baseline" / cluster

    def listing(self, cluster: str) -> Path:
        return self.root / "listing" / cluster

    def manifest(self, cluster: str) -> Path:
        return self.root / "manifest" / cluster

    def failure(self, cluster: str) -> Path:
        return self.root / "failure" / cluster

    @property
    def staging(self) -> Path:
        return self.root / "objects"


class Volume:
    """WORK_DIR."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "sync-metadata.json"
        self.objects = root / "clusterbackup"
        self.git_dir = root / ".git"
        self.gitconfig = root / ".gitconfig"
        self._internal = root / ".git-sync"
        self._runs_root = self._internal / "runs"
        self._cache = self._internal / "cache"
        self.tip = self._internal / "tip"

    def set_up(self) -> None:
        """Make sure that WORK_DIR exists, is writable, and that our directories in it are real.

        Raises FixConfiguration (operation setup_workdir) where it cannot be had.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for directory in (self._internal, self._runs_root, self._cache, self.objects):
                _make_real(directory)
            for path in (self.tip, *self._cache.iterdir()):
                if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
                    remove(path)  # a pipe would be waited for, and a directory could not be replaced
            for path in self._runs_root.glob("*/*"):
                if path.is_symlink():  # to another directory, perhaps, into which a step would write
                    path.unlink(missing_ok=True)
            with tempfile.TemporaryFile(dir=self._internal):
                pass
        except OSError as problem:
            raise FixConfiguration(
                Operation.SETUP_WORKDIR,
                "Failed to create working directory",
                f"{(problem.strerror or str(problem)).lower()}: {self.root}",
            ) from problem

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold WORK_DIR for one run; TryAgain if another process holds it. Death releases it."""
        path = self._internal / "lock"
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(path.lstat().st_mode):  # never a file: another run may have just made it
                remove(path)
        with path.open("a+b") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as held:
                lock.seek(0)
                holder = lock.read(20).decode(errors="replace").strip() or "unknown"
                raise TryAgain(
                    Operation.SETUP_WORKDIR,
                    "Another run is using the working directory",
                    f"{self.root} is locked by process {holder}: wait for it, or use another WORK_DIR",
                ) from held
            if os.fstat(lock.fileno()).st_nlink == 1:  # else it is another file's content as well
                lock.truncate(0)
                lock.write(str(os.getpid()).encode())
                lock.flush()
            yield

    def run(self, run_id: str) -> RunFiles:
        """The files of one run."""
        return RunFiles(self._runs_root / run_id)

    def newest_run(self) -> str:
        """The id of the run that was last worked on. FixConfiguration if there is none."""
        runs = self._runs()
        if not runs:
            raise FixConfiguration(
                Operation.SETUP_WORKDIR,
                "Failed to find a run",
                f"{self.root} holds none: call `git-sync discover` first, with the same WORK_DIR",
            )
        return runs[-1]

    def cache(self, cluster: str) -> Path:
        """Where the cluster's cache is."""
        return self._cache / cluster

    def forget(self) -> None:
        """Remove whatever is remembered from run to run, but for the state."""
        remove(self.tip)
        for known in self._cache.iterdir():
            remove(known)

    def adopt_cache(self, source: Path) -> None:
        """Take the cache of each cluster of which this volume has none from a directory of such."""
        for known in source.iterdir() if source.is_dir() else ():
            if known.is_file() and not known.is_symlink() and not os.path.lexists(self.cache(known.name)):
                shutil.copyfile(known, self.cache(known.name), follow_symlinks=False)

    def objects_of(self, run: Run) -> Path:
        """Where the bytes that the run fetches go, at ``<cluster>/<rest>``.

        In download-only mode beside the result: publish moves them there once deletions are ruled on.
        """
        return self.run(run.run_id).staging if run.download_only else self.objects

    def prune(self) -> None:
        """Make room for a new run: remove all but the newest before it, and what killed ones left."""
        for run_id in self._runs()[: -(_KEPT_RUNS - 1)]:
            shutil.rmtree(self.run(run_id).root, ignore_errors=True)
        for directory in (self.root, self._internal, self._cache):
            for half in directory.glob(f"{_TEMPORARY}????????"):  # as mkstemp names them
                with contextlib.suppress(OSError):
                    if half.lstat().st_mtime < time.time() - _FORSAKEN_SECONDS:
                        half.unlink()

    def _runs(self) -> list[str]:
        with os.scandir(self._runs_root) as found:
            runs = [entry for entry in found if entry.is_dir(follow_symlinks=False)]
        return [entry.name for entry in sorted(runs, key=lambda entry: entry.stat().st_mtime_ns)]


def _make_real(directory: Path) -> None:
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        directory.unlink()
    directory.mkdir(exist_ok=True)


def remove(path: Path) -> None:
    """Remove whatever is at ``path``; a link itself, never what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:  # also a pipe, which rmtree would wait for
        path.unlink(missing_ok=True)


class ObjectDirectory:
    """A directory tree of objects, at their own paths, into which no link leads out.

    A file in the way of a directory is replaced: what is here is what the last writer said.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)
        self._real: set[bytes] = set()

    def place(self, path: bytes) -> bytes:
        """Make the directories above ``path`` and return where its bytes belong."""
        target = os.path.join(self._root, path)
        self._make(os.path.dirname(target))
        return target

    def _make(self, directory: bytes) -> None:
        if directory in self._real:
            return
        if len(directory) > len(self._root):
            self._make(os.path.dirname(directory))
            try:
                os.mkdir(directory)
            except FileExistsError:
                if os.path.islink(directory) or not os.path.isdir(directory):
                    os.unlink(directory)
                    os.mkdir(directory)
        else:
            os.makedirs(directory, exist_ok=True)
        if len(self._real) >= _MOST_KNOWN:
            self._real.clear()
        self._real.add(directory)
