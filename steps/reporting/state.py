"""How a run changes the state: a pure function of the state so far and the run's result."""

from __future__ import annotations

from steps.contracts import ClusterState, LastSuccess, RunResult, State, Status
from steps.core.counters import Counters
from steps.core.exit_codes import Exit
from steps.core.operations import Operation


def advanced(old: State | None, result: RunResult) -> State:
    """Add the run to the state.

    What is known of a bucket and branch (the last success, the listings, the clusters) is not carried
    over to another; but a run that achieved nothing there, by a mistyped setting, must not forget it
    either. The counters go on whatever happens: they are the volume's, and may never fall.
    """
    moved = is_other_sync(old, result)
    known = None if moved else old
    ours = known is None or known.identity == result.identity
    listed = dict(known.listed) if known else {}
    last_success = known.last_success if known else None
    for cluster in result.processed:
        if cluster.listed_at and ours:
            listed[cluster.name] = max(cluster.listed_at, listed.get(cluster.name, cluster.listed_at))
    superseded = any(cluster.status is Status.SUPERSEDED for cluster in result.clusters)
    if result.exit_code == Exit.OK and not result.narrowed and not superseded:
        success = LastSuccess(run_id=result.run_id, at=result.finished_at)
        # An old run may be reported late, or again.
        last_success = max(filter(None, (last_success, success)), key=lambda known: known.at)
    late = old is not None and old.last_run.started_at > result.started_at
    counters = old.counters if old else Counters()
    again = result.run_id in counters.counted_runs
    in_a_row = old.consecutive_failures if old else 0
    if not late and not again and not result.narrowed:
        in_a_row = in_a_row + 1 if result.exit_code != Exit.OK else 0
    clusters = known.clusters if known else {}
    if ours and not again:
        clusters = _clusters(clusters, result, late=late)
    return State(
        identity=known.identity if known else result.identity,
        last_run=old.last_run if old and late else result,
        last_success=last_success,
        consecutive_failures=in_a_row,
        listed=listed,
        clusters=clusters,
        counters=counters.with_run(
            result.run_id,
            duration_seconds=result.duration_seconds,
            failed=result.exit_code != Exit.OK,
            files_processed=sum(cluster.accepted for cluster in result.processed),
            bytes_downloaded=sum(cluster.fetched_bytes for cluster in result.clusters),
            push_attempts=result.push_attempts,
            push_failed=result.operation == Operation.GIT_PUSH,
        ),
    )


def is_other_sync(old: State | None, result: RunResult) -> bool:
    """Whether this run makes the state that of another bucket or branch."""
    achieved = result.exit_code in {Exit.OK, Exit.PARTIAL}
    return old is not None and old.identity != result.identity and achieved


def _clusters(known: dict[str, ClusterState], result: RunResult, *, late: bool) -> dict[str, ClusterState]:
    """Add the run to what is known of each cluster; forget those that neither bucket nor Git holds."""
    clusters = dict(known)
    if not late:
        for cluster in result.clusters:
            if cluster.processed or cluster.over_limit:
                before = clusters.get(cluster.name, ClusterState())
                over_limit = cluster.over_limit is not None
                clusters[cluster.name] = before.model_copy(update={"over_limit": over_limit})
    for cluster in result.processed:
        before = clusters.get(cluster.name, ClusterState())
        update: dict[str, object] = {
            "added": before.added + cluster.added,
            "modified": before.modified + cluster.modified,
            "deleted": before.deleted + cluster.deleted,
        }
        if not late:
            update["files"] = cluster.files
        if not late and not result.narrowed:  # which has seen a part only
            update |= {
                "quarantined": sum(cluster.quarantined.values()),
                "deletions_refused": cluster.deletions_refused,
                "missing": cluster.accepted == 0 and cluster.files_before > 0,
                "newest_object_at": cluster.newest_object_at or before.newest_object_at,
            }
            if cluster.status is Status.OK and not cluster.left_for_next_run:
                update["last_success_at"] = result.finished_at
        clusters[cluster.name] = before.model_copy(update=update)
    if result.clusters and not result.narrowed and not late:
        there = {cluster.name for cluster in result.clusters}
        clusters = {name: cluster for name, cluster in clusters.items() if name in there}
    return clusters
