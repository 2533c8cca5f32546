"""The plan as a value: the sum of the changes of its clusters."""

from __future__ import annotations

from pathlib import Path

import pytest

from steps.contracts import ClusterResult, Status
from steps.core.message import Changes
from steps.planning.plan import Plan


def plan(*clusters: ClusterResult) -> Plan:
    return Plan(tip=None, rows=Path("plan.rows"), clusters=clusters)


def cluster(**counts: int) -> ClusterResult:
    return ClusterResult(name="east", status=Status.OK).model_copy(update=counts)


def test_plan_sums_the_changes_of_its_clusters() -> None:
    planned = plan(cluster(added=1, modified=2, deleted=3), cluster(added=10))
    assert planned.changes == Changes(new=11, modified=2, deleted=3)


@pytest.mark.parametrize("count", ["added", "modified", "deleted"])
def test_plan_with_any_change_is_not_empty(count: str) -> None:
    assert not plan(cluster(), cluster(**{count: 1})).is_empty


def test_plan_without_changes_is_empty() -> None:
    assert plan().is_empty
    assert plan(cluster(files=5, accepted=5)).is_empty
