"""The result of a completed run: its exit codes, and the causes of a code other than 0. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from steps.contracts import (
    ClusterResult,
    LastPush,
    Outcome,
    RefusedObject,
    Run,
    RunResult,
    Status,
    StepWork,
    Verdict,
)
from steps.core.approvals import approval_command
from steps.core.deletion_guard import REFUSALS
from steps.core.exit_codes import Exit, most_severe
from steps.core.keys import printable
from steps.core.limits import REFUSED_CHANGES
from steps.core.wording import SAMPLE_SIZE, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from steps.core.approvals import Origin
    from steps.kubernetes.change_summary import ChangeSummary

_OUTCOMES = {
    Exit.OK: Outcome.SUCCESS,
    Exit.PARTIAL: Outcome.PARTIAL,
    Exit.REFUSED: Outcome.REFUSED,
}


def completed_result(  # noqa: PLR0913 - one argument per fact that publish knows
    run: Run,
    verdict: Verdict,
    *,
    finished_at: datetime,
    clusters: tuple[ClusterResult, ...],
    commit: str | None,
    last_push: LastPush | None,
    push_attempts: int,
    changes: ChangeSummary,
    refused_by_host: tuple[RefusedObject, ...] = (),
    publish_started_at: datetime,
    downloads: Sequence[StepWork],
) -> RunResult:
    """Return the result of a run whose last step ended."""
    codes = exit_codes(
        clusters,
        clusters_skipped=run.clusters_skipped + run.clusters_only_in_git_skipped,
        dry_run=run.dry_run,
    )
    code = most_severe(codes)
    return RunResult(
        run_id=run.run_id,
        identity=run.identity,
        started_at=run.started_at,
        finished_at=finished_at,
        outcome=_OUTCOMES.get(code, Outcome.FAILED),
        exit_code=code,
        exit_codes=codes,
        mode=run.mode,
        dry_run=run.dry_run,
        filtered_by_options=run.filtered_by_options,
        filter_options=run.filter_options,
        argo=run.argo,
        branch=run.branch,
        commit=commit,
        last_push=last_push,
        push_attempts=push_attempts,
        clusters_added=tuple(c.name for c in clusters if c.files and not c.files_before),
        clusters_removed=tuple(c.name for c in clusters if c.files_before and not c.files),
        clusters=tuple(sorted(clusters, key=lambda cluster: cluster.name)),
        clusters_skipped=run.clusters_skipped,
        clusters_skipped_sample=run.clusters_skipped_sample,
        clusters_only_in_git_skipped=run.clusters_only_in_git_skipped,
        clusters_only_in_git_sample=run.clusters_only_in_git_sample,
        quarantined=run.quarantined,
        quarantined_sample=run.quarantined_sample,
        refused_by_host=limited(refused_by_host),
        secrets=run.policy.secrets,
        changes=changes,
        step_seconds=_step_seconds(run, verdict, finished_at),
        work_seconds={
            "discover": _seconds(run.started_at, run.finished_at),
            "download": _busy_seconds(downloads),
            "detect": _seconds(verdict.started_at, verdict.finished_at),
            "publish": _seconds(publish_started_at, finished_at),
        },
    )


def limited(refused: tuple[RefusedObject, ...]) -> tuple[RefusedObject, ...]:
    """Limit the number of refused objects, and of messages, that the result and the state contain."""
    first = sorted(refused, key=lambda one: one.path)[:REFUSED_CHANGES]
    without_message = (one.model_copy(update={"host_message": ""}) for one in first[SAMPLE_SIZE:])
    return (*first[:SAMPLE_SIZE], *without_message)


def exit_codes(
    clusters: tuple[ClusterResult, ...], *, clusters_skipped: int = 0, dry_run: bool = False
) -> tuple[Exit, ...]:
    """Return every exit code that applies, ascending; only OK if no other applies.

    A dry run neither loses nor refuses anything, so PARTIAL and REFUSED do not apply to it.
    """
    codes: set[Exit] = set()
    failed = [cluster for cluster in clusters if cluster.status is Status.FAILED]
    if failed and len(failed) == len(clusters):
        codes |= {Exit.TRANSIENT if cluster.transient else Exit.CONFIGURATION for cluster in failed}
    elif failed:
        codes.add(Exit.PARTIAL)
    if any(c.changes_deferred or c.refused_by_host or c.secrets_unreadable for c in clusters):
        codes.add(Exit.PARTIAL)
    refused = {Status.REFUSED, Status.OVER_LIMIT}
    if clusters_skipped or any(cluster.status in refused for cluster in clusters):
        codes.add(Exit.REFUSED)
    if dry_run:
        codes -= {Exit.PARTIAL, Exit.REFUSED}
    return tuple(sorted(codes or {Exit.OK}))


def cause(result: RunResult) -> str:
    """Why a run did not exit 0, in one line with one part per cluster; "" if there is no cause."""
    if result.error:
        return result.error
    causes = [part for cluster in result.clusters for part in _causes(cluster, result.origin)]
    if result.refused_by_host:
        first = result.refused_by_host[0]
        count = plural(sum(cluster.refused_by_host for cluster in result.clusters), "change")
        causes.append(f"{count} refused by the Git host, first {printable(first.path)}: {first.host_message}")
    if skipped := result.clusters_only_in_git_skipped:
        causes.insert(0, f"{plural(skipped, 'cluster')} only in Git skipped: over MAX_CLUSTERS")
    if result.clusters_skipped:
        causes.insert(0, f"{plural(result.clusters_skipped, 'new cluster')} skipped: over MAX_CLUSTERS")
    return "; ".join(causes)


def _causes(cluster: ClusterResult, origin: Origin) -> Iterator[str]:
    name = printable(cluster.name)
    if cluster.status is Status.FAILED:
        yield f"{name}: {cluster.error}"
    if cluster.status is Status.OVER_LIMIT:
        yield f"{name} skipped: {cluster.error}"
    if approval := cluster.suggested_approval:
        option = f"--allow-delete={shlex.quote(approval)}"
        how = approval_command([approval], origin) if origin.argo or origin.options else option
        refused = f"{plural(cluster.deletions_refused, 'deletion')} refused: {REFUSALS[cluster.decision]}"
        yield f"{name}: {refused} (to approve: {how})"
    elif cluster.decision.refused:
        yield f"{name}: {REFUSALS[cluster.decision]}"
    if cluster.secrets_unreadable:
        refused = plural(cluster.secrets_unreadable, "file")
        yield f"{name}: {refused} may contain a Secret and cannot be read, so Git does not have them"
    if cluster.changes_deferred:
        changes = plural(cluster.changes_deferred, "change")
        if first := next(iter(cluster.unavailable_sample), ""):  # nor will it until a person acts
            yield f"{name}: {changes} not published; the store does not return {first}"
        else:
            yield f"{name}: {changes} deferred to the next run"


def _step_seconds(run: Run, verdict: Verdict, finished_at: datetime) -> dict[str, float]:
    """The duration of each step, measured from end to end: waiting for the step's pod is included."""
    ends = {
        "discover": run.finished_at,
        "download": verdict.started_at,  # detect starts when the last download ends
        "detect": verdict.finished_at,
        "publish": finished_at,
    }
    starts = (run.started_at, *ends.values())
    return {step: _seconds(start, end) for (step, end), start in zip(ends.items(), starts, strict=False)}


def _busy_seconds(works: Sequence[StepWork]) -> float:
    """Return for how long at least one of the processes worked."""
    busy, until = 0.0, None
    for work in sorted(works, key=lambda work: work.started_at):
        start = work.started_at if until is None else max(work.started_at, until)
        busy += _seconds(start, work.finished_at)
        until = work.finished_at if until is None else max(until, work.finished_at)
    return busy


def _seconds(start: datetime, end: datetime) -> float:
    """The time between two instants; 0 if the clocks of two machines contradict each other."""
    return max(0.0, (end - start).total_seconds())
