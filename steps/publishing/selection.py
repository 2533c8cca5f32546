"""Plans that make only some changes of another plan, with the counts that belong to them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from steps.core.changes import Directories, PlanRow
from steps.core.git_objects import Change
from steps.core.sorted_join import outer_join
from steps.workdir.rowfile import read_rows, write_rows
from steps.workdir.rows import RowsHeader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from steps.contracts import ClusterResult, RefusedObject
    from steps.planning.plan import Plan


@dataclass(frozen=True)
class Published:
    """The result of publishing a plan: ``made`` has the changes that are now in Git.

    ``commit`` is the newest commit of the run, None if it made none. ``refused`` are the changes that the Git
    host refuses. All other changes are deferred.
    """

    planned: Plan
    made: Plan
    commit: str | None = None
    refused: tuple[RefusedObject, ...] = ()


class Fate(IntEnum):
    """What happens to a change of a plan."""

    DEFERRED = 0  # to the next run
    SELECTED = 1
    EARLIER = 2  # an earlier commit has made it
    REFUSED = 3  # by the Git host


def select(identity: str, plan: Plan, target: Path, fates: Iterable[int]) -> Plan:
    """Write the selected rows of the plan to ``target``, and return the plan of these rows.

    ``fates`` has one Fate for each row of the plan. The clusters' results count the selected changes; their
    ``files`` are those that Git has after the selected and the earlier ones.
    """
    counts: Counter[tuple[str, Change, int]] = Counter()

    def selected() -> Iterator[PlanRow]:
        for row, fate in zip(read_rows(plan.rows, PlanRow), fates, strict=True):
            counts[row.path.partition(b"/")[0].decode(), row.change, fate] += 1
            if fate == Fate.SELECTED:
                yield row

    write_rows(target, RowsHeader(identity=identity), selected())
    clusters = tuple(_recounted(cluster, counts) for cluster in plan.clusters)
    return replace(plan, rows=target, clusters=clusters)


def _recounted(cluster: ClusterResult, counts: Mapping[tuple[str, Change, int], int]) -> ClusterResult:
    if not cluster.processed:
        return cluster

    def count(change: Change, *fates: Fate) -> int:
        return sum(counts[cluster.name, change, fate] for fate in fates)

    added, modified, deleted = (count(change, Fate.SELECTED) for change in Change)
    left = (Fate.DEFERRED, Fate.REFUSED)
    refused = {change: count(change, Fate.REFUSED) for change in Change}
    return cluster.model_copy(
        update={
            "files": cluster.files - count(Change.ADDED, *left) + count(Change.DELETED, *left),
            "added": added,
            "modified": modified,
            "deleted": deleted,
            "accepted": cluster.accepted - refused[Change.ADDED] - refused[Change.MODIFIED],
            "allowed_deletion": cluster.allowed_deletion if deleted else None,
            "changes_deferred": cluster.changes_deferred + sum(count(c, Fate.DEFERRED) for c in Change),
            "refused_by_host": cluster.refused_by_host + sum(refused.values()),
        }
    )


def needing_a_deletion(rows: Iterable[PlanRow]) -> list[int]:
    """Return the places of the rows that write a file where the plan deletes a directory, or the reverse."""
    places: set[int] = set()
    directories: Directories[tuple[int, bool]] = Directories()
    for place, row in enumerate(rows):
        deletes = row.change == Change.DELETED
        for _, (above, above_deletes) in directories.of(row.path, (place, deletes)):
            if deletes != above_deletes:
                places.add(above if deletes else place)
    return sorted(places)


def not_selected(plan: Plan, selected: Plan) -> Iterator[PlanRow]:
    """Yield the rows of the plan that the selected plan lacks."""
    for row, kept in outer_join(read_rows(plan.rows, PlanRow), read_rows(selected.rows, PlanRow)):
        if kept is None and row is not None:
            yield row
