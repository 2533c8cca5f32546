"""What others have published since this run began, and planning again on top of it."""

from __future__ import annotations

import os
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

from steps.clients.git.errors import MESSAGES
from steps.clients.git.trees import DamagedTree
from steps.contracts import ClusterResult, ForeignFile, Run, State, Status
from steps.core.changes import PlanRow, TreeRow
from steps.core.clock import is_before
from steps.core.git_objects import Change
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.errors import TryAgain
from steps.planning.cluster_trees import ClusterTrees
from steps.planning.plan import Plan
from steps.planning.planner import Planner
from steps.runtime import logs
from steps.workdir.pending import pending_deletions
from steps.workdir.rowfile import read_rows, write_rows
from steps.workdir.rows import RowsHeader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Set
    from datetime import datetime
    from pathlib import Path

    from steps.clients.git.commits import Commit
    from steps.clients.git.repository import Repository
    from steps.workdir.volume import Volume

# Blobs that one run requests from the remote by id; bounds the memory.
_MOST_BLOBS = 50_000

# How many commits of the branch to fetch in search of the run's base.
_HISTORY_DEPTHS = (50, 1000)


def clusters_with_newer_listing(
    state: State | None, run: Run, clusters: Iterable[ClusterResult], now: datetime
) -> set[str]:
    """Return the clusters of which another run on this volume has a newer listing than this run.

    That run has published the listing, or found it equal to Git. Listings are ordered by the S3 server's
    clock, which counts seconds; within one second, the run that began later has listed later. A listing that
    is ahead of ``now`` and of this run's own listing is not newer: a clock was wrong.
    """
    if state is None:
        return set()
    is_later = any(is_before(run.started_at, other.started_at, now) for other in state.runs)
    newer = set()
    for cluster in clusters:
        ours, known = cluster.listed_at, state.listed.get(cluster.name)
        if not (cluster.processed and ours and known):
            continue
        if is_before(ours, known, max(ours, now)) or (ours == known and is_later):
            newer.add(cluster.name)
    return newer


def published_by(commits: Iterable[Commit]) -> set[str]:
    """Return those of the run's clusters that runs of git-sync have processed in these commits."""
    return {name for commit in commits for name in commit.trailers.listed}


def made_by(run: Run, commits: Iterable[Commit]) -> list[str]:
    """Return the ids of the commits that name this run, newest first."""
    return [commit.oid for commit in commits if commit.trailers.run_id == run.run_id]


def history_since_base(repository: Repository, run: Run, tip: str | None) -> list[Commit]:
    """Return the branch's commits since the run began, newest first.

    If the run's base is not among the branch's commits, the branch was reset or rewritten, or the server
    shows an older state. The ancestors of the base are older than the run, so they do not count either.
    """
    oids: list[str] = []
    if tip is None:
        return []
    for depth in _HISTORY_DEPTHS:
        oids = repository.fetch_history(depth)
        if run.base in oids:
            return repository.commits(repository.history_without(run.base), run.clusters)
        if len(oids) < depth:
            break
    commits = repository.commits(oids, run.clusters)
    if made_by(run, commits) or run.base is None or not published_by(commits):
        return commits
    if not repository.fetch_commit(run.base, _HISTORY_DEPTHS[-1]):
        # The branch may be older or newer than what this run has read. So do not overwrite it, and do not
        # report success.
        raise TryAgain(
            Operation.GIT_PUSH,
            "Failed to push to repository",
            f"the server does not have commit {run.base}, with which this run began",
        )
    return repository.commits(repository.history_without(run.base), run.clusters)


