"""The exit codes of a run and the causes that its log names."""

from __future__ import annotations

from typing import Any

import pytest

from steps.contracts import ClusterResult, Outcome, Status
from steps.core.deletion_guard import Decision
from steps.core.exit_codes import Exit
from steps.reporting.result import cause, exit_codes, limited
from tests.support.results import refused_object, result


def cluster(name: str = "east", status: Status = Status.OK, **fields: Any) -> ClusterResult:
    return ClusterResult(name=name, status=status, **fields)


OK = cluster("ok")
TRANSIENT = cluster("transient", Status.FAILED, transient=True, error="503")
PERMANENT = cluster("permanent", Status.FAILED, error="403")
REFUSED = cluster(
    "refused",
    Status.REFUSED,
    decision=Decision.REFUSED_MASS_DELETION,
    deletions_refused=2,
    allow_delete="refused:0123",
)
OVER_LIMIT = cluster("over", Status.OVER_LIMIT, error="too much")
SUPERSEDED = cluster("superseded", Status.SUPERSEDED)
DEFERRED = cluster("deferred", changes_deferred=1)
REFUSED_BY_HOST = cluster("rules", refused_by_host=2)


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [
        ((), (Exit.OK,)),
        ((OK, SUPERSEDED), (Exit.OK,)),
        ((OK, TRANSIENT), (Exit.PARTIAL,)),
        ((OK, PERMANENT), (Exit.PARTIAL,)),
        ((TRANSIENT,), (Exit.TRANSIENT,)),
        ((PERMANENT,), (Exit.CONFIGURATION,)),
        ((TRANSIENT, PERMANENT), (Exit.TRANSIENT, Exit.CONFIGURATION)),
        ((REFUSED,), (Exit.REFUSED,)),
        ((OVER_LIMIT, OK), (Exit.REFUSED,)),
        ((OK, DEFERRED), (Exit.PARTIAL,)),
        ((OK, REFUSED_BY_HOST), (Exit.PARTIAL,)),
        ((REFUSED, PERMANENT, OK), (Exit.PARTIAL, Exit.REFUSED)),
    ],
)
def test_exit_codes_lists_every_code_that_applies(
    clusters: tuple[ClusterResult, ...], expected: tuple[Exit, ...]
) -> None:
    assert exit_codes(clusters) == expected


def test_exit_codes_is_refused_when_max_clusters_skips_clusters() -> None:
    assert exit_codes((OK,), clusters_skipped=1) == (Exit.REFUSED,)


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [
        ((REFUSED, TRANSIENT, DEFERRED), (Exit.OK,)),
        ((TRANSIENT,), (Exit.TRANSIENT,)),
        ((PERMANENT,), (Exit.CONFIGURATION,)),
    ],
)
def test_exit_codes_of_a_dry_run_is_neither_partial_nor_refused(
    clusters: tuple[ClusterResult, ...], expected: tuple[Exit, ...]
) -> None:
    assert exit_codes(clusters, clusters_skipped=1, dry_run=True) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ""),
        ({"clusters": (OK, SUPERSEDED)}, ""),
        ({"error": "no route", "clusters": (REFUSED,)}, "no route"),
        ({"clusters_skipped": 1}, "1 new cluster skipped: over MAX_CLUSTERS"),
        (
            {"clusters_skipped": 1200, "clusters": (TRANSIENT,)},
            "1,200 new clusters skipped: over MAX_CLUSTERS; transient: 503",
        ),
        ({"clusters": (OVER_LIMIT,)}, "over skipped: too much"),
        ({"clusters": (DEFERRED,)}, "deferred: 1 change deferred to the next run"),
        (
            {"clusters": (DEFERRED.model_copy(update={"unavailable_sample": ("p/a: AccessDenied",)}),)},
            "deferred: 1 change not published; the store does not return p/a: AccessDenied",
        ),
        (
            {
                "clusters": (REFUSED_BY_HOST,),
                "refused_by_host": (refused_object("rules/a\n"), refused_object("rules/b")),
            },
            r"2 changes refused by the Git host, first rules/a\n: a token",
        ),
        (
            {"clusters": (REFUSED,)},
            (
                "refused: 2 deletions refused: more than MAX_DELETE_COUNT and MAX_DELETE_PERCENT allow "
                "(to approve: --allow-delete=refused:0123)"
            ),
        ),
        (
            {"clusters": (REFUSED.model_copy(update={"decision": Decision.REFUSED_EMPTY_BUCKET}),)},
            "refused: the bucket contains no cluster; check MINIO_BUCKET and MINIO_PREFIX",
        ),
        ({"clusters": (cluster("a\n\x1b", Status.FAILED, error="x"),)}, r"a\n\x1b: x"),
    ],
)
def test_cause_names_each_problem_in_one_line(fields: dict[str, Any], expected: str) -> None:
    assert cause(result(outcome=Outcome.FAILED, **fields)) == expected


def test_result_limits_the_refused_changes_and_their_messages() -> None:
    shown = limited(tuple(refused_object(f"east/{number:04}") for number in reversed(range(1500))))
    assert [one.path for one in shown] == [f"east/{number:04}" for number in range(1000)]
    assert [bool(one.host_message) for one in shown] == [True] * 20 + [False] * 980
