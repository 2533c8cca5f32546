"""WORK_DIR: where every file is, one run at a time, and what remains from run to run.

The volume may be shared, old, full, or prepared by someone else. So setting it up replaces links and
files in the places of our directories.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import time
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steps.core.operations import Operation
from steps.errors import FixConfiguration, TryAgain, volume_error
from steps.runtime.hardening import share_with_group
from steps.workdir.files import TEMPORARY_PREFIX, atomic_file, make_real_directory, remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from steps.contracts import Run

_KEPT_RUNS = 3

# A partly written file that has not changed for this time belongs to a killed run. The lock does not
# prove it, because a run writes its report pages after it has released the lock.
_ABANDONED_AFTER_SECONDS = 3600


@dataclass(frozen=True)
class RunFiles:
    """The files that one run's steps exchange."""

    root: Path

    @property
    def run_document(self) -> Path:
        return self.root / "run.json"

    @property
    def shards(self) -> Path:
        return self.root / "shards.json"

    @property
    def plan_rows(self) -> Path:
        return self.root / "plan.rows"

    @property
    def verdict(self) -> Path:
        return self.root / "verdict.json"

    @property
    def replan_draft(self) -> Path:
        return self.root / "replan-draft.rows"

    @property
    def replan_rows(self) -> Path:
        return self.root / "replan.rows"

    @property
    def replan_verdict(self) -> Path:
        return self.root / "replan-verdict.json"

    @property
    def summary(self) -> Path:
        return self.root / "summary.json"

    @property
    def selected_rows(self) -> Path:
        return self.root / "selected.rows"

    @property
    def part_rows(self) -> Path:
        return self.root / "part.rows"

    @property
    def published_rows(self) -> Path:
        return self.root / "published.rows"

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

    def work(self, cluster: str) -> Path:
        """Return the path of the times of the download process that began with this cluster."""
        return self.root / "work" / cluster

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
        self._runs = self._internal / "runs"
        self._caches = self._internal / "cache"
        self.tip = self._internal / "tip"
        self._pending = self._internal / "pending"
        # Beside the caches, because the pipeline keeps them in one artifact. No cluster has such a name.
        self._omitted = self._caches / "\\omitted"
        self.last_push = self._internal / "last-push.json"

    def set_up(self) -> None:
        """Make sure that WORK_DIR exists and is writable, and that our directories in it are real.

        Raises SyncError (operation setup_workdir) if that fails.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            share_with_group(self.root)
            for directory in (self._internal, self._runs, self._caches, self.objects):
                make_real_directory(directory)
            for directory in (self._pending, self._omitted):  # few runs need them
                if os.path.lexists(directory):
                    make_real_directory(directory)
            found = (path for directory in self._kept if directory.exists() for path in directory.iterdir())
            for path in (self.tip, self.last_push, *found):
                if path == self._omitted:
                    continue
                if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
                    remove(path)  # reading a pipe would block, and a directory could not be replaced
            for path in self._runs.glob("*/*"):
                if path.is_symlink():  # it may point to another directory, and a step would write there
                    path.unlink(missing_ok=True)
            self._check_names()
        except OSError as problem:
            raise volume_error(problem, "Failed to create working directory", self.root) from problem

    def _check_names(self) -> None:
        """Write a file, and raise FixConfiguration if its name in another spelling is the same file.

        On such a file system (SMB, the default of macOS) the clusters "east" and "EAST" would share files.
        """
        # Always the same name, so that a killed run leaves nothing that the next one does not remove.
        probe = self._internal / f"{TEMPORARY_PREFIX}Probe-\u00e9"
        probe.touch()
        spellings = (probe.name.swapcase(), unicodedata.normalize("NFD", probe.name))
        folded = any((self._internal / name).exists() for name in spellings)
        probe.unlink(missing_ok=True)
        if folded:
            raise FixConfiguration(
                Operation.SETUP_WORKDIR,
                "Failed to use the working directory",
                "the file system treats different names as the same file (upper and lower case, or Unicode "
                f"forms): choose another volume for WORK_DIR: {self.root}",
                path=str(self.root),
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock WORK_DIR for one run. Raises TryAgain if another process has locked it.

        The lock ends with its process, however that ends.
        """
        path = self._internal / "lock"
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(path.lstat().st_mode):  # a regular file may be another run's lock
                remove(path)
        with path.open("a+b") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as locked:
                lock.seek(0)
                holder = lock.read(20).decode(errors="replace").strip() or "unknown"
                raise TryAgain(
                    Operation.SETUP_WORKDIR,
                    "Another run is using the working directory",
                    f"{self.root} is locked by another process: wait for it, or use another WORK_DIR",
                    path=str(self.root),
                    process=holder,
                ) from locked
            if os.fstat(lock.fileno()).st_nlink == 1:  # else a hard link: writing would change another file
                lock.truncate(0)
                lock.write(str(os.getpid()).encode())
                lock.flush()
            yield

    def files(self, run_id: str) -> RunFiles:
        """Return the files of one run."""
        return RunFiles(self._runs / run_id)

    def newest_run(self) -> str:
        """Return the id of the run that was worked on last. Raises FixConfiguration if there is none."""
        run_ids = self._run_ids()
        if not run_ids:
            raise FixConfiguration(
                Operation.SETUP_WORKDIR,
                "Failed to find a run",
                f"{self.root} contains no run: call `git-sync discover` first, with the same WORK_DIR",
                path=str(self.root),
            )
        return run_ids[-1]

    def cache(self, cluster: str) -> Path:
        """Return the path of the cluster's cache."""
        return self._caches / cluster

    def omitted(self, cluster: str) -> Path:
        """Return the path of the cluster's omitted objects; their directory need not exist."""
        return self._omitted / cluster

    @property
    def _kept(self) -> tuple[Path, ...]:
        """The directories with a file per cluster that remain from run to run."""
        return self._caches, self._pending, self._omitted

    def pending(self, cluster: str) -> Path:
        """Return the path of the cluster's pending deletions; their directory need not exist."""
        return self._pending / cluster

    def remove_caches(self) -> None:
        """Remove everything that remains from run to run, except the state."""
        remove(self.tip)
        for path in self._caches.iterdir():
            remove(path)

    def adopt_caches(self, source: Path) -> None:
        """Copy the caches in the directory ``source`` of clusters for which this volume has none.

        The same applies to the omitted objects in it, and to the pending deletions beside it.
        """
        omitted = source / self._omitted.name
        for directory, target in zip((source, source.with_name("pending"), omitted), self._kept, strict=True):
            for path in directory.iterdir() if directory.is_dir() else ():
                target.mkdir(exist_ok=True)
                if path.is_file() and not path.is_symlink() and not os.path.lexists(target / path.name):
                    # A killed step must not leave a part, because the next attempt would keep it.
                    with path.open("rb") as file, atomic_file(target / path.name) as out:
                        shutil.copyfileobj(file, out)

    def objects_of(self, run: Run) -> Path:
        """Return the directory of the bytes that the run fetches, at ``<cluster>/<rest>``.

        In download-only mode it is beside the result: publish moves the objects there, after the
        guards have decided on deletions.
        """
        return self.files(run.run_id).staging if run.download_only else self.objects

    def prune(self) -> None:
        """Make room for a new run: remove all but the newest runs, and what killed runs left."""
        for run_id in self._run_ids()[: -(_KEPT_RUNS - 1)]:
            with contextlib.suppress(OSError):
                remove(self.files(run_id).root)
        for directory in (self.root, self._internal, *self._kept):
            for path in directory.glob(f"{TEMPORARY_PREFIX}????????"):  # the length that mkstemp uses
                with contextlib.suppress(OSError):
                    if path.lstat().st_mtime < time.time() - _ABANDONED_AFTER_SECONDS:
                        path.unlink()

    def _run_ids(self) -> list[str]:
        """Return the ids of the runs, the one worked on last at the end."""
        with os.scandir(self._runs) as entries:
            runs = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        return [entry.name for entry in sorted(runs, key=lambda entry: entry.stat().st_mtime_ns)]
