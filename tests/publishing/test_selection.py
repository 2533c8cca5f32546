"""Plans that make only some changes of another plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.contracts import ClusterResult, Status
from steps.core.changes import PlanRow
from steps.core.git_objects import Change
from steps.planning.plan import Plan
from steps.publishing.selection import Fate, needing_a_deletion, not_selected, select
from steps.workdir.rowfile import read_rows, write_rows
from steps.workdir.rows import RowsHeader

if TYPE_CHECKING:
    from pathlib import Path

A, M, D = Change.ADDED, Change.MODIFIED, Change.DELETED
ROWS = [
    PlanRow(b"east/a", A, "a" * 40, 1),
    PlanRow(b"east/b", M, "b" * 40, 1),
    PlanRow(b"east/c", D, "c" * 40, 0),
    PlanRow(b"west/a", A, "d" * 40, 1),
]
EAST = ClusterResult(
    name="east",
    status=Status.OK,
    files=10,
    added=1,
    modified=1,
    deleted=1,
    accepted=10,
    allowed_deletion="token",
)
WEST = ClusterResult(name="west", status=Status.OK, files=1, added=1, accepted=1)
FAILED = ClusterResult(name="zone", status=Status.FAILED, error="x")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    write_rows(tmp_path / "plan.rows", RowsHeader(identity="x"), ROWS)
    return Plan(tip="f" * 40, rows=tmp_path / "plan.rows", clusters=(EAST, WEST, FAILED))


def selected(plan: Plan, *fates: Fate) -> Plan:
    return select("x", plan, plan.rows.with_name("selected.rows"), fates)


def test_all_changes_selected_is_the_same_plan(plan: Plan) -> None:
    chosen = selected(plan, *[Fate.SELECTED] * 4)
    assert chosen.clusters == plan.clusters
    assert list(read_rows(chosen.rows, PlanRow)) == ROWS
    assert list(not_selected(plan, chosen)) == []


@pytest.mark.parametrize(
    ("fate", "east", "west"),
    [
        (
            Fate.DEFERRED,
            {"files": 10, "added": 0, "modified": 0, "deleted": 0, "accepted": 10, "changes_deferred": 3},
            {"files": 0, "added": 0, "accepted": 1, "changes_deferred": 1},
        ),
        (
            Fate.REFUSED,
            {"files": 10, "added": 0, "modified": 0, "deleted": 0, "accepted": 8, "refused_by_host": 3},
            {"files": 0, "added": 0, "accepted": 0, "refused_by_host": 1},
        ),
        (
            Fate.EARLIER,
            {"files": 10, "added": 0, "modified": 0, "deleted": 0, "accepted": 10},
            {"files": 1, "added": 0, "accepted": 1},
        ),
    ],
)
def test_changes_that_are_not_selected_are_counted_by_their_fate(
    fate: Fate, east: dict[str, int], west: dict[str, int], plan: Plan
) -> None:
    chosen = selected(plan, *[fate] * 4)
    assert chosen.clusters == (
        EAST.model_copy(update={**east, "allowed_deletion": None}),
        WEST.model_copy(update=west),
        FAILED,
    )
    assert chosen.is_empty
    assert list(not_selected(plan, chosen)) == ROWS


def test_approval_stays_with_the_deletions(plan: Plan) -> None:
    chosen = selected(plan, Fate.REFUSED, Fate.DEFERRED, Fate.SELECTED, Fate.SELECTED)
    east = chosen.clusters[0]
    assert east.allowed_deletion == "token"
    assert (east.files, east.deleted, east.refused_by_host, east.changes_deferred) == (9, 1, 1, 1)
    assert list(read_rows(chosen.rows, PlanRow)) == ROWS[2:]


def test_selection_of_a_selection_adds_up(plan: Plan) -> None:
    first = selected(plan, Fate.REFUSED, Fate.SELECTED, Fate.SELECTED, Fate.SELECTED)
    second = select("x", first, plan.rows.with_name("2.rows"), [Fate.REFUSED, Fate.SELECTED, Fate.DEFERRED])
    east, west, _ = second.clusters
    assert (east.refused_by_host, east.deleted, east.files, east.accepted) == (2, 1, 9, 8)
    assert (west.changes_deferred, west.files) == (1, 0)


def test_one_fate_is_needed_for_each_change(plan: Plan) -> None:
    with pytest.raises(ValueError, match="shorter"):
        selected(plan, Fate.SELECTED)


PATHS = st.lists(st.sampled_from(["a", "b", "a.x", "a-b"]), min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(PATHS, st.sampled_from(list(Change))))
def test_writes_in_the_place_of_deletions_are_found(changes: dict[str, Change]) -> None:
    rows = [PlanRow(path.encode(), change, "", 0) for path, change in sorted(changes.items())]

    def meet(path: str, other: str) -> bool:
        return path.startswith(f"{other}/") or other.startswith(f"{path}/")

    expected = [
        place
        for place, (path, change) in enumerate(sorted(changes.items()))
        if change != D and any(meet(path, other) for other, kind in changes.items() if kind == D)
    ]
    assert needing_a_deletion(rows) == expected
