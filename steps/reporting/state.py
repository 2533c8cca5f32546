"""How a run changes the state. Pure: a function of the state so far and the run's result."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from steps.contracts import (
    ClearSecrets,
    ClusterResult,
    ClusterState,
    LastSuccess,
    RefusedObject,
    RunResult,
    State,
    Status,
)
from steps.core.clock import is_ahead, is_before
from steps.core.counters import Counters
from steps.core.exit_codes import Exit
from steps.core.keys import Reason
from steps.core.operations import Operation
from steps.kubernetes.categories import Category
from steps.kubernetes.secret_filter import SecretsMode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


# Git may have a file of an object with these reasons: its key is one that git-sync writes.
_KEEP_FILES = {Reason.TOO_LARGE, Reason.PATH_CONFLICT}


def state_after(old: State | None, result: RunResult, now: datetime) -> State:
    """Return the state after the run; ``old`` is None before the first run.

    Neither has instants ahead of ``now``: see ``believable_result`` and ``believable_state``.

    A state describes one sync: one bucket, repository and branch. A run of another sync replaces what is
    known (last success, listings, clusters) only if it published something. A run that failed because of a
    mistyped setting keeps it. The counters belong to the volume: they continue and never fall.

    A result can arrive late (after the result of a newer run) or repeatedly: it is counted once, and it
    never replaces newer facts. A run that options filter says nothing about the installation: it has its own
    record, and changes neither the last run, nor the last success, nor the consecutive failures.
    """
    known = None if is_other_sync(old, result) else old
    is_same_sync = known is None or known.identity == result.identity
    is_late = old is not None and any(result.started_at < run.started_at for run in old.runs)
    is_repeated = old is not None and result.run_id in old.counters.counted_runs
    listed = known.listed if known else {}
    clusters = known.clusters if known else {}
    refused_by_host = known.refused_by_host if known else ()
    last_push, lost_branch = (known.last_push, known.lost_branch) if known else (None, None)
    clear_secrets = known.clear_secrets if known else None
    if is_same_sync:
        listed = _listed(listed, result, now)
        if not is_repeated:
            clusters = _clusters(clusters, result, is_late=is_late)
        if not is_late:
            refused_by_host = _refused_by_host(refused_by_host, result)
            last_push = result.last_push or last_push
            lost_branch = result.lost_branch or (None if result.clusters else lost_branch)
            clear_secrets = _clear_secrets(clear_secrets, result)
    return State(
        identity=known.identity if known else result.identity,
        last_run=_newest(result, old.last_run if old else None, is_replaced=not result.filtered_by_options),
        last_filtered_run=_newest(
            result, old.last_filtered_run if old else None, is_replaced=result.filtered_by_options
        ),
        last_success=_last_success(known, result),
        consecutive_failures=_consecutive_failures(old, result, is_counted=not (is_late or is_repeated)),
        listed=listed,
        clusters=clusters,
        refused_by_host=refused_by_host,
        last_push=last_push,
        lost_branch=lost_branch,
        clear_secrets=clear_secrets,
        counters=_counters(old, result),
    )


def _clear_secrets(before: ClearSecrets | None, result: RunResult) -> ClearSecrets | None:
    """Return since when Git contains Secrets in clear text, as far as the summaries of changes say it."""
    if result.secrets in {SecretsMode.EXCLUDE, SecretsMode.REDACT}:
        keeps_old = any(
            cluster.excluded_in_git or not _KEEP_FILES.isdisjoint(cluster.quarantined)
            for cluster in result.clusters
        )
        is_clean = result.exit_code == Exit.OK and not result.filtered_by_options and not keeps_old
        return None if is_clean else before
    if before is None and result.commit and Category.SECRET in result.changes.security_categories:
        return ClearSecrets(commit=result.commit, at=result.finished_at)
    return before


def _newest(result: RunResult, before: RunResult | None, *, is_replaced: bool) -> RunResult | None:
    is_newer = before is None or result.started_at >= before.started_at
    return result if is_replaced and is_newer else before


def believable_result(result: RunResult, now: datetime) -> RunResult:
    """Return the result with no instant ahead of ``now``; the duration of the run stays the same."""
    return _ending_by(now, result) if is_ahead(max(result.started_at, result.finished_at), now) else result


def believable_state(state: State, result: RunResult, now: datetime) -> State:
    """Return the state with no instant of a run ahead of ``now``.

    A run in the state ended before the next run started, whose ``result`` is believable. ``listed`` has
    instants of the S3 server, which are compared only with its own.
    """
    newest = min(result.started_at, now)

    def bounded(at: datetime | None) -> datetime | None:
        return newest if at and is_ahead(at, now) else at

    def corrected(run: RunResult | None) -> RunResult | None:
        return _ending_by(newest, run) if run and believable_result(run, now) is not run else run

    success = state.last_success
    clusters = {
        name: cluster.model_copy(
            update={
                "last_success_at": bounded(cluster.last_success_at),
                "newest_object_at": _unless_ahead(cluster.newest_object_at, now),
            }
        )
        for name, cluster in state.clusters.items()
    }
    refused = (one.model_copy(update={"since": bounded(one.since)}) for one in state.refused_by_host)
    return state.model_copy(
        update={
            "last_run": corrected(state.last_run),
            "last_filtered_run": corrected(state.last_filtered_run),
            "last_success": success and success.model_copy(update={"at": bounded(success.at)}),
            "clusters": clusters,
            "refused_by_host": tuple(refused),
        }
    )


def _ending_by(newest: datetime, result: RunResult) -> RunResult:
    finished_at = min(result.finished_at, newest)
    started_at = min(result.started_at, finished_at - timedelta(seconds=result.duration_seconds))
    return result.model_copy(update={"started_at": started_at, "finished_at": finished_at})


def _unless_ahead(at: datetime | None, now: datetime) -> datetime | None:
    return None if at is None or is_ahead(at, now) else at


def is_other_sync(old: State | None, result: RunResult) -> bool:
    """Whether the state is of another bucket or branch, and this run replaces what is known."""
    published = result.exit_code in {Exit.OK, Exit.PARTIAL}
    is_other = old is not None and old.identity != result.identity
    return is_other and published and not result.filtered_by_options


def _last_success(known: State | None, result: RunResult) -> LastSuccess | None:
    before = known.last_success if known else None
    is_superseded = any(cluster.status is Status.SUPERSEDED for cluster in result.clusters)
    if result.exit_code != Exit.OK or result.filtered_by_options or is_superseded:
        return before
    if before is not None and before.at >= result.finished_at:
        return before
    return LastSuccess(run_id=result.run_id, at=result.finished_at)


def _consecutive_failures(old: State | None, result: RunResult, *, is_counted: bool) -> int:
    before = old.consecutive_failures if old else 0
    if not is_counted or result.filtered_by_options:
        return before
    return before + 1 if result.exit_code != Exit.OK else 0


def _counters(old: State | None, result: RunResult) -> Counters:
    counters = old.counters if old else Counters()
    return counters.with_run(
        result.run_id,
        duration_seconds=result.duration_seconds,
        failed=result.exit_code != Exit.OK,
        files_processed=sum(cluster.accepted for cluster in result.processed),
        bytes_downloaded=sum(cluster.fetched_bytes for cluster in result.clusters),
        objects_rewritten=sum(cluster.rewritten for cluster in result.clusters),
        objects_kept_exactly=sum(cluster.kept_exactly for cluster in result.clusters),
        bytes_cut=sum(cluster.cut_bytes for cluster in result.clusters),
        push_attempts=result.push_attempts,
        push_failed=result.operation == Operation.GIT_PUSH,
    )


def _listed(before: Mapping[str, datetime], result: RunResult, now: datetime) -> dict[str, datetime]:
    listed = dict(before)
    for cluster in result.processed:
        if (ours := cluster.listed_at) is None:
            continue
        # Both are instants of the S3 server, whose clock may be ahead of this one.
        if not is_before(ours, listed.get(cluster.name, ours), max(ours, now)):
            listed[cluster.name] = ours
    return listed


def _refused_by_host(before: tuple[RefusedObject, ...], result: RunResult) -> tuple[RefusedObject, ...]:
    """Replace the refused changes of the clusters that the run processed.

    A run that options filter may not have planned the other changes of a cluster, so it keeps them. Any other
    run forgets the clusters that it did not find.
    """
    planned = {cluster.name for cluster in result.processed}
    found = {cluster.name for cluster in result.clusters}
    refused = {one.path for one in result.refused_by_host}
    kept = (
        one
        for one in before
        if one.path not in refused
        and (
            result.filtered_by_options
            or not result.clusters
            or (one.cluster in found and one.cluster not in planned)
        )
    )
    return tuple(sorted((*kept, *result.refused_by_host), key=lambda one: one.path))


def _clusters(
    before: Mapping[str, ClusterState], result: RunResult, *, is_late: bool
) -> dict[str, ClusterState]:
    """Add the run to each cluster; forget clusters that are neither in the bucket nor in Git.

    A run that options filter sees only a part of each cluster and of the bucket, so it forgets nothing.
    """
    after = dict(before)
    for cluster in result.clusters:
        known = after.get(cluster.name, ClusterState())
        if cluster.processed:
            after[cluster.name] = _processed(known, cluster, result, is_late=is_late)
        elif cluster.over_limit is not None and not is_late:
            after[cluster.name] = known.model_copy(update={"over_limit": True})
    if not result.clusters or result.filtered_by_options or is_late:
        return after
    present = {cluster.name for cluster in result.clusters}
    return {name: cluster for name, cluster in after.items() if name in present}


def _processed(
    known: ClusterState, cluster: ClusterResult, result: RunResult, *, is_late: bool
) -> ClusterState:
    update: dict[str, object] = {
        "added": known.added + cluster.added,
        "modified": known.modified + cluster.modified,
        "deleted": known.deleted + cluster.deleted,
        "secrets": known.secrets + cluster.secrets,
    }
    is_kept = cluster.status is Status.KEPT
    if not is_late:
        update |= {"files": cluster.files, "over_limit": cluster.over_limit is not None}
    if not is_late and not result.filtered_by_options:
        update |= {
            "quarantined": sum(cluster.quarantined.values()),
            "secrets_unreadable": cluster.secrets_unreadable,
            "secret_paths": cluster.secret_paths,
            "deletions_refused": cluster.deletions_refused,
            "deletions_pending": cluster.deletions_pending,
            "refused_by_host": cluster.refused_by_host,
            "foreign": tuple(file for file in cluster.foreign if not file.removed),
            "missing": not (cluster.accepted or cluster.omitted or cluster.secrets_unreadable or is_kept)
            and cluster.files_before > len(cluster.foreign),
            "kept": is_kept,
            # No alert about the age of a cluster that is known to be gone.
            "newest_object_at": None if is_kept else cluster.newest_object_at or known.newest_object_at,
        }
        is_complete = not (cluster.changes_deferred or cluster.refused_by_host or cluster.secrets_unreadable)
        if cluster.status in {Status.OK, Status.KEPT} and is_complete:
            update["last_success_at"] = result.finished_at
    return known.model_copy(update=update)
