"""publish: make the plan a commit, prove it, push it; it alone returns the run's exit code."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from steps.clients.git.repository import Repository
from steps.contracts import (
    ClusterResult,
    Run,
    RunResult,
    Status,
    Verdict,
)
from steps.core.changes import PlanRow
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.errors import SyncError, TryAgain
from steps.kubernetes.change_summary import ChangeSummary, digest
from steps.planning.conflicts import log_conflicts
from steps.planning.plan import Plan
from steps.publishing.commit import NotThePlan, commit
from steps.publishing.inspection import inspect_changes
from steps.publishing.replan import (
    history_since_base,
    made_by,
    newer_by_state,
    published_by,
    replan,
)
from steps.runtime import logs
from steps.workdir.cache import Caches
from steps.workdir.files import read_document, write_document
from steps.workdir.mirror import apply_locally
from steps.workdir.rowfile import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steps.runtime.settings.reading import Settings
    from steps.workdir.volume import RunFiles, Volume

_TRIES = 5
_FIRST_PAUSE_SECONDS = 0.5


def publish(settings: Settings, volume: Volume, run: Run, verdict: Verdict) -> RunResult:
    """Bring the plan to the branch (in download-only mode: to WORK_DIR), and write the result.

    Done again, after a kill at any instant, it ends in the same commit.
    """
    files = volume.files(run.run_id)
    if run.download_only or run.dry_run:
        published = _Published(verdict.clusters, changes=digest(read_rows(files.plan_rows, PlanRow), {}))
    else:
        published = _Publication(settings, volume, run).publish(verdict)
    if run.download_only and not run.dry_run:
        apply_locally(volume.objects, volume.objects_of(run), lambda: read_rows(files.plan_rows, PlanRow))
    if not run.dry_run:
        caches = Caches(volume, run.identity)
        for cluster in published.clusters:
            if cluster.processed:
                caches.update(cluster.name, files)
    result = RunResult.of(
        run,
        verdict,
        finished_at=datetime.now(UTC),
        clusters=published.clusters,
        commit=published.commit,
        push_attempts=published.push_attempts,
        changes=published.changes,
    )
    write_document(files.result, result)
    return result


@dataclass(frozen=True)
class _Published:
    clusters: tuple[ClusterResult, ...]
    commit: str | None = None
    push_attempts: int = 0
    changes: ChangeSummary = field(default_factory=ChangeSummary)


class _Moved(Exception):
    """Somebody else pushed to the branch."""


@dataclass
class _Publication:
    settings: Settings
    volume: Volume
    run: Run
    push_attempts: int = field(default=0, init=False)

    @property
    def files(self) -> RunFiles:
        return self.volume.files(self.run.run_id)

    def publish(self, verdict: Verdict) -> _Published:
        """Commit and push, on a branch that may move under us any number of times but _TRIES."""
        clusters = verdict.clusters
        processed = [cluster for cluster in clusters if cluster.processed]
        newer_here = newer_by_state(self.volume, self.run, processed)
        planned = Plan(self.run.base, self.files.plan_rows, clusters)
        if planned.is_empty:
            return _Published(clusters)
        with Repository(self.settings.git, self.volume.git_dir, self.volume.gitconfig) as repository:
            for pause in _pauses():
                tip = repository.fetch_tip()
                plan = planned
                if newer_here or tip != self.run.base:
                    since = history_since_base(repository, self.run, tip)
                    if ours := made_by(self.run, since):
                        logs.info(
                            Operation.GIT_PUSH, "This run's commit is on the branch already", commit=ours[0]
                        )
                        made = self._made_before(planned)
                        changes = digest(read_rows(made.rows, PlanRow), {})
                        return _Published(made.clusters, ours[0], self.push_attempts, changes)
                    # A retried download may have brought clusters that detect knows as failed: when they
                    # were listed, compared with what others published, nobody has judged.
                    left = {Status.FAILED, Status.OVER_LIMIT}
                    settled = {c.name: c for c in clusters if c.status in left}
                    # Who has read an object first, no clock can tell, for runs take their time. But what
                    # is on the branch since we looked may be newer than what we have read.
                    superseded = newer_here | (published_by(since) & {cluster.name for cluster in processed})
                    for name in sorted(superseded):
                        logs.warning(
                            Operation.DETECT_CHANGES,
                            f"{printable(name)} is left out: another run has published it meanwhile",
                            cluster=printable(name),
                        )
                        settled[name] = ClusterResult(name=name, status=Status.SUPERSEDED)
                    plan = replan(repository, self.volume, self.run, tip, settled)
                    log_conflicts(repository, self.files, self.run, plan, since)
                    again = verdict.model_copy(update={"clusters": plan.clusters})
                    write_document(self.files.replan_verdict, again)
                else:  # what was planned again on another tip is not what will be pushed
                    self.files.replan_verdict.unlink(missing_ok=True)
                if plan.is_empty:
                    return _Published(plan.clusters)
                oid = self._commit(repository, plan)
                try:
                    self._push(repository, oid, tip)
                except _Moved:
                    logs.warning(
                        Operation.GIT_PUSH, "The branch has moved: planning again", branch=self.run.branch
                    )
                    time.sleep(pause)
                    continue
                return self._published(repository, plan, oid)
        raise self._failed(
            TryAgain(Operation.GIT_PUSH, "Failed to push to repository", "the branch keeps moving")
        )

    def _made_before(self, planned: Plan) -> Plan:
        """The plan of this run's commit, which an earlier try has pushed: the last that was made."""
        try:
            again = read_document(self.files.replan_verdict, Verdict)
        except FileNotFoundError:
            return planned
        return Plan(None, self.files.replan_rows, again.clusters)

    def _commit(self, repository: Repository, plan: Plan) -> str:
        try:
            return commit(self.settings.git, self.volume, self.run, repository, plan)
        except NotThePlan:
            # Something on this volume is not what it was: the next run is to believe nothing of it.
            self.volume.remove_caches()
            raise

    def _published(self, repository: Repository, plan: Plan, oid: str) -> _Published:
        entries = repository.children(oid, self.run.git_path)
        Caches(self.volume, self.run.identity).note_tip(oid, entries)
        # On a new branch everything is new, and there is nothing to compare it with.
        looked = inspect_changes(repository, self.run.git_path, oid) if plan.tip else {}
        changes = digest(read_rows(plan.rows, PlanRow), looked)
        return _Published(plan.clusters, oid, self.push_attempts, changes)

    def _failed(self, cause: SyncError) -> SyncError:
        cause.push_attempts = self.push_attempts
        return cause

    def _push(self, repository: Repository, oid: str, tip: str | None) -> None:
        """Push until the remote holds the commit. Raises _Moved if it holds somebody else's.

        What the push reports decides nothing: many a failed push has landed, and a server may say
        ok and drop the ref. The remote is looked at.
        """
        lied = TryAgain(
            Operation.GIT_PUSH, "Failed to push to repository", "the server said ok and kept nothing"
        )
        cause: SyncError = lied
        for pause in _pauses():
            self.push_attempts += 1
            with logs.timed() as elapsed:
                try:
                    repository.push(oid, tip)
                except SyncError as failed:
                    cause = failed
                else:
                    cause = lied
                now = repository.remote_tip()
            if now == oid:
                logs.info(
                    Operation.GIT_PUSH,
                    f"Pushed {oid[:12]} to {self.run.branch}",
                    took=elapsed(),
                    git_commit=oid,
                    branch=self.run.branch,
                    attempts=self.push_attempts,
                )
                return
            if now != tip:
                raise _Moved
            if not cause.transient:
                raise self._failed(cause)
            logs.warning(Operation.GIT_PUSH, "The push did not land: pushing again", error=cause.error)
            time.sleep(pause)
        raise self._failed(cause)


def _pauses() -> Iterator[float]:
    """Seconds to wait after each try: doubling, with jitter."""
    return (_FIRST_PAUSE_SECONDS * 2**n * random.uniform(0.5, 1.5) for n in range(_TRIES))  # noqa: S311 - no secret
