"""publish: commit the plan, verify the commit, push it, and return the result of the run."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import TYPE_CHECKING

from steps.clients.git.errors import HostRefusal
from steps.clients.git.repository import Repository
from steps.contracts import LastPush, Run, RunResult, StepWork, Verdict
from steps.core.changes import PlanRow
from steps.core.limits import GIT_NAMES
from steps.core.operations import Operation
from steps.errors import SyncError, TryAgain
from steps.kubernetes.change_summary import ChangeSummary
from steps.planning.branch_check import note_push
from steps.planning.conflicts import log_conflicts
from steps.planning.plan import Plan, checked_rows
from steps.publishing.commit import commit
from steps.publishing.earlier import made_by_commits
from steps.publishing.foreign import ForeignSearch
from steps.publishing.push import PushCount, log_moved_branch, push
from steps.publishing.refusals import Remembered
from steps.publishing.refused_deletions import log_refused_deletions
from steps.publishing.replan import (
    clusters_with_newer_listing,
    history_since_base,
    made_by,
    published_by,
    replan,
    settled_clusters,
)
from steps.publishing.selection import Published, not_selected
from steps.reporting.result import completed_result
from steps.runtime import retry
from steps.workdir.cache import Caches
from steps.workdir.files import read_document, write_document
from steps.workdir.mirror import apply_locally
from steps.workdir.pending import pending_deletions
from steps.workdir.rowfile import read_rows
from steps.workdir.state_file import read_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steps.publishing.summaries import Summaries
    from steps.runtime.settings.git import GitSettings
    from steps.runtime.settings.reading import Settings
    from steps.workdir.volume import RunFiles, Volume


def publish(settings: Settings, volume: Volume, run: Run, verdict: Verdict, pushes: PushCount) -> RunResult:
    """Publish the plan to the branch (in download-only mode to WORK_DIR), and write the result.

    A publish that is repeated after a kill at any instant makes the same commit. ``pushes`` also counts if
    publish fails.
    """
    started_at = datetime.now(UTC)
    files = volume.files(run.run_id)
    plan = Plan(run.base, files.plan_rows, verdict.clusters)
    if run.download_only or run.dry_run:
        log_refused_deletions(run, plan.clusters)
        mode = "a dry run" if run.dry_run else "download-only mode"
        published = Published(plan, plan)
        from steps.publishing.summaries import not_inspected

        changes = not_inspected(plan, f"{mode} reads no objects")
    else:
        published, changes = _publish_to_branch(settings, volume, run, verdict, pushes)
    if run.download_only and not run.dry_run:
        deque(checked_rows(plan), maxlen=0)  # all of them, before the first change
        apply_locally(volume.objects, volume.objects_of(run), lambda: read_rows(plan.rows, PlanRow))
    last_push = _last_push(run, published)
    if last_push is not None:
        note_push(volume, last_push)
    if not run.dry_run:
        _update_caches(volume, run, published)
        _update_pending(volume, run, published)
    result = completed_result(
        run,
        verdict,
        finished_at=datetime.now(UTC),
        clusters=published.made.clusters,
        commit=published.commit,
        last_push=last_push,
        push_attempts=pushes.attempts,
        changes=changes,
        refused_by_host=published.refused,
        publish_started_at=started_at,
        downloads=_downloads(files, run),
    )
    write_document(files.result, result)
    return result


def _downloads(files: RunFiles, run: Run) -> list[StepWork]:
    """Return when the download processes worked. The report needs it, the run does not."""
    found = []
    for name in run.clusters:
        with suppress(SyncError, OSError):
            found.append(read_document(files.work(name), StepWork))
    return found


def _last_push(run: Run, published: Published) -> LastPush | None:
    """Return the commit that later runs require; also the base, if a person approved to continue on it."""
    commit = published.commit or (run.base if run.replaces and not run.dry_run else None)
    if commit is None or run.branch is None:
        return None
    return LastPush(repository=run.repository, branch=run.branch, commit=commit)


def _publish_to_branch(
    settings: Settings, volume: Volume, run: Run, verdict: Verdict, pushes: PushCount
) -> tuple[Published, ChangeSummary]:
    """Commit and push; if another push came first, plan again on the branch's new tip, up to five times."""
    files = volume.files(run.run_id)
    detected = Plan(run.base, files.plan_rows, verdict.clusters)
    state = read_state(volume.state, identity=run.identity)
    foreign = ForeignSearch(run, files, state, settings.git.email)
    if detected.is_empty and not foreign.suspects(verdict.clusters):
        log_refused_deletions(run, detected.clusters)
        return Published(detected, detected), ChangeSummary()
    from steps.publishing.summaries import Summaries, not_inspected  # few runs change something

    newer = clusters_with_newer_listing(state, run, verdict.clusters, datetime.now(UTC))
    remembered = Remembered(run, state, files.selected_rows)
    with Repository(settings.git, volume.git_dir, volume.gitconfig) as repository:
        summaries = Summaries(repository, run, files)
        branch = _Branch(settings.git, volume, run, repository, remembered, pushes, summaries)
        for _ in retry.PUSHES.tries():
            tip = repository.fetch_tip()
            if tip == run.base and not newer:
                plan, settled = detected, settled_clusters(verdict.clusters, set())
                files.replan_verdict.unlink(missing_ok=True)  # an earlier attempt wrote it for another tip
            else:
                since = history_since_base(repository, run, tip)
                own = made_by(run, since)
                if own and (published := branch.pushed_earlier(detected, own)):
                    return published, summaries.stored_of(own[0]) or not_inspected(
                        published.made, "publish was repeated after it was killed"
                    )
                _require_last_push(repository, run, tip)
                others = [commit for commit in since if commit.oid not in own]
                settled = settled_clusters(verdict.clusters, newer | published_by(others))
                plan = replan(repository, volume, run, tip, settled)
                log_conflicts(repository, files, run, plan, since)
            if found := foreign.find(repository, plan):
                plan = replan(repository, volume, run, tip, settled, foreign=found)
            if plan is not detected:
                replanned = verdict.model_copy(update={"clusters": plan.clusters})
                write_document(files.replan_verdict, replanned)
            foreign.log(plan.clusters)
            log_refused_deletions(run, plan.clusters)
            if published := branch.publish(plan):
                return published, branch.summarize(published)
    raise TryAgain(
        Operation.GIT_PUSH,
        "Failed to push to repository",
        "the branch moved during every attempt",
    )


