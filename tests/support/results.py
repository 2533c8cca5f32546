"""Results of runs, and states, for the tests of what shows them."""

from __future__ import annotations

from datetime import UTC, datetime

from steps.contracts import (
    ClusterResult,
    LastSuccess,
    Mode,
    Outcome,
    RefusedObject,
    RunResult,
    State,
    Status,
)
from steps.core.counters import Counters
from steps.core.deletion_guard import Decision
from steps.core.git_objects import Change
from steps.kubernetes.categories import Category
from steps.kubernetes.change_summary import (
    ChangeSummary,
    Count,
    ImageChange,
    NotInspected,
    SecurityChange,
)

NOON = datetime(2025, 7, 12, 12, tzinfo=UTC)


def result(**fields: object) -> RunResult:
    """Return a successful run without clusters, with ``fields`` replaced."""
    basic = {
        "run_id": "20250712T120000Z-abcdef",
        "identity": "0" * 16,
        "started_at": NOON,
        "finished_at": NOON,
        "outcome": Outcome.SUCCESS,
        "exit_code": 0,
        "exit_codes": (0,),
        "mode": Mode.INCREMENTAL,
        "branch": "main",
    }
    return RunResult.model_validate(basic | fields)


def refused_object(path: str = "east/a.yaml", **fields: object) -> RefusedObject:
    """Return a new object that the Git host refuses."""
    basic = {"path": path, "change": Change.ADDED, "oid": "a" * 40, "since": NOON, "host_message": "a token"}
    return RefusedObject.model_validate(basic | fields)


EVIL = '<script>alert("1")</script>\n\x1b[31m|`|``|**x**[x](javascript:x)&amp;<!--' + "m" * 60


def hostile() -> RunResult:
    """Return a result in which an attacker chose every text from outside."""
    cluster = ClusterResult(
        name=EVIL,
        status=Status.REFUSED,
        decision=Decision.REFUSED_VANISHED,
        deletions_refused=1,
        allow_delete=f"{EVIL}:{'0' * 16}",
        quarantined={EVIL: 1},
        quarantined_sample=(EVIL,),
        refused_by_host=1,
        error=EVIL,
    )
    changes = ChangeSummary(
        kinds={EVIL: Count(added=1)},
        namespaces={EVIL: Count(added=1)},
        images=(ImageChange(object=EVIL, path=EVIL, container=EVIL, before=EVIL, after=EVIL),),
        not_inspected=(NotInspected(path=EVIL, reason=EVIL),),
        security_changes=(
            SecurityChange(
                object=EVIL,
                path=EVIL,
                change=Change.ADDED,
                category=Category.RBAC,
                granted=(EVIL,),
                revoked=(EVIL,),
                keys_added=(EVIL,),
                keys_removed=(EVIL,),
                keys_changed=(EVIL,),
            ),
        ),
    )
    failed = cluster.model_copy(update={"status": Status.FAILED})
    return result(
        clusters=(cluster, failed),
        changes=changes,
        branch=EVIL,
        quarantined={EVIL: 1},
        refused_by_host=(refused_object(EVIL, host_message=EVIL),),
    )


def state(**fields: object) -> State:
    """A state after one successful run, except for ``fields``."""
    run = result()
    basic = {
        "identity": run.identity,
        "last_run": run,
        "last_success": LastSuccess(run_id=run.run_id, at=NOON),
        "listed": {},
        "counters": Counters(),
    }
    return State.model_validate(basic | fields)
