"""Inspecting the files that a commit changed, for images and permissions in the report.

The commit is already pushed. So an inspection is limited in time and memory, and never fails a run.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from typing import TYPE_CHECKING

from steps.core.keys import printable_path
from steps.core.operations import Operation
from steps.core.wording import plural
from steps.errors import SyncError
from steps.kubernetes.change_summary import FileInspection, compare_versions, files_to_inspect, is_relevant
from steps.runtime import logs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from steps.clients.git.repository import Repository
    from steps.kubernetes.change_summary import BlobChange

_SECONDS = 20
_MOST_BYTES = 8 * 1024 * 1024  # of all versions together


def inspect_changes(
    repository: Repository, git_path: str, commit: str, base: str | None = None, seconds: float = _SECONDS
) -> Mapping[bytes, FileInspection]:
    """Return what changed inside the files from ``base`` to ``commit``, by path ``<cluster>/<rest>``.

    A file is missing if time or memory ran out, or if git failed. Both are logged.
    """
    found: dict[bytes, FileInspection] = {}
    try:
        found.update(_inspections(repository, git_path, commit, base, time.monotonic() + seconds))
    except SyncError as problem:
        logs.warning(Operation.GIT_DIFF, "Failed to inspect the changes", error=problem.error)
    except Exception as bug:  # noqa: BLE001 - the commit is pushed, and the report works without it
        # Without the error's message, which may quote a file and so a secret.
        at = traceback.format_tb(bug.__traceback__)
        logs.warning(Operation.GIT_DIFF, "Failed to inspect all changes", error=type(bug).__name__, at=at)
    return found


def _inspections(
    repository: Repository, git_path: str, commit: str, base: str | None, deadline: float
) -> Iterator[tuple[bytes, FileInspection]]:
    """Yield the inspection of each file; those without relevant content first, because they cost nothing."""
    changes, contents = _read_new_versions(repository, git_path, commit, base)
    if not logs.is_debug():  # the debug log counts the changed lines of every file
        irrelevant = {c.path for c in changes if c.after and not is_relevant(c.path, contents[c.after])}
        yield from ((path, FileInspection("")) for path in irrelevant)
        changes = [c for c in changes if c.path not in irrelevant]
    contents |= _read_old_versions(repository, changes, contents, deadline)
    for number, change in enumerate(changes):
        if time.monotonic() >= deadline:
            left = len(changes) - number
            logs.warning(Operation.GIT_DIFF, "Failed to inspect all changes in time", files=left)
            return
        if (inspection := _compare(change, contents)) is not None:
            yield change.path, inspection


def _read_new_versions(
    repository: Repository, git_path: str, commit: str, base: str | None
) -> tuple[list[BlobChange], dict[str, bytes]]:
    """Choose the files to inspect, and return them with their new contents by blob id.

    The new versions are present, because this run wrote them. Files whose new version is too large are
    dropped before any old version is fetched.
    """
    cut = len(git_path.encode())
    below = (c._replace(path=c.path[cut:]) for c in repository.changes(commit, git_path, base=base))
    changes = files_to_inspect(below)
    contents = _contents(repository, [c.after for c in changes], _MOST_BYTES // 2)
    return [c for c in changes if not c.after or c.after in contents], contents


def _read_old_versions(
    repository: Repository, changes: Iterable[BlobChange], new: Mapping[str, bytes], deadline: float
) -> dict[str, bytes]:
    """Fetch the old versions of these files, and return their contents by blob id."""
    oids = [c.before for c in changes if c.before]
    if oids:
        repository.fetch_blobs(oids, timeout=max(0, deadline - time.monotonic()))
    return _contents(repository, oids, _MOST_BYTES - sum(map(len, new.values())))


def _contents(repository: Repository, oids: Iterable[str], total: int) -> dict[str, bytes]:
    """Return the contents of the blobs that are present, up to ``total`` bytes in all."""
    from steps.kubernetes.objects import MAX_BYTES

    wanted = dict.fromkeys(filter(None, oids))
    return dict(repository.contents(wanted, each=MAX_BYTES, total=total))


def _compare(change: BlobChange, contents: Mapping[str, bytes]) -> FileInspection | None:
    """Compare both versions of a file; None if one of them is absent or not readable as YAML."""
    from steps.kubernetes.objects import is_readable, read_resource

    oids = (change.before, change.after)
    if not all(oid in contents and is_readable(contents[oid]) for oid in oids if oid):
        return None
    if logs.is_debug():
        _log_changed_lines(change, contents)
    versions = (read_resource(contents[oid]) if oid else None for oid in oids)
    return compare_versions(change.path, *versions)


def _log_changed_lines(change: BlobChange, contents: Mapping[str, bytes]) -> None:
    """Log how many lines of a file changed. The lines are not logged, because they may be secret."""
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
