"""publish: make the plan a commit, prove it, push it; it alone returns the run's exit code."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING

from steps import logs
from steps.clients.git import NEW, PushFailed, Repository
from steps.clients.local_tree import apply_locally
from steps.contracts import (
    CacheRow,
    ClusterResult,
    RowsHeader,
    Run,
    RunResult,
    State,
    Status,
    Verdict,
)
from steps.core import fast_import
from steps.core.changes import ManifestRow, PlanRow, TreeRow, applied
from steps.core.keys import escaped
from steps.core.merge import outer_join
from steps.core.message import Changes, ClusterLine, commit_message, parse_trailers
from steps.errors import SyncError, TryAgain
from steps.planning import Planner, baseline_tree
from steps.rowfile import read_rows, write_rows
from steps.volume import read_document, write_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from steps.clients.git import Commit
    from steps.settings import Settings
    from steps.volume import RunFiles, Volume

_TRIES = 5
_FIRST_PAUSE_SECONDS = 0.5
_CHUNK = 1 << 20
_SHOWN_CONFLICTS = 20

# How far back publish looks for what was published meanwhile before it plans on what it sees.
_HISTORY_DEPTHS = (1, 50, 1000)


def publish(settings: Settings, volume: Volume, run: Run, verdict: Verdict) -> RunResult:
    """Bring the plan to the branch (in download-only mode: to WORK_DIR), and write the result.

    Done again, after a kill at any instant, it ends in the same commit.
    """
    files = volume.run(run.run_id)
    published = _Published(verdict.clusters)
    if run.download_only and not run.dry_run:
        apply_locally(volume.objects, volume.objects_of(run), lambda: read_rows(files.plan, PlanRow))
    elif not run.dry_run:
        published = _Publication(settings, volume, run).publish(verdict.clusters)
    if not run.dry_run:
        _update_caches(volume, files, run, published.clusters)
    result = RunResult.of(
        run,
        finished_at=datetime.now(UTC),
        clusters=published.clusters,
        commit=published.commit,
        push_attempts=published.push_attempts,
    )
    write_document(files.result, result)
    return result


@dataclass(frozen=True)
class _Published:
    clusters: tuple[ClusterResult, ...]
    commit: str | None = None
    push_attempts: int = 0


@dataclass(frozen=True)
class _Plan:
    """What to change on ``tip``; ``by_id`` are blobs that the repository has and the volume lacks."""

    tip: str | None
    rows: Path
    clusters: tuple[ClusterResult, ...]
    by_id: frozenset[str] = frozenset()

    @property
    def changes(self) -> Changes:
        return Changes(
            new=sum(cluster.added for cluster in self.clusters),
            modified=sum(cluster.modified for cluster in self.clusters),
            deleted=sum(cluster.deleted for cluster in self.clusters),
        )


class _Moved(Exception):
    """Somebody else pushed to the branch."""


@dataclass
class _Publication:
    settings: Settings
    volume: Volume
    run: Run
    push_attempts: int = field(default=0, init=False)
    listed_at: dict[str, datetime] = field(default_factory=dict, init=False)

    @property
    def files(self) -> RunFiles:
        return self.volume.run(self.run.run_id)

    def publish(self, clusters: tuple[ClusterResult, ...]) -> _Published:
        """Commit and push, on a branch that may move under us any number of times but _TRIES."""
        self.listed_at = {c.name: c.listed_at for c in clusters if c.processed and c.listed_at}
        newer_here = self._superseded(self._listed_by_state())
        planned = _Plan(self.run.base, self.files.plan, clusters)
        if not any(vars(planned.changes).values()):
            return _Published(clusters)
        with Repository(self.settings, self.volume.git_dir, self.volume.gitconfig) as repository:
            for pause in _pauses():
                tip = repository.fetch_tip()
                plan = planned
                if newer_here or tip != self.run.base:
                    since = self._history_since_base(repository, tip)
                    ours = [c.oid for c in since if parse_trailers(c.message).run_id == self.run.run_id]
                    if ours:
                        logs.info("git_push", "This run's commit is on the branch already", commit=ours[0])
                        return _Published(clusters, ours[0], self.push_attempts)
                    superseded = newer_here | self._superseded(_listed_by_commits(since))
                    plan = self._plan_again(repository, tip, superseded)
                    self._tell_conflicts(repository, plan, since)
                if not any(vars(plan.changes).values()):
                    return _Published(plan.clusters)
                commit = self._commit(repository, plan)
                try:
                    self._push(repository, commit, tip)
                except _Moved:
                    logs.warning("git_push", "The branch has moved: planning again", branch=self.run.branch)
                    time.sleep(pause)
                    continue
                return _Published(plan.clusters, commit, self.push_attempts)
        raise TryAgain("git_push", "Failed to push to repository", "the branch keeps moving")

    # -- what others published meanwhile ------------------------------------------------------

    def _listed_by_state(self) -> Mapping[str, datetime]:
        try:
            state = read_document(self.volume.state, State)
        except FileNotFoundError:
            return {}
        return state.listed if state.identity == self.run.identity else {}

    def _superseded(self, listed: Mapping[str, datetime]) -> frozenset[str]:
        """The clusters of which somebody published a newer listing than ours."""
        ours = self.listed_at
        return frozenset(name for name, at in listed.items() if name in ours and ours[name] < at)

    def _history_since_base(self, repository: Repository, tip: str | None) -> list[Commit]:
        """The commits since the run began, newest first; of a rewritten branch what can be seen.

        It ends early where every cluster of the run is accounted for: the newest mention counts.
        """
        commits: list[Commit] = []
        if tip is None:
            return commits
        wanted = set(self.run.clusters)
        for depth in _HISTORY_DEPTHS:
            commits = repository.history(depth)
            oids = [commit.oid for commit in commits]
            if self.run.base in oids:
                return commits[: oids.index(self.run.base)]
            if len(commits) < depth or wanted <= _listed_by_commits(commits).keys():
                break
        return commits

    def _plan_again(self, repository: Repository, tip: str | None, superseded: frozenset[str]) -> _Plan:
        """Plan on the branch as it is now; what this run has no bytes for is taken by id, or left."""

        def tree(cluster: str) -> Iterator[TreeRow]:
            if tip is None:
                return iter(())
            return _below(self.run.git_path, repository.tree(tip, f"{self.run.git_path}{cluster}/"))

        planner = Planner(self.run, self.files, tree, superseded)
        draft = self.files.root / "plan-again.draft"
        write_rows(draft, RowsHeader(identity=self.run.identity), planner.rows())
        objects = os.fsencode(self.volume.objects_of(self.run))
        lacking = {
            row.path: row
            for row in read_rows(draft, PlanRow)
            if row.change != "D" and not os.path.lexists(os.path.join(objects, row.path))
        }
        by_id = repository.fetch_blobs({row.oid for row in lacking.values()}) if lacking else set()
        left = {path: row for path, row in lacking.items() if row.oid not in by_id}
        rows = self.files.root / "plan-again"
        kept = (row for row in read_rows(draft, PlanRow) if row.path not in left)
        write_rows(rows, RowsHeader(identity=self.run.identity), kept)
        clusters = tuple(_without(cluster, left.values()) for cluster in planner.results)
        return _Plan(tip, rows, clusters, frozenset(by_id))

    def _tell_conflicts(self, repository: Repository, plan: _Plan, since: Iterable[Commit]) -> None:
        """Say which edits of other people lose to the bucket."""
        if plan.tip is None or all(parse_trailers(commit.message).run_id for commit in since):
            return
        before = chain.from_iterable(baseline_tree(self.files, name) for name in self.run.clusters)
        now = _below(self.run.git_path, repository.tree(plan.tip, self.run.git_path))
        edited = {(a or b).path for a, b in outer_join(before, now) if a != b}  # type: ignore[union-attr]
        lost = [row.path for row in read_rows(plan.rows, PlanRow) if row.path in edited]
        for path in lost[:_SHOWN_CONFLICTS]:
            shown = escaped(self.run.git_path + path.decode(errors="replace"))
            logs.error(
                "git_commit",
                "Git conflict detected",
                f"merge conflict in {shown}",
                resolution="the bucket's content wins",
                conflicts=len(lost),
            )

    # -- commit and push ----------------------------------------------------------------------

    def _commit(self, repository: Repository, plan: _Plan) -> str:
        """Write the commit, and prove that its tree is what the plan says, to the last entry."""
        message = _message(self.run, plan)
        with logs.timed() as elapsed:
            commit = repository.fast_import(self._commands(plan, message))
            prefix = self.run.git_path.encode()
            changes = (row._replace(path=prefix + row.path) for row in read_rows(plan.rows, PlanRow))
            expected = applied(repository.tree(plan.tip) if plan.tip else (), changes)
            for wanted, got in outer_join(expected, repository.tree(commit)):
                if wanted != got:
                    where = escaped((wanted or got).path.decode(errors="replace"))  # type: ignore[union-attr]
                    raise TryAgain(
                        "git_commit",
                        "Failed to commit",
                        f"the commit is not the plan at {where}: the volume's bytes have changed",
                    )
        changed = plan.changes
        logs.info(
            "git_commit",
            f"Committed {commit[:12]}",
            took=elapsed(),
            git_commit=commit,
            new=changed.new,
            modified=changed.modified,
            deleted=changed.deleted,
        )
        return commit

    def _commands(self, plan: _Plan, message: str) -> Iterator[bytes]:
        prefix = self.run.git_path.encode()
        objects = os.fsencode(self.volume.objects_of(self.run))
        yield fast_import.commit(
            ref=NEW,
            name=self.settings.git_username,
            email=self.settings.git_email,
            at=self.run.started_at,
            message=message,
            parent=plan.tip,
        )
        for row in read_rows(plan.rows, PlanRow):
            if row.change == "D":
                yield fast_import.delete(prefix + row.path)
        for row in read_rows(plan.rows, PlanRow):
            if row.change != "D" and row.oid in plan.by_id:
                yield fast_import.write_blob(prefix + row.path, row.oid)
            elif row.change != "D":
                yield fast_import.write_inline(prefix + row.path, row.size)
                yield from _exactly(os.path.join(objects, row.path), row.size)
                yield fast_import.END_OF_DATA
        yield fast_import.DONE

    def _push(self, repository: Repository, commit: str, tip: str | None) -> None:
        """Push until the remote holds the commit. Raises _Moved if it holds somebody else's.

        What the push reports decides nothing: many a failed push has landed, and a server may say
        ok and drop the ref. The remote is looked at.
        """
        lied = TryAgain("git_push", "Failed to push to repository", "the server said ok and kept nothing")
        cause: SyncError = lied
        for pause in _pauses():
            self.push_attempts += 1
            with logs.timed() as elapsed:
                try:
                    repository.push(commit, tip)
                except PushFailed as failed:
                    cause = failed.cause
                else:
                    cause = lied
                now = repository.remote_tip()
            if now == commit:
                logs.info(
                    "git_push",
                    f"Pushed {commit[:12]} to {self.run.branch}",
                    took=elapsed(),
                    git_commit=commit,
                    branch=self.run.branch,
                    attempts=self.push_attempts,
                )
                return
            if now != tip:
                raise _Moved
            if not cause.transient:
                raise cause
            logs.warning("git_push", "The push did not land: pushing again", error=cause.error)
            time.sleep(pause)
        raise cause


def _pauses() -> Iterator[float]:
    """Seconds to wait after each try: doubling, with jitter."""
    return (_FIRST_PAUSE_SECONDS * 2**n * random.uniform(0.5, 1.5) for n in range(_TRIES))  # noqa: S311 - no secret


def _listed_by_commits(commits: Iterable[Commit]) -> dict[str, datetime]:
    """The newest listing of each cluster that these commits (newest first) speak of."""
    listed: dict[str, datetime] = {}
    for commit in commits:
        for name, at in parse_trailers(commit.message).listed.items():
            listed[name] = max(at, listed.get(name, at))
    return listed


def _below(git_path: str, rows: Iterable[TreeRow]) -> Iterator[TreeRow]:
    cut = len(git_path.encode())
    return (row._replace(path=row.path[cut:]) for row in rows)


def _without(cluster: ClusterResult, left: Iterable[PlanRow]) -> ClusterResult:
    """The cluster's result when these of its changes are left for the next run."""
    mine = [row for row in left if row.path.startswith(f"{cluster.name}/".encode())]
    added = sum(row.change == "A" for row in mine)
    return cluster.model_copy(
        update={
            "files": cluster.files - added,
            "added": cluster.added - added,
            "modified": cluster.modified - (len(mine) - added),
            "left_for_next_run": len(mine),
        }
    )


