"""Looking into what a commit changed: images, rules; for the report, and so never at any price."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from typing import TYPE_CHECKING

from steps.core.keys import printable
from steps.core.operations import Operation
from steps.errors import SyncError
from steps.kubernetes.change_summary import FileInspection, compare_versions, files_to_inspect, is_relevant
from steps.runtime import logs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from steps.clients.git.repository import Repository
    from steps.kubernetes.change_summary import BlobChange

_SECONDS = 20
_MAX_BYTES_IN_ALL = 8 * 1024 * 1024


def inspect_changes(
    repository: Repository, git_path: str, commit: str, seconds: float = _SECONDS
) -> Mapping[bytes, FileInspection]:
    """Return what is in the changed files of ``commit``, by ``<cluster>/<rest>``; less where git gives less.

    The commit is pushed: nothing that goes wrong here may end the run, or keep it for long.
    """
    found: dict[bytes, FileInspection] = {}
    try:
        found.update(_looked(repository, git_path, commit, time.monotonic() + seconds))
    except SyncError as problem:
        logs.warning(Operation.GIT_DIFF, "The changes were not looked into", error=problem.error)
    except Exception as bug:  # noqa: BLE001 - the backup is made, and a detail of its report can be done without
        # Not the error's own words: they may quote a file, and it a secret.
        at = traceback.format_tb(bug.__traceback__)
        logs.warning(
            Operation.GIT_DIFF, "The changes were not all looked into", error=type(bug).__name__, at=at
        )
    return found


def _looked(
    repository: Repository, git_path: str, commit: str, deadline: float
) -> Iterator[tuple[bytes, FileInspection]]:
    from steps.kubernetes.objects import is_readable, read_resource

    cut = len(git_path.encode())
    chosen = files_to_inspect(c._replace(path=c.path[cut:]) for c in repository.changes(commit, git_path))
    # What the run wrote is here, so it tells, before anything is fetched, which files are too large.
    contents = _contents(repository, [c.after for c in chosen], _MAX_BYTES_IN_ALL // 2)
    chosen = [c for c in chosen if not c.after or c.after in contents]
    if not logs.is_debug():  # which wants to know of each line that came or went
        silent = {c.path for c in chosen if c.after and not is_relevant(c.path, contents[c.after])}
        yield from ((path, FileInspection("")) for path in silent)
        chosen = [c for c in chosen if c.path not in silent]
    before = [c.before for c in chosen if c.before]
    if before:
        repository.fetch_blobs(before, timeout=max(0, deadline - time.monotonic()))
    contents |= _contents(repository, before, _MAX_BYTES_IN_ALL - sum(map(len, contents.values())))
    for number, change in enumerate(chosen):
        if time.monotonic() >= deadline:
            left = len(chosen) - number
            logs.warning(
                Operation.GIT_DIFF, f"{left} changed files were not looked into: time is up", files=left
            )
            return
        oids = [oid for oid in (change.before, change.after) if oid]
        if all(oid in contents and is_readable(contents[oid]) for oid in oids):
            if logs.is_debug():
                _tell(change, contents)
            versions = (
                read_resource(contents[oid]) if oid else None for oid in (change.before, change.after)
            )
            yield change.path, compare_versions(change.path, *versions)


def _contents(repository: Repository, oids: list[str], total: int) -> dict[str, bytes]:
    """The blobs that are here, the first ones if they are too much."""
    from steps.kubernetes.objects import MAX_BYTES

    wanted = dict.fromkeys(filter(None, oids))
    return dict(repository.contents(wanted, each=MAX_BYTES, total=total))


def _tell(change: BlobChange, contents: Mapping[str, bytes]) -> None:
    """How much of a file has changed, but not what: that may be a secret."""
    before, after = (
        Counter(contents[oid].splitlines()) if oid else Counter() for oid in (change.before, change.after)
    )
    path = printable(change.path.decode(errors="replace"))
    logs.debug(
        Operation.GIT_DIFF,
        f"{path}: {(after - before).total()} lines added, {(before - after).total()} removed",
        path=path,
        before=change.before,
        after=change.after,
    )
