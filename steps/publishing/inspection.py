"""Which objects a commit changed: chooses the files, and reads them in a separate process.

The commit is more important than its summary. So an inspection is limited in time and memory, and a run does
not fail with it.
"""

from __future__ import annotations

import heapq
import time
import traceback
from collections import Counter
from itertools import islice
from typing import IO, TYPE_CHECKING, Protocol

from steps.core import limits
from steps.core.git_objects import BlobChange, Change
from steps.core.keys import printable_path
from steps.core.operations import Operation
from steps.core.wording import plural
from steps.errors import SyncError
from steps.kubernetes.places import UNKNOWN, place_of
from steps.kubernetes.volatile import BUILT_IN
from steps.publishing.isolated import BlobStreams, Budget, File, blob_ids, cluster_of, memory_file, summarized
from steps.runtime import logs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from steps.kubernetes.change_summary import ChangeSummary
    from steps.kubernetes.volatile import Rule

_IRREGULAR = "a link, a submodule or an executable file"
_TOO_LARGE = f"larger than {limits.OBJECT_FILE_BYTES // 1024} KiB"
# Files whose changed lines are counted with one git command, at debug level.
_LOGGED_TOGETHER = 20


class Blobs(BlobStreams, Protocol):
    """The repository that has the commit."""

    def changes(self, commit: str, path: str = "", *, base: str | None = None) -> Iterator[BlobChange]:
        """Yield the changes of the commit."""

    def sizes(self, oids: Iterable[str]) -> dict[str, int]:
        """Return the sizes of the blobs that are present."""

    def contents(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the contents of blobs that are present."""

    def fetch_blobs(self, oids: Iterable[str], *, timeout: float) -> None:
        """Fetch blobs that are absent, within a time."""


def inspect_changes(  # noqa: PLR0913 - what to compare, and how
    repository: Blobs,
    git_path: str,
    commit: str,
    base: str | None = None,
    *,
    budget: Budget | None = None,
    rules: Sequence[Rule] = BUILT_IN,
) -> ChangeSummary:
    """Summarize the changes from ``base`` (by default the parent) to ``commit`` below ``git_path``.

    Paths in the summary are ``<cluster>/<rest>``. ``budget`` is reduced by what the inspection needs.
    ``rules`` say what is volatile. Raises SyncError if git fails.
    """
    budget = budget or Budget()
    began = time.monotonic()
    deadline = began + budget.seconds
    cut = len(git_path.encode())
    with memory_file("changes") as noted:
        changes = (c._replace(path=c.path[cut:]) for c in repository.changes(commit, git_path, base=base))
        chosen = heapq.nsmallest(budget.files, _noted(changes, noted), key=_Rank())
        files = _within_budget(repository, chosen, deadline, budget)
        try:
            summary = summarized(repository, noted, files, deadline, budget, rules=rules)
        finally:
            budget.seconds -= time.monotonic() - began
    if logs.is_debug():
        _log_changed_lines(repository, chosen)
    return summary


def inspect_published(  # noqa: PLR0913 - what to compare, and how
    repository: Blobs,
    git_path: str,
    commit: str,
    base: str,
    *,
    budget: Budget,
    rules: Sequence[Rule] = BUILT_IN,
) -> ChangeSummary | str:
    """Return the same for a commit of publish; if that fails, log the failure and return its reason."""
    try:
        return inspect_changes(repository, git_path, commit, base, budget=budget, rules=rules)
    except SyncError as problem:
        logs.warning(Operation.GIT_DIFF, "Failed to inspect the changes", error=problem.error)
        return problem.error
    except Exception as bug:  # noqa: BLE001 - the commit and the report work without it
        # Without the error's message, which may quote a file and so a secret.
        at = traceback.format_tb(bug.__traceback__)
        logs.warning(Operation.GIT_DIFF, "Failed to inspect all changes", error=type(bug).__name__, at=at)
        return f"git-sync failed to inspect it ({type(bug).__name__})"


# -- which files ----------------------------------------------------------------------------------


def _noted(changes: Iterable[BlobChange], file: IO[bytes]) -> Iterator[BlobChange]:
    """Yield the changes, and write each to the file, which the other process reads."""
    for change in changes:
        file.write(b"%s%s\0" % (change.change.encode(), change.path))
        yield change


# A file takes at least the time in which the parser reads so many bytes.
_BYTES_OF_START = 1024

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


def _within_budget(
    repository: Blobs, changes: list[BlobChange], deadline: float, budget: Budget
) -> list[File]:
    """Return the files to read, and those that cannot be; fetch their old versions."""
    files = [File(c.path, c.before, c.after, "" if _is_regular(c) else _IRREGULAR) for c in changes]
    spent: dict[str, int] = {}
    sizes = repository.sizes(blob_ids(files, before=False))
    files = _affordable(_in_turns(files, sizes), sizes, spent, budget)
    left = deadline - time.monotonic()
    if (oids := blob_ids(files, after=False)) and left > 0:
        repository.fetch_blobs(oids, timeout=left)
    sizes |= repository.sizes(oids)
    files = _affordable(_in_turns(files, sizes), sizes, spent, budget)
    budget.total_bytes -= sum(spent.values())
    return files


def _in_turns(files: Iterable[File], sizes: Mapping[str, int]) -> list[File]:
    """Order the files so that clusters take turns by bytes: large files of one do not take all the time."""
    costs: Counter[bytes] = Counter()
    ordered = []
    for number, file in enumerate(files):
        cluster = cluster_of(file)
        bytes_read = (sizes.get(oid, 0) for oid in (file.before, file.after))
        costs[cluster] += _BYTES_OF_START + sum(n for n in bytes_read if n <= limits.OBJECT_FILE_BYTES)
        ordered.append((costs[cluster], number, file))
    return [file for _, _, file in sorted(ordered)]


def _affordable(
    files: Iterable[File], sizes: Mapping[str, int], spent: dict[str, int], budget: Budget
) -> list[File]:
    """Leave out files that exceed the bytes; ``spent`` has the sizes of the blobs to read."""
    kept = []
    total = sum(spent.values())
    for file in files:
        new = {oid: sizes[oid] for oid in (file.before, file.after) if oid in sizes and oid not in spent}
        if file.reason:
            kept.append(file)
        elif any(size > limits.OBJECT_FILE_BYTES for size in new.values()):
            kept.append(file._replace(reason=_TOO_LARGE))
        elif total + sum(new.values()) <= budget.total_bytes:
            kept.append(file)
            total += sum(new.values())
            spent.update(new)
    return kept


def _is_regular(change: BlobChange) -> bool:
    """Whether each version of the file is a regular file: others have no blob id."""
    has_before = bool(change.before) or change.change == Change.ADDED
    return has_before and (bool(change.after) or change.change == Change.DELETED)


# -- the log at debug level -----------------------------------------------------------------------


def _log_changed_lines(repository: Blobs, changes: Iterable[BlobChange]) -> None:
    """Log how many lines of each file changed. The lines are not logged, because they may be secret."""
    sizes = repository.sizes(dict.fromkeys(oid for change in changes for oid in _both(change)))
    small = (
        c
        for c in changes
        if all(sizes.get(oid, limits.OBJECT_FILE_BYTES + 1) <= limits.OBJECT_FILE_BYTES for oid in _both(c))
    )
    while group := list(islice(small, _LOGGED_TOGETHER)):
        contents = dict(repository.contents(dict.fromkeys(oid for c in group for oid in _both(c))))
        for change in group:
            _log_lines(change, contents)


def _both(change: BlobChange) -> list[str]:
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
