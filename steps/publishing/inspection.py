"""Reading the objects in the files that a commit changed, for the summary of the run.

The commit is already pushed. So an inspection is limited in time and memory, and never fails a run.
"""

from __future__ import annotations

import heapq
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from steps.core.git_objects import BlobChange, Change
from steps.core.keys import printable_path
from steps.core.limits import INSPECTED_BYTES, INSPECTED_FACTS, INSPECTED_FILES, INSPECTION_SECONDS
from steps.core.operations import Operation
from steps.core.wording import plural
from steps.errors import SyncError
from steps.kubernetes.facts import facts_of
from steps.kubernetes.objects import MAX_BYTES, TOO_LARGE, Unreadable, read_objects
from steps.kubernetes.places import UNKNOWN, place_of
from steps.kubernetes.summarize import Inspection
from steps.runtime import logs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from steps.kubernetes.facts import Facts

# A tenth of INSPECTED_FACTS, so that no file takes it all. An export of a whole cluster has fewer.
_FACTS_OF_FILE = INSPECTED_FACTS // 10

_IRREGULAR = "a link, a submodule or an executable file"

# Blobs are read in batches, because the output of one git command is in memory.
_BATCH_BYTES = 4 * 2**20
# Files whose changed lines are counted with one git command, at debug level.
_LOGGED_TOGETHER = 20


@dataclass(frozen=True)
class Budget:
    """The limits of an inspection; what exceeds them is not inspected."""

    seconds: float = INSPECTION_SECONDS
    total_bytes: int = INSPECTED_BYTES
    files: int = INSPECTED_FILES
    facts: int = INSPECTED_FACTS


