"""detect: what is new, modified and deleted; here the guards refuse."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from steps import logs
from steps.contracts import RowsHeader, Run, Status, Verdict
from steps.core.guards import Ruling
from steps.core.keys import escaped
from steps.planning import Planner, baseline_tree
from steps.rowfile import write_rows
from steps.volume import write_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from steps.contracts import ClusterResult
    from steps.core.changes import PlanRow
    from steps.volume import Volume


def detect(volume: Volume, run: Run) -> Verdict:
    """Plan the run against its baselines, and write plan and verdict.

    A cluster without a manifest is failed, never empty. Refusals and failures are no errors here:
    publish pushes what is good, and alone returns the run's exit code.
    """
    files = volume.run(run.run_id)
    with logs.timed() as elapsed:
        planner = Planner(run, files, lambda cluster: baseline_tree(files, cluster))
        rows = planner.rows()
        if run.dry_run or logs.is_debug():
            rows = _told(rows, logs.info if run.dry_run else logs.debug)
        write_rows(files.plan, RowsHeader(identity=run.identity), rows)
        verdict = Verdict(run_id=run.run_id, clusters=tuple(planner.results))
        write_document(files.verdict, verdict)
    for result in verdict.clusters:
        _tell(run, result)
    processed = [result for result in verdict.clusters if result.processed]
    new, modified, deleted = (
        sum(getattr(result, count) for result in processed) for count in ("added", "modified", "deleted")
    )
    logs.info(
        "detect_changes",
        f"{new} new, {modified} modified, {deleted} deleted in {len(processed)} clusters",
        took=elapsed(),
        clusters=len(processed),
        new=new,
        modified=modified,
        deleted=deleted,
    )
    return verdict


_REASONS = {
    Ruling.REFUSED_MASS_DELETION: "more than MAX_DELETE_COUNT and MAX_DELETE_PERCENT at once",
    Ruling.REFUSED_VANISHED: "the bucket holds nothing of this cluster any more",
    Ruling.REFUSED_EMPTY_BUCKET: "the bucket holds no cluster at all: check MINIO_BUCKET and MINIO_PREFIX",
}


def _told(rows: Iterable[PlanRow], tell: Callable[..., None]) -> Iterator[PlanRow]:
    for row in rows:
        words = {"A": "new", "M": "modified", "D": "deleted"}[row.change]
        tell(
            "detect_changes",
            words,
            path=escaped(row.path.decode(errors="replace")),
            oid=row.oid,
            size=row.size,
        )
        yield row


def _tell(run: Run, result: ClusterResult) -> None:
    name = escaped(result.name)
    if result.status is Status.FAILED:
        logs.warning(
            "detect_changes",
            f"{name} is left as it is: its download failed",
            error=result.error,
            cluster=name,
        )
        return
    logs.info(
        "detect_changes",
        f"{name}: {result.added} new, {result.modified} modified, {result.deleted} deleted",
        cluster=name,
        files=result.files,
        new=result.added,
        modified=result.modified,
        deleted=result.deleted,
    )
    if result.quarantined:
        logs.warning(
            "detect_changes",
            f"{sum(result.quarantined.values())} keys of {name} are quarantined",
            cluster=name,
            reasons=result.quarantined,
            keys=result.quarantined_sample,
        )
    if result.allow_delete is None:
        return
    if any(allowance.startswith(f"{result.name}:") for allowance in run.allow_delete):
        logs.warning(
            "detect_changes",
            f"The leave given for {name} was for another set of deletions",
            cluster=name,
        )
    logs.error(
        "detect_changes",
        f"Refused to delete {result.deletions_refused} files of {name}",
        f"{_REASONS[result.ruling]}; they stay. If the loss is meant, allow exactly this one: "
        f"git-sync run --allow-delete {shlex.quote(result.allow_delete)}",
        cluster=name,
        ruling=result.ruling,
        deletions_refused=result.deletions_refused,
        allow_delete=result.allow_delete,
    )
