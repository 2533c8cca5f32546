"""detect: what is new, modified and deleted; here the guards refuse."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from steps.contracts import RowsHeader, Run, Status, Verdict
from steps.core.changes import ManifestRow
from steps.core.deletion_guard import Decision, is_approved
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.core.sorted_join import outer_join
from steps.planning.planner import Planner, baseline_tree
from steps.runtime import logs
from steps.workdir.files import write_document
from steps.workdir.rowfile import read_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from steps.contracts import ClusterResult
    from steps.core.changes import PlanRow
    from steps.workdir.volume import RunFiles, Volume


def detect(volume: Volume, run: Run) -> Verdict:
    """Plan the run against its baselines, and write plan and verdict.

    A cluster without a manifest is failed, never empty. Refusals and failures are no errors here:
    publish pushes what is good, and alone returns the run's exit code.
    """
    files = volume.files(run.run_id)
    started_at = datetime.now(UTC)
    with logs.timed() as elapsed:
        planner = Planner(run, files, tree=None, settled={})
        rows = planner.rows()
        tell = _path_logger(run)
        if tell is not None:
            rows = _logged(rows, tell)
        write_rows(files.plan_rows, RowsHeader(identity=run.identity), rows)
        verdict = Verdict(
            run_id=run.run_id,
            started_at=started_at,
            finished_at=datetime.now(UTC),
            clusters=tuple(planner.results),
        )
        write_document(files.verdict, verdict)
    for result in verdict.clusters:
        _tell(result)
        if result.allow_delete is not None:
            _log_refusal(run, files, result, result.allow_delete, tell)
    _log_approvals(run, verdict)
    processed = [result for result in verdict.clusters if result.processed]
    new, modified, deleted = (
        sum(getattr(result, count) for result in processed) for count in ("added", "modified", "deleted")
    )
    if not run.selection.is_whole_cluster and not any(r.accepted or r.deletions_refused for r in processed):
        logs.warning(Operation.DETECT_CHANGES, "NAMESPACES and EXCLUDE leave no object of any cluster")
    logs.info(
        Operation.DETECT_CHANGES,
        f"{new} new, {modified} modified, {deleted} deleted in {len(processed)} clusters",
        took=elapsed(),
        clusters=len(processed),
        new=new,
        modified=modified,
        deleted=deleted,
    )
    return verdict


_SAMPLE = 20
_REASONS = {
    Decision.REFUSED_MASS_DELETION: "more than MAX_DELETE_COUNT and MAX_DELETE_PERCENT at once",
    Decision.REFUSED_VANISHED: "the bucket holds nothing of this cluster any more",
    Decision.REFUSED_EMPTY_BUCKET: "the bucket holds no cluster at all: check MINIO_BUCKET and MINIO_PREFIX",
}


Tell = Callable[..., None]


def _path_logger(run: Run) -> Tell | None:
    """How each single path is told: a dry run prints its plan, else it is for those who debug."""
    if run.dry_run:
        return logs.info
    return logs.debug if logs.is_debug() else None


def _logged(rows: Iterable[PlanRow], tell: Tell) -> Iterator[PlanRow]:
    for row in rows:
        change = row.change.word
        path = printable(row.path.decode(errors="replace"))
        tell(
            Operation.DETECT_CHANGES, f"{change} {path}", change=change, path=path, oid=row.oid, size=row.size
        )
        yield row


def _tell(result: ClusterResult) -> None:
    name = printable(result.name)
    if result.status is Status.FAILED:
        logs.warning(
            Operation.DETECT_CHANGES,
            f"{name} is left as it is: its download failed",
            error=result.error,
            cluster=name,
        )
        return
    if result.status is Status.OVER_LIMIT:
        logs.error(
            Operation.DETECT_CHANGES,
            f"{name} skipped: over its limits",
            f"{result.error}. Git keeps what it has; if the growth is intended, "
            "raise that setting for one run",
            cluster=name,
            over_limit=result.over_limit,
        )
        return
    logs.info(
        Operation.DETECT_CHANGES,
        f"{name}: {result.added} new, {result.modified} modified, {result.deleted} deleted",
        cluster=name,
        files=result.files,
        new=result.added,
        modified=result.modified,
        deleted=result.deleted,
    )
    if result.quarantined:
        logs.warning(
            Operation.DETECT_CHANGES,
            f"{sum(result.quarantined.values())} keys of {name} are quarantined",
            cluster=name,
            reasons=result.quarantined,
            keys=result.quarantined_sample,
        )


def _log_refusal(run: Run, files: RunFiles, result: ClusterResult, approval: str, tell: Tell | None) -> None:
    """Say what is refused, why, and how a person allows it."""
    name = printable(result.name)
    if tell is not None:
        for path in _refused(run, files, result.name):
            tell(Operation.DETECT_CHANGES, f"deletion refused {path}", change="refused", path=path)
    logs.error(
        Operation.DETECT_CHANGES,
        f"Refused to delete {result.deletions_refused} files of {name}",
        f"{_REASONS[result.decision]}; they stay. If the loss is meant, allow exactly this one: "
        f"git-sync run --allow-delete {shlex.quote(approval)}",
        cluster=name,
        decision=result.decision,
        deletions_refused=result.deletions_refused,
        allow_delete=approval,
        paths=list(islice(_refused(run, files, result.name), _SAMPLE)),
    )


def _refused(run: Run, files: RunFiles, cluster: str) -> Iterator[str]:
    manifest = read_rows(files.manifest(cluster), ManifestRow)
    for held, listed in outer_join(baseline_tree(files, cluster), manifest):
        if held is not None and listed is None and run.selection.has_path(held.path):
            yield printable(held.path.decode(errors="replace"))


def _log_approvals(run: Run, verdict: Verdict) -> None:
    """Log the approvals that match nothing, and one command that approves all refused deletions."""
    used = [(result.name, result.allowed_deletion) for result in verdict.clusters if result.allowed_deletion]
    for given in sorted(set(run.allow_delete)):
        if not any(is_approved(name, token, (given,)) for name, token in used):
            logs.warning(
                Operation.DETECT_CHANGES,
                f"--allow-delete {printable(given)} matches no refused deletion",
                allow_delete=printable(given),
            )
    refused = [result.allow_delete for result in verdict.clusters if result.allow_delete is not None]
    if len(refused) > 1:
        options = " ".join(f"--allow-delete {shlex.quote(approval)}" for approval in refused)
        logs.warning(
            Operation.DETECT_CHANGES, f"To allow all of these losses at once: git-sync run {options}"
        )