class Blobs(Protocol):
    """The repository that has the commit."""

    def changes(self, commit: str, path: str = "", *, base: str | None = None) -> Iterator[BlobChange]:
        """Yield the changes of the commit."""

    def sizes(self, oids: Iterable[str]) -> dict[str, int]:
        """Return the sizes of the blobs that are present."""

    def contents(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the contents of blobs that are present."""

    def fetch_blobs(self, oids: Iterable[str], *, timeout: float) -> None:
        """Fetch blobs that are absent, within a time."""


def inspect_changes(
    repository: Blobs, git_path: str, commit: str, base: str | None = None, budget: Budget = Budget()
) -> dict[bytes, Inspection]:
    """Return the objects in the files that differ from ``base`` to ``commit``, by path ``<cluster>/<rest>``.

    A file is missing if it exceeds the budget. Raises SyncError if git fails.
    """
    cut = len(git_path.encode())
    changes = (c._replace(path=c.path[cut:]) for c in repository.changes(commit, git_path, base=base))
    chosen = heapq.nsmallest(budget.files, changes, key=_Rank())
    found = _Inspector(repository, budget).inspect(chosen)
    if logs.is_debug():
        _log_changed_lines(repository, chosen)
    return found


def inspect_published(
    repository: Blobs, git_path: str, commit: str, base: str | None = None
) -> dict[bytes, Inspection]:
    """Return the same for a commit that is pushed: a failure is logged, and nothing is inspected."""
    try:
        return inspect_changes(repository, git_path, commit, base)
    except SyncError as problem:
        logs.warning(Operation.GIT_DIFF, "Failed to inspect the changes", error=problem.error)
    except Exception as bug:  # noqa: BLE001 - the commit is pushed, and the report works without it
        # Without the error's message, which may quote a file and so a secret.
        at = traceback.format_tb(bug.__traceback__)
        logs.warning(Operation.GIT_DIFF, "Failed to inspect all changes", error=type(bug).__name__, at=at)
    return {}


# So many files of a rank come before those of the next rank.
_FILES_OF_RANK = 50


class _Rank:
    """Ranks security-relevant paths, then modified files, then files whose path names no kind.

    Clusters take turns: thousands of changes of one cluster do not hide those of the others.
    """

    def __init__(self) -> None:
        self._count: Counter[tuple[bytes, int]] = Counter()

    def __call__(self, change: BlobChange) -> tuple[int, bytes]:
        place = place_of(change.path)
        rank = (place.category is None) * 4 + (change.change != Change.MODIFIED) * 2 + (place.kind != UNKNOWN)
        key = change.path.partition(b"/")[0], rank
        self._count[key] += 1
        return self._count[key] + _FILES_OF_RANK * rank, change.path


class _Inspector:
    def __init__(self, repository: Blobs, budget: Budget) -> None:
        self._repository = repository
        self._deadline = time.monotonic() + budget.seconds
        self._bytes_left = budget.total_bytes
        self._facts_left = budget.facts

    def inspect(self, changes: list[BlobChange]) -> dict[bytes, Inspection]:
        """Return the inspections of those files for which time and memory suffice."""
        found = {c.path: Inspection(reason=_IRREGULAR) for c in changes if not _is_regular(c)}
        after = self._read([c.after for c in changes])
        # The old version of a file whose new version is not known is of no use.
        waiting = [c for c in changes if c.path not in found and isinstance(after.get(c.after), tuple)]
        left = self._deadline - time.monotonic()
        if (oids := [c.before for c in waiting if c.before]) and left > 0:
            self._repository.fetch_blobs(oids, timeout=left)
        before = self._read(oids)
        for change in changes:
            old, new = before.get(change.before), after.get(change.after)
            if isinstance(old, str) or isinstance(new, str):
                found[change.path] = Inspection(reason=new if isinstance(new, str) else str(old))
            elif change.path not in found and old is not None and new is not None:
                found[change.path] = Inspection(old, new)
        return found

    def _read(self, oids: Iterable[str]) -> dict[str, tuple[Facts, ...] | str]:
        """Return the facts of the objects in each blob, or why it is unreadable; absent ones are missing."""
        known: dict[str, tuple[Facts, ...] | str] = {"": ()}
        for batch in self._batches(dict.fromkeys(filter(None, oids)), known):
            for oid, content in self._repository.contents(batch):
                if time.monotonic() >= self._deadline or self._facts_left <= 0:
                    return known
                known[oid] = facts = _facts(content)
                self._facts_left -= sum(one.size for one in facts if not isinstance(one, str))
        return known

    def _batches(self, oids: Iterable[str], known: dict[str, tuple[Facts, ...] | str]) -> Iterator[list[str]]:
        """Yield the ids of blobs to read together; ``known`` gets those that are too large."""
        batch: list[str] = []
        batch_bytes = 0
        for oid, size in self._repository.sizes(oids).items():
            if size > MAX_BYTES:
                known[oid] = TOO_LARGE
                continue
            if size > self._bytes_left:
                continue
            self._bytes_left -= size
            if batch and batch_bytes + size > _BATCH_BYTES:
                yield batch
                batch, batch_bytes = [], 0
            batch.append(oid)
            batch_bytes += size
        yield batch


def _is_regular(change: BlobChange) -> bool:
    """Whether each version of the file is a regular file: others have no blob id."""
    has_before = bool(change.before) or change.change == Change.ADDED
    return has_before and (bool(change.after) or change.change == Change.DELETED)


def _facts(content: bytes) -> tuple[Facts, ...] | str:
    found: list[Facts] = []
    size = 0
    try:
        for one in read_objects(content):
            found.append(facts_of(one))
            size += found[-1].size
            if size > _FACTS_OF_FILE:
                return "has too many containers, grants and values"
        return tuple(found)
    except Unreadable as problem:
        return str(problem)
    except Exception as bug:  # noqa: BLE001 - one file must not hide the changes of the others
        return f"git-sync failed to read it ({type(bug).__name__})"


def _log_changed_lines(repository: Blobs, changes: Iterable[BlobChange]) -> None:
    """Log how many lines of each file changed. The lines are not logged, because they may be secret."""
    sizes = repository.sizes(dict.fromkeys(oid for change in changes for oid in _oids(change)))
    small = (c for c in changes if all(sizes.get(oid, MAX_BYTES + 1) <= MAX_BYTES for oid in _oids(c)))
    while group := list(islice(small, _LOGGED_TOGETHER)):
        contents = dict(repository.contents(dict.fromkeys(oid for c in group for oid in _oids(c))))
        for change in group:
            _log_lines(change, contents)


def _oids(change: BlobChange) -> list[str]:
    return [oid for oid in (change.before, change.after) if oid]


def _log_lines(change: BlobChange, contents: Mapping[str, bytes]) -> None:
    before, after = (
        Counter(contents[oid].splitlines()) if oid else Counter() for oid in (change.before, change.after)
    )
    path = printable_path(change.path)
    logs.debug(
        Operation.GIT_DIFF,
        f"{path}: {plural((after - before).total(), 'line')} added, {(before - after).total():,} removed",
        path=path,
        before=change.before,
        after=change.after,
    )
