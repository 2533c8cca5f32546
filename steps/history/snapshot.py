"""A cluster at a commit: when its backup was listed, and what its files contain.

The time of a commit is when the backups were synced. The trailer Git-Sync-Listed says when a cluster's
objects were listed; a commit without it contains the objects of an earlier listing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from steps.core.git_objects import Mode
from steps.core.keys import printable
from steps.core.message import parse_trailers
from steps.core.operations import Operation
from steps.core.schedule import stale_after
from steps.core.wording import plural
from steps.errors import FixConfiguration
from steps.history.moments import stamp
from steps.kubernetes.objects import MAX_BYTES, TOO_LARGE
from steps.runtime import logs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from steps.clients.git.objects import LoggedCommit, Objects
    from steps.core.changes import TreeRow
    from steps.history.moments import Moment
    from steps.history.source import Source

IRREGULAR = "a link, a submodule or an executable file"

_NOT_FOUND = "Failed to find the commit"
_BATCH_BYTES = 4 * 2**20
_SHOWN = 5
_SHORT_ID = 8


def find_commit(source: Source, moment: Moment) -> LoggedCommit:
    """Return the newest commit at or before the moment. Raises FixConfiguration (exit code 40).

    A commit without a valid time is found by its id only; a warning in the log names it.
    """
    last = first = None
    undated: list[str] = []
    found: dict[str, LoggedCommit] = {}
    for commit in source.commits():
        last, first = last or commit, commit
        if moment.at is not None:
            if commit.committed_at is None:
                undated.append(commit.oid)
            elif commit.committed_at <= moment.at.timestamp():
                _warn_of(undated)
                return commit
        elif commit.oid.startswith(moment.commit):
            found[commit.oid] = commit
    _warn_of(undated)
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        problem = f"{moment.text}: {len(found)} commits begin with it; write more characters"
    elif first is None or last is None:
        problem = "the branch has no commit"
    else:
        problem = (
            f"{printable(moment.text)}: the branch has no such commit; "
            f"its first commit is {_at(first)}, its last one {_at(last)}"
        )
    raise FixConfiguration(Operation.GIT_DIFF, _NOT_FOUND, problem)


def _warn_of(undated: list[str]) -> None:
    if undated:
        named = ", ".join(oid[:_SHORT_ID] for oid in undated[:_SHOWN])
        more = ", …" if len(undated) > _SHOWN else ""
        logs.warning(
            Operation.GIT_DIFF,
            f"Skipped {plural(len(undated), 'commit')} without a valid time: {named}{more}",
        )


def _at(commit: LoggedCommit) -> str:
    at = time_of(commit)
    return f"{commit.oid[:_SHORT_ID]} of {stamp(at) if at else 'an unknown time'}"


def time_of(commit: LoggedCommit) -> datetime | None:
    """Return when the commit was made; None if its time is not valid."""
    return None if commit.committed_at is None else datetime.fromtimestamp(commit.committed_at, UTC)


@dataclass(frozen=True)
class Snapshot:
    """A cluster at a commit. ``listed_at`` is None if no commit records a listing of the cluster."""

    cluster: str
    commit: str
    committed_at: datetime | None
    listed_at: datetime | None
    warnings: tuple[str, ...] = ()

    @property
    def statement(self) -> str:
        """What the commands print, as in ``east as listed 2025-07-12T21:45:03Z, commit 689f995b``."""
        listed = f"as listed {stamp(self.listed_at)}" if self.listed_at else "without the time of a listing"
        return f"{printable(self.cluster)} {listed}, commit {self.commit[:_SHORT_ID]}"

    def document(self) -> dict[str, object]:
        """Return the fields as every JSON output contains them."""
        return {
            "cluster": self.cluster,
            "commit": self.commit,
            "committed_at": stamp(self.committed_at) if self.committed_at else None,
            "listed_at": stamp(self.listed_at) if self.listed_at else None,
            "warnings": list(self.warnings),
        }


class Schedule(NamedTuple):
    """SYNC_SCHEDULE and SYNC_TIMEZONE: when a listing is old."""

    schedule: str | None
    timezone: str


def snapshots(
    source: Source,
    commit: LoggedCommit,
    clusters: Collection[str],
    asked: datetime | None,
    schedule: Schedule,
) -> dict[str, Snapshot]:
    """Return the clusters at a commit, with a warning for each that may be older than the commit suggests.

    ``asked`` is the time that the user asked for; None for a commit without a valid time.
    """
    trailers = parse_trailers(commit.message)
    listed: dict[str, datetime] = {}
    for earlier in source.commits(commit.oid):
        for name, listed_at in parse_trailers(earlier.message).listed.items():
            listed.setdefault(name, listed_at)
        if listed.keys() >= set(clusters):
            break
    found = {}
    for name in clusters:
        at = listed.get(name)
        warnings = []
        if name in trailers.failed:
            warnings.append("the run of this commit failed to read the cluster; its objects are older")
        if name in trailers.refused:
            reason = printable(trailers.refused[name])
            warnings.append(f"the run of this commit refused a part of the cluster's changes ({reason})")
        if asked is None:
            warnings.append("the commit has no valid time")
        elif at is not None and asked >= _stale_after(at, schedule):
            warnings.append(
                "the listing is older than two intervals: since then nothing changed, or no run succeeded"
            )
        shown = tuple(f"{printable(name)}: {warning}" for warning in warnings)
        found[name] = Snapshot(name, commit.oid, time_of(commit), at, shown)
    return found


def _stale_after(listed_at: datetime, schedule: Schedule) -> datetime:
    return stale_after(listed_at, max_age=None, schedule=schedule.schedule, timezone=schedule.timezone)


def clusters_of(objects: Objects, commit: str, path: str) -> list[str]:
    """Return the names of the clusters at a commit whose trees are present."""
    rows = objects.children(commit, path)
    return [row.path.decode(errors="surrogateescape") for row in rows if row.mode == Mode.TREE]


def require_cluster(name: str, known: Collection[str], commit: str) -> None:
    """Raise FixConfiguration (exit code 40) if the cluster is unknown; the error names similar ones."""
    if name in known:
        return
    similar = get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)[:3]
    hint = f"did you mean {', '.join(map(printable, similar))}?" if similar else "it has no cluster"
    raise FixConfiguration(
        Operation.GIT_DIFF,
        "Failed to find the cluster",
        f"{printable(name)}: commit {commit[:_SHORT_ID]} has no such cluster; {hint}",
        cluster=printable(name),
    )


class File(NamedTuple):
    """A file at ``<cluster>/<rest>``; ``content`` is empty if there is a ``reason`` why it was not read."""

    path: bytes
    oid: str
    content: bytes
    reason: str = ""


def cluster_rows(objects: Objects, commit: str, path: str, cluster: str) -> list[TreeRow]:
    """Return the files of a cluster, sorted by path; their paths are ``<cluster>/<rest>``."""
    cut = len(path.encode())
    directory = f"{path}{cluster}/"
    return [row._replace(path=row.path[cut:]) for row in objects.tree(commit, directory)]


def read_files(
    source: Source, objects: Objects, rows: Iterable[TreeRow], max_bytes: int = MAX_BYTES
) -> Iterator[File]:
    """Yield the files of these rows in their order, of which a few MiB are in memory at a time.

    Their blobs are fetched in one request.
    """
    rows = list(rows)
    source.fetch_blobs({row.oid for row in rows if row.mode == Mode.FILE})
    sizes = objects.sizes(dict.fromkeys(row.oid for row in rows if row.mode == Mode.FILE))
    batch: list[TreeRow] = []
    batch_bytes = 0
    for row in rows:
        size = sizes.get(row.oid, 0) if row.mode == Mode.FILE else 0
        batch.append(row)
        batch_bytes += min(size, max_bytes)
        if batch_bytes >= _BATCH_BYTES:
            yield from _read(objects, batch, sizes, max_bytes)
            batch, batch_bytes = [], 0
    yield from _read(objects, batch, sizes, max_bytes)


def _read(objects: Objects, rows: list[TreeRow], sizes: dict[str, int], max_bytes: int) -> Iterator[File]:
    reasons = {row.path: _reason(row, sizes, max_bytes) for row in rows}
    wanted = dict.fromkeys(row.oid for row in rows if not reasons[row.path])
    contents = dict(objects.contents(wanted)) if wanted else {}
    for row in rows:
        yield File(row.path, row.oid, contents.get(row.oid, b""), reasons[row.path])


def _reason(row: TreeRow, sizes: dict[str, int], max_bytes: int) -> str:
    if row.mode != Mode.FILE:
        return IRREGULAR
    if row.oid not in sizes:
        return "the repository lacks its content"
    if sizes[row.oid] <= max_bytes:
        return ""
    return TOO_LARGE if max_bytes == MAX_BYTES else f"larger than {max_bytes // 1024:,} KiB"
