"""publish: commit the plan, verify the commit, push it, and return the result of the run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from steps.clients.git.repository import Repository
from steps.contracts import ClusterResult, Run, RunResult, Verdict
from steps.core.changes import PlanRow
from steps.core.operations import Operation
from steps.errors import TryAgain
from steps.kubernetes.change_summary import ChangeSummary, summarize
from steps.planning.conflicts import log_conflicts
from steps.planning.plan import Plan
from steps.publishing.commit import commit
from steps.publishing.inspection import inspect_changes
from steps.publishing.push import PushCount, push
from steps.publishing.replan import (
    clusters_with_newer_listing,
    history_since_base,
    made_by,
    published_by,
    replan,
    settled_clusters,
)
from steps.reporting.result import completed_result
from steps.runtime import logs, retry
from steps.workdir.cache import Caches
from steps.workdir.files import read_document, write_document
from steps.workdir.mirror import apply_locally
from steps.workdir.rowfile import read_rows

if TYPE_CHECKING:
    from steps.runtime.settings.reading import Settings
    from steps.workdir.volume import RunFiles, Volume


def publish(settings: Settings, volume: Volume, run: Run, verdict: Verdict, pushes: PushCount) -> RunResult:
    """Publish the plan to the branch (in download-only mode to WORK_DIR), and write the result.

    A publish that is repeated after a kill at any instant makes the same commit. ``pushes`` also counts if
    publish fails.
    """
    files = volume.files(run.run_id)
    if run.download_only or run.dry_run:
        published = _Published(verdict.clusters, summarize(read_rows(files.plan_rows, PlanRow), {}))
    else:
        published = _publish_to_branch(settings, volume, run, verdict, pushes)
    if run.download_only and not run.dry_run:
        apply_locally(volume.objects, volume.objects_of(run), lambda: read_rows(files.plan_rows, PlanRow))
    if not run.dry_run:
        caches = Caches(volume, run.identity)
        for cluster in published.clusters:
            if cluster.processed:
                caches.update(cluster.name, files)
    result = completed_result(
        run,
        verdict,
        finished_at=datetime.now(UTC),
        clusters=published.clusters,
        commit=published.commit,
        push_attempts=pushes.attempts,
        changes=published.changes,
    )
    write_document(files.result, result)
    return result


@dataclass(frozen=True)
class _Published:
    clusters: tuple[ClusterResult, ...]
    changes: ChangeSummary
    commit: str | None = None


def _publish_to_branch(
    settings: Settings, volume: Volume, run: Run, verdict: Verdict, pushes: PushCount
) -> _Published:
    """Commit and push; if another push came first, plan again on the branch's new tip, up to five times."""
    files = volume.files(run.run_id)
    detected = Plan(run.base, files.plan_rows, verdict.clusters)
    newer = clusters_with_newer_listing(volume, run, verdict.clusters)
    if detected.is_empty:
        return _nothing_to_commit(detected)
    with Repository(settings.git, volume.git_dir, volume.gitconfig) as repository:
        for _ in retry.PUSHES.tries():
            tip = repository.fetch_tip()
            if tip == run.base and not newer:
                plan = detected
                files.replan_verdict.unlink(missing_ok=True)  # an earlier attempt wrote it for another tip
            else:
                since = history_since_base(repository, run, tip)
                if own := made_by(run, since):
                    return _already_pushed(files, detected, own[0])
                settled = settled_clusters(verdict.clusters, newer | published_by(since))
                plan = replan(repository, volume, run, tip, settled)
                log_conflicts(repository, files, run, plan, since)
                replanned = verdict.model_copy(update={"clusters": plan.clusters})
                write_document(files.replan_verdict, replanned)
            if plan.is_empty:
                return _nothing_to_commit(plan)
            oid = commit(settings.git, volume, run, repository, plan)
            new_tip = push(repository, run, oid, tip, pushes)
            if new_tip == oid:
                return _pushed(volume, run, repository, plan, oid)
            _log_moved_branch(run, new_tip)
    raise TryAgain(
        Operation.GIT_PUSH,
        "Failed to push to repository",
        "the branch moved during every attempt",
    )


def _nothing_to_commit(plan: Plan) -> _Published:
    return _Published(plan.clusters, ChangeSummary())


def _already_pushed(files: RunFiles, detected: Plan, oid: str) -> _Published:
    """Describe the commit that an earlier attempt pushed: it makes the changes of the newest plan."""
    logs.info(Operation.GIT_PUSH, "The branch already contains this run's commit", commit=oid)
    rows, clusters = detected.rows, detected.clusters
    if files.replan_verdict.exists():
        rows, clusters = files.replan_rows, read_document(files.replan_verdict, Verdict).clusters
    return _Published(clusters, summarize(read_rows(rows, PlanRow), {}), oid)


def _pushed(volume: Volume, run: Run, repository: Repository, plan: Plan, oid: str) -> _Published:
    entries = repository.children(oid, run.git_path)
    Caches(volume, run.identity).note_tip(oid, entries)
    # On a new branch every file is new, and there are no old versions to compare with.
    inspected = inspect_changes(repository, run.git_path, oid) if plan.tip else {}
    return _Published(plan.clusters, summarize(read_rows(plan.rows, PlanRow), inspected), oid)


def _log_moved_branch(run: Run, tip: str | None) -> None:
    """Log that another push came first."""
    if tip is None:
        message = f"Branch {run.branch} no longer exists; planning again without it"
    else:
        message = f"Branch {run.branch} has moved; planning again on {tip[:12]}"
    logs.warning(Operation.GIT_PUSH, message, branch=run.branch, tip=tip)
