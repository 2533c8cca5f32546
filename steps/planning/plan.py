"""The plan as a value: what to change on which commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steps.core.changes import PlanRow
from steps.core.git_objects import Change
from steps.core.keys import Reason, impossible_segment, printable_path, rejection
from steps.core.message import Changes
from steps.core.operations import Operation
from steps.errors import FixConfiguration
from steps.workdir.rowfile import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from steps.contracts import ClusterResult


@dataclass(frozen=True)
class Plan:
    """What to change on ``tip``; ``by_id`` are blobs that the repository has and the volume lacks."""

    tip: str | None
    rows: Path
    clusters: tuple[ClusterResult, ...]
    by_id: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not any(vars(self.changes).values())

    @property
    def changes(self) -> Changes:
        return Changes(
            new=sum(cluster.added for cluster in self.clusters),
            modified=sum(cluster.modified for cluster in self.clusters),
            deleted=sum(cluster.deleted for cluster in self.clusters),
        )


def checked_rows(plan: Plan) -> Iterator[PlanRow]:
    """Yield the plan's rows. Raises FixConfiguration at a path that detect never plans.

    The plan is a file on a volume, where another process may have replaced it since.
    """
    clusters = {cluster.name.encode() for cluster in plan.clusters}
    for row in read_rows(plan.rows, PlanRow):
        cluster, separator, _ = row.path.partition(b"/")
        reason = _rejection(row) or ("" if separator and cluster in clusters else "not a cluster of the run")
        if reason:
            raise FixConfiguration(
                Operation.SETUP_WORKDIR,
                "Failed to read the working directory",
                f"{plan.rows} contains {printable_path(row.path)}, which no run writes ({reason}): another "
                "process has changed the volume",
                path=str(plan.rows),
            )
        yield row


def _rejection(row: PlanRow) -> Reason | None:
    """Return why the path must not be written. Others push files with any name, and git-sync deletes them."""
    if row.change != Change.DELETED:
        return rejection(row.path.decode(errors="surrogateescape"))
    return impossible_segment(row.path)
