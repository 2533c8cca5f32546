"""Looking into what a commit changed: images, rules; for the report, and so never at any price."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from steps import logs
from steps.core.digest import Looked, to_look_into
from steps.core.keys import escaped
from steps.core.resources import MOST_BYTES, read_resource
from steps.errors import SyncError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from steps.clients.git import Repository
    from steps.core.digest import BlobChange

_FETCH_SECONDS = 60
_MOST_BYTES_IN_ALL = 8 * 1024 * 1024


def look_into(repository: Repository, git_path: str, commit: str) -> Mapping[bytes, Looked]:
    """Return what is in the changed files of ``commit``, by ``<cluster>/<rest>``; less where git gives less.

    The commit is pushed: nothing that goes wrong here may end the run.
    """
    cut = len(git_path.encode())
    try:
        below = (c._replace(path=c.path[cut:]) for c in repository.changes(commit, git_path))
        chosen = to_look_into(below)
        before = {change.before for change in chosen if change.before}
        if before:
            repository.fetch_blobs(before, timeout=_FETCH_SECONDS)
        wanted = before | {change.after for change in chosen if change.after}
        contents = dict(repository.contents(wanted, each=MOST_BYTES, total=_MOST_BYTES_IN_ALL))
    except SyncError as problem:
        logs.warning("git_diff", "The changes were not looked into", error=problem.error)
        return {}
    found = {}
    for change in chosen:
        if all(oid in contents for oid in (change.before, change.after) if oid):
            if logs.is_debug():
                _tell(change, contents)
            found[change.path] = Looked(
                *(read_resource(contents[oid]) if oid else None for oid in (change.before, change.after))
            )
    return found


def _tell(change: BlobChange, contents: Mapping[str, bytes]) -> None:
    """How much of a file has changed, but not what: that may be a secret."""
    before, after = (
        Counter(contents[oid].splitlines()) if oid else Counter() for oid in (change.before, change.after)
    )
    path = escaped(change.path.decode(errors="replace"))
    logs.debug(
        "git_diff",
        f"{path}: {(after - before).total()} lines added, {(before - after).total()} removed",
        path=path,
        before=change.before,
        after=change.after,
    )