def settled_clusters(clusters: Iterable[ClusterResult], newer: Set[str]) -> dict[str, ClusterResult]:
    """Return the results of the clusters that must not be planned again, by name; log the superseded ones.

    A retried download may have completed a cluster that detect saw as failed. No guard has checked its
    listing, so it stays failed. A processed cluster in ``newer`` is superseded: others have published it
    since this run began, and may have read newer objects. The times of the listings do not decide this,
    because a run reads its objects long after it has listed them.
    """
    settled = {c.name: c for c in clusters if c.status in {Status.FAILED, Status.OVER_LIMIT}}
    for name in sorted(c.name for c in clusters if c.processed and c.name in newer):
        logs.warning(
            Operation.DETECT_CHANGES,
            f"{printable(name)} skipped: another run has published it since this run began",
            cluster=printable(name),
        )
        settled[name] = ClusterResult(name=name, status=Status.SUPERSEDED)
    return settled


def replan(  # noqa: PLR0913 - a run, its branch, and what is known about clusters and files
    repository: Repository,
    volume: Volume,
    run: Run,
    tip: str | None,
    settled: Mapping[str, ClusterResult],
    *,
    foreign: Mapping[str, Mapping[bytes, ForeignFile]] = MappingProxyType({}),
) -> Plan:
    """Plan all clusters on the branch's tip, except those in ``settled``, which keep their results.

    The new plan may need objects that this run has not fetched, because Git had them when it began. Their
    blobs are fetched from the remote by id. A change whose blob the remote does not send is deferred.
    """
    files = volume.files(run.run_id)

    trees = None if tip is None else _cluster_trees(repository, run, tip)

    def tree(cluster: str) -> Iterable[TreeRow]:
        return () if trees is None else trees.rows(cluster)

    planner = Planner(run, files, tree, settled, foreign=foreign, pending=pending_deletions(volume, run))
    header = RowsHeader(identity=run.identity)
    draft = files.replan_draft
    write_rows(draft, header, planner.rows())
    is_missing = _missing_below(volume.objects_of(run))
    by_id = _fetch_missing(repository, filter(is_missing, read_rows(draft, PlanRow)))
    left: Counter[tuple[str, str]] = Counter()

    def complete() -> Iterator[PlanRow]:
        for row in read_rows(draft, PlanRow):
            if row.oid not in by_id and is_missing(row):
                left[row.path.partition(b"/")[0].decode(), row.change] += 1
            else:
                yield row

    write_rows(files.replan_rows, header, complete())
    clusters = tuple(
        _without(
            cluster, added=left[cluster.name, Change.ADDED], modified=left[cluster.name, Change.MODIFIED]
        )
        for cluster in planner.results
    )
    return Plan(tip, files.replan_rows, clusters, frozenset(by_id))


def _cluster_trees(repository: Repository, run: Run, tip: str) -> ClusterTrees:
    """Return the clusters at the tip. The next run reports a GIT_PATH that cannot be read."""
    try:
        return ClusterTrees(repository.trees, tip, run.git_path, run.intake_limits)
    except (NotADirectoryError, DamagedTree) as problem:
        message = MESSAGES[Operation.GIT_PUSH]
        error = f"GIT_PATH={run.git_path} is no longer a directory that git-sync can read"
        raise TryAgain(Operation.GIT_PUSH, message, error) from problem


def _missing_below(objects: Path) -> Callable[[PlanRow], bool]:
    """Return a predicate: whether a change needs an object that is not on the volume."""
    root = os.fsencode(objects)
    return lambda row: row.change != Change.DELETED and not os.path.lexists(os.path.join(root, row.path))


def _fetch_missing(repository: Repository, rows: Iterable[PlanRow]) -> set[str]:
    """Fetch the blobs of these rows, up to a limit, and return the ids of the blobs that are present."""
    wanted: set[str] = set()
    for row in rows:
        wanted.add(row.oid)
        if len(wanted) == _MOST_BLOBS:
            break
    if not wanted:
        return set()
    repository.fetch_blobs(wanted)
    return repository.blobs_among(wanted)


def _without(cluster: ClusterResult, *, added: int, modified: int) -> ClusterResult:
    """Return the cluster's result after this number of changes is deferred to the next run."""
    return cluster.model_copy(
        update={
            "files": cluster.files - added,
            "added": cluster.added - added,
            "modified": cluster.modified - modified,
            "changes_deferred": cluster.changes_deferred + added + modified,
        }
    )
