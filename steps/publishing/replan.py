"""What others have published since the run began, and planning again on top of it."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from steps.contracts import ClusterResult, RowsHeader, Run, State
from steps.core.changes import PlanRow, TreeRow
from steps.core.git_objects import Change
from steps.core.message import parse_trailers
from steps.core.operations import Operation
from steps.errors import TryAgain
from steps.planning.conflicts import below
from steps.planning.plan import Plan
from steps.planning.planner import Planner
from steps.workdir.files import read_document
from steps.workdir.rowfile import read_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from steps.clients.git.repository import Commit, Repository
    from steps.workdir.volume import Volume

_SHOWN_CONFLICTS = 20

# Blobs that one run asks the remote for, by id: what bounds the memory.
_MOST_BLOBS = 50_000

# How far back to look for what was published meanwhile.
_HISTORY_DEPTHS = (50, 1000)


def newer_by_state(volume: Volume, run: Run, clusters: Iterable[ClusterResult]) -> set[str]:
    """The clusters of which this volume knows a newer listing than the run's, published or found equal.

    Listings are ordered by the store's clock, which tells seconds; within one, a run that began later
    has listed later.
    """
    try:
        state = read_document(volume.state, State)
    except FileNotFoundError:
        return set()
    if state.identity != run.identity:
        return set()
    later = state.last_run.started_at > run.started_at
    newer = set()
    for cluster in clusters:
        ours, known = cluster.listed_at, state.listed.get(cluster.name)
        if ours and known and (ours < known or (ours == known and later)):
            newer.add(cluster.name)
    return newer


def published_by(commits: Iterable[Commit]) -> set[str]:
    """The clusters that runs of git-sync have processed in these commits."""
    return {name for commit in commits for name in parse_trailers(commit.message).listed}


def made_by(run: Run, commits: Iterable[Commit]) -> list[str]:
    """The ids of those of these commits that are the run's own."""
    return [commit.oid for commit in commits if parse_trailers(commit.message).run_id == run.run_id]


def history_since_base(repository: Repository, run: Run, tip: str | None) -> list[Commit]:
    """The commits since the run began, newest first.

    Where the commit that the run began with is not among them, the branch was set back or rewritten, or
    the server shows an older one: then what that commit was built upon is older than the run as well.
    """
    commits: list[Commit] = []
    if tip is None:
        return commits
    for depth in _HISTORY_DEPTHS:
        commits = repository.history(depth)
        if run.base in {commit.oid for commit in commits}:
            return repository.history_without(run.base)
        if len(commits) < depth:
            break
    if made_by(run, commits) or run.base is None or published_by(commits).isdisjoint(run.clusters):
        return commits
    if not repository.fetch_commit(run.base, _HISTORY_DEPTHS[-1]):
        # What is there may be older or newer than what we have: leave it, and do not call that success.
        unknown = "the server does not know the commit this run began with"
        raise TryAgain(Operation.GIT_PUSH, "Failed to push to repository", unknown)
    return repository.history_without(run.base)


def replan(
    repository: Repository, volume: Volume, run: Run, tip: str | None, settled: Mapping[str, ClusterResult]
) -> Plan:
    """Plan on the branch as it is now; what this run has no bytes for is taken by id, or left."""
    files = volume.files(run.run_id)

    def tree(cluster: str) -> Iterator[TreeRow]:
        if tip is None:
            return iter(())
        return below(run.git_path, repository.tree(tip, f"{run.git_path}{cluster}/"))

    planner = Planner(run, files, tree, settled)
    draft = files.replan_draft
    write_rows(draft, RowsHeader(identity=run.identity), planner.rows())
    objects = os.fsencode(volume.objects_of(run))

    def lacks(row: PlanRow) -> bool:
        return row.change != Change.DELETED and not os.path.lexists(os.path.join(objects, row.path))

    wanted: set[str] = set()
    for row in filter(lacks, read_rows(draft, PlanRow)):
        wanted.add(row.oid)
        if len(wanted) == _MOST_BLOBS:
            break
    by_id: set[str] = set()
    if wanted:
        repository.fetch_blobs(wanted)
        by_id = repository.blobs_among(wanted)
    left: Counter[tuple[str, str]] = Counter()

    def kept() -> Iterator[PlanRow]:
        for row in read_rows(draft, PlanRow):
            if row.oid not in by_id and lacks(row):
                left[row.path.partition(b"/")[0].decode(), row.change] += 1
            else:
                yield row

    write_rows(files.replan_rows, RowsHeader(identity=run.identity), kept())
    clusters = tuple(
        _without(
            cluster, added=left[cluster.name, Change.ADDED], modified=left[cluster.name, Change.MODIFIED]
        )
        for cluster in planner.results
    )
    return Plan(tip, files.replan_rows, clusters, frozenset(by_id))


def _without(cluster: ClusterResult, *, added: int, modified: int) -> ClusterResult:
    """The cluster's result when so many of its changes are left for the next run."""
    return cluster.model_copy(
        update={
            "files": cluster.files - added,
            "added": cluster.added - added,
            "modified": cluster.modified - modified,
            "left_for_next_run": cluster.left_for_next_run + added + modified,
        }
    )