def _require_last_push(repository: Repository, run: Run, tip: str | None) -> None:
    """Raise TryAgain if the branch has lost the last pushed commit since discover checked it.

    The next run asks a person. A replica of the Git host that lags shows an older branch only for a while.
    """
    commit = run.required_commit
    if commit is None or (tip is not None and repository.contains(commit, run.base or commit)):
        return
    raise TryAgain(
        Operation.GIT_PUSH,
        "Failed to push to repository",
        f"branch {run.branch} has lost commit {commit} during the run",
    )


@dataclass(frozen=True)
class _Branch:
    """The branch of a run, and what is needed to push to it."""

    settings: GitSettings
    volume: Volume
    run: Run
    repository: Repository
    remembered: Remembered
    pushes: PushCount
    summaries: Summaries

    def publish(self, plan: Plan) -> Published | None:
        """Commit and push the plan; return None if another push came first."""
        wanted, refused = self.remembered.split_off(plan)
        if wanted.is_empty:
            return Published(plan, wanted, refused=refused)
        oid = commit(
            *(self.settings, self.volume, self.run, self.repository, wanted),
            described=self.summaries.described,
        )
        try:
            tip = push(self.repository, self.run, oid, wanted.tip, self.pushes)
        except HostRefusal as refusal:
            from steps.publishing.parts import PartialPush  # few runs need it

            parts = PartialPush(self.settings, self.volume, self.run, self.repository, self.pushes, wanted)
            if (published := parts.publish(refusal, self.remembered)) is None:
                return None
            return replace(published, planned=plan, refused=(*refused, *published.refused))
        if tip == oid:
            return Published(plan, wanted, oid, refused)
        log_moved_branch(self.run, tip)
        return None

    def pushed_earlier(self, detected: Plan, commits: Sequence[str]) -> Published | None:
        """Return the part of the plan that these commits published; None if others made them."""
        files = self.volume.files(self.run.run_id)
        plan = detected
        if files.replan_verdict.exists():
            clusters = read_document(files.replan_verdict, Verdict).clusters
            plan = replace(detected, rows=files.replan_rows, clusters=clusters)
        wanted, refused = self.remembered.split_off(plan)
        made = made_by_commits(self.repository, self.run, wanted, commits, files.published_rows)
        return Published(plan, made, commits[0], refused) if made else None

    def summarize(self, published: Published) -> ChangeSummary:
        """Store the new tip, and summarize what the commits changed."""
        if published.commit is not None:
            trees = self.repository.trees
            directory = trees.directory(published.commit, self.run.git_path)
            entries = list(islice(trees.entries(directory), GIT_NAMES))
            if len(entries) < GIT_NAMES:
                caches = Caches(self.volume, self.run.identity, self.run.policy.digest)
                caches.note_tip(published.commit, entries)
        return self.summaries.of(published)


def _update_caches(volume: Volume, run: Run, published: Published) -> None:
    """Make the accepted objects of each processed cluster its cache, without those that Git does not have."""
    caches, files = Caches(volume, run.identity, run.policy.digest), volume.files(run.run_id)
    waiting = {c.name: c.decision.refused for c in published.made.clusters if c.processed}
    if published.made.rows != published.planned.rows:
        missing = not_selected(published.planned, published.made)
        for cluster, rows in groupby(missing, key=lambda row: row.path.partition(b"/")[0].decode()):
            without = frozenset(row.path for row in rows)
            caches.update(cluster, files, without=without, refused=waiting.pop(cluster))
    for cluster, refused in waiting.items():
        caches.update(cluster, files, refused=refused)


def _update_pending(volume: Volume, run: Run, published: Published) -> None:
    """Record the deletions that wait for DELETE_GRACE."""
    if pending := pending_deletions(volume, run):
        for cluster in published.made.clusters:
            if cluster.processed:
                pending.update(cluster.name, volume.files(run.run_id))
