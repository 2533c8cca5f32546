"""detect: find what is new, modified and deleted. The deletion guard decides here; publish logs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from steps.contracts import ClusterResult, Run, Status, Verdict
from steps.core.keys import printable, printable_path
from steps.core.operations import Operation
from steps.core.wording import plural
from steps.planning.planner import Planner
from steps.runtime import logs
from steps.workdir.files import write_document
from steps.workdir.pending import pending_deletions
from steps.workdir.rowfile import write_rows
from steps.workdir.rows import RowsHeader

if TYPE_CHECKING:
    from steps.core.changes import PlanRow
    from steps.workdir.volume import Volume

# Logs one path of the plan: the change in a word, the path, and data.
_LogPath = Callable[..., None]


def detect(volume: Volume, run: Run) -> Verdict:
    """Plan the run against its baselines, and write plan and verdict.

    A cluster without a manifest is failed, never empty. Refused deletions and failed clusters are not
    errors here: publish pushes every other change, and only publish returns the run's exit code.
    """
    files = volume.files(run.run_id)
    started_at = datetime.now(UTC)
    with logs.timed() as elapsed:
        log_path = _path_logger(run)
        planner = Planner(
            run,
            files,
            tree=None,
            settled={},
            on_refused_deletion=_refusal_logger(log_path),
            pending=pending_deletions(volume, run),
        )
        write_rows(files.plan_rows, RowsHeader(identity=run.identity), _logged(planner.rows(), log_path))
        verdict = Verdict(
            run_id=run.run_id,
            started_at=started_at,
            finished_at=datetime.now(UTC),
            clusters=tuple(planner.results),
        )
        write_document(files.verdict, verdict)
    for cluster in verdict.clusters:
        _log_cluster(cluster)
    _log_totals(run, verdict, elapsed())
    return verdict


def _path_logger(run: Run) -> _LogPath | None:
    """Return how to log each path: a dry run prints its plan; otherwise only LOG_LEVEL=debug does."""
    level = logs.info if run.dry_run else logs.debug if logs.is_debug() else None
    if level is None:
        return None

    def log_path(change: str, path: bytes, **data: Any) -> None:
        shown = printable_path(path)
        what = "deletion refused" if change == "refused" else change
        level(Operation.DETECT_CHANGES, f"{what} {shown}", change=change, path=shown, **data)

    return log_path


def _logged(rows: Iterable[PlanRow], log_path: _LogPath | None) -> Iterator[PlanRow]:
    for row in rows:
        if log_path is not None:
            log_path(row.change.word, row.path, oid=row.oid, size=row.size)
        yield row


def _refusal_logger(log_path: _LogPath | None) -> Callable[[bytes], None] | None:
    return None if log_path is None else lambda path: log_path("refused", path)


def _log_cluster(cluster: ClusterResult) -> None:
    name = printable(cluster.name)
    if cluster.status is Status.FAILED:
        logs.warning(
            Operation.DETECT_CHANGES,
            f"{name} skipped: its download failed; its files in Git stay unchanged",
            error=cluster.error,
            cluster=name,
        )
        return
    if cluster.status is Status.OVER_LIMIT:
        logs.error(
            Operation.DETECT_CHANGES,
            f"{name} skipped: over its limits",
            f"{cluster.error}. Its files in Git stay unchanged; if the growth is intended, "
            "raise that setting for one run",
            cluster=name,
            over_limit=cluster.over_limit,
        )
        return
    if cluster.status is Status.KEPT:
        logs.info(
            Operation.DETECT_CHANGES,
            f"{name} kept: the bucket no longer contains it, and CLUSTER_VANISHED is keep",
            cluster=name,
            files=cluster.files,
        )
        return
    logs.info(
        Operation.DETECT_CHANGES,
        f"{name}: {cluster.added} new, {cluster.modified} modified, {cluster.deleted} deleted",
        cluster=name,
        files=cluster.files,
        new=cluster.added,
        modified=cluster.modified,
        deleted=cluster.deleted,
    )
    _log_missing(name, cluster)
    _log_policy(name, cluster)
    if cluster.quarantined:
        logs.warning(
            Operation.DETECT_CHANGES,
            f"{name}: {plural(sum(cluster.quarantined.values()), 'key')} quarantined",
            cluster=name,
            reasons=cluster.quarantined,
            keys=cluster.quarantined_sample,
        )


def _log_policy(name: str, cluster: ClusterResult) -> None:
    """Log what SECRETS, VOLATILE_FIELDS and the filters do with files in Git."""
    if cluster.removed_by_policy:
        files = plural(cluster.removed_by_policy, "file")
        logs.info(
            Operation.DETECT_CHANGES,
            f"{name}: {files} removed by SECRETS or VOLATILE_FIELDS: the bucket still has the objects",
            cluster=name,
            files=cluster.removed_by_policy,
        )
    if cluster.excluded_in_git:
        matching = "file in Git matches" if cluster.excluded_in_git == 1 else "files in Git match"
        stays = "stays as it is" if cluster.excluded_in_git == 1 else "stay as they are"
        logs.info(
            Operation.DETECT_CHANGES,
            f"{name}: {cluster.excluded_in_git:,} {matching} EXCLUDE or NAMESPACES and {stays}; "
            "to remove, delete in a clone and push",
            cluster=name,
            files=cluster.excluded_in_git,
            paths=cluster.excluded_in_git_sample,
        )


def _log_missing(name: str, cluster: ClusterResult) -> None:
    """Log the deletions that wait, and the namespaces that disappeared."""
    if cluster.deletions_pending:
        logs.info(
            Operation.DETECT_CHANGES,
            f"{name}: {plural(cluster.deletions_pending, 'deletion')} pending: DELETE_GRACE is not over",
            cluster=name,
            paths=[pending.path for pending in cluster.deletions_pending_sample],
            since=min(pending.since for pending in cluster.deletions_pending_sample),
        )
    for lost in cluster.vanished_namespaces_sample:
        level = logs.warning if lost.deleted else logs.info
        level(
            Operation.DETECT_CHANGES,
            f"{name}: namespace {lost.name} disappeared: {plural(lost.files, 'file')} {lost.fate}",
            cluster=name,
            namespace=lost.name,
            files=lost.files,
        )


def _log_totals(run: Run, verdict: Verdict, took: float) -> None:
    processed = [cluster for cluster in verdict.clusters if cluster.processed]
    if not run.selection.is_whole_cluster and not any(c.accepted or c.deletions_refused for c in processed):
        logs.warning(Operation.DETECT_CHANGES, "NAMESPACES and EXCLUDE exclude every object of every cluster")
    if named := sum(cluster.secret_paths for cluster in processed):
        logs.warning(
            Operation.DETECT_CHANGES,
            "Secrets are stored in clear text",
            error=f"{plural(named, 'file')} with a path that names Secrets, and any Secret in other files; "
            "set SECRETS to redact, exclude or keep",
            files=named,
        )
    new = sum(cluster.added for cluster in processed)
    modified = sum(cluster.modified for cluster in processed)
    deleted = sum(cluster.deleted for cluster in processed)
    logs.info(
        Operation.DETECT_CHANGES,
        f"{new} new, {modified} modified, {deleted} deleted in {plural(len(processed), 'cluster')}",
        took=took,
        clusters=len(processed),
        new=new,
        modified=modified,
        deleted=deleted,
    )