def _message(run: Run, plan: _Plan) -> str:
    processed = [cluster for cluster in plan.clusters if cluster.processed]
    return commit_message(
        started_at=run.started_at,
        clusters=[ClusterLine(c.name, c.files, c.listed_at) for c in processed if c.listed_at],
        changes=plan.changes,
        run_id=run.run_id,
        allowed=[(c.name, c.allowed) for c in processed if c.allowed],
        refused=[(c.name, c.ruling) for c in processed if c.status is Status.REFUSED],
        failed=[c.name for c in plan.clusters if c.status is Status.FAILED],
    )


def _exactly(path: bytes, size: int) -> Iterator[bytes]:
    """Yield the file's bytes; TryAgain unless there are just ``size`` of them."""
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            size -= len(chunk)
            if size < 0:
                break
            yield chunk
    if size != 0:
        where = escaped(path.decode(errors="replace"))
        raise TryAgain(
            "git_commit",
            "Failed to commit",
            f"{where} has changed on the volume since it was downloaded",
        )


def _update_caches(volume: Volume, files: RunFiles, run: Run, clusters: Iterable[ClusterResult]) -> None:
    """Remember which object has which content, for the clusters that this run has proven."""
    for cluster in clusters:
        if cluster.processed:
            rows = read_rows(files.manifest(cluster.name), ManifestRow)
            known = (CacheRow(row.path, row.etag, row.size, row.oid) for row in rows if row.accepted)
            write_rows(volume.cache(cluster.name), RowsHeader(identity=run.identity), known)
