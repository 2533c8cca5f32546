"""How a run changes the state; one test per rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from steps.contracts import (
    ClusterResult,
    ClusterState,
    ForeignFile,
    LastSuccess,
    Mode,
    Outcome,
    RefusedObject,
    RunResult,
    State,
    Status,
)
from steps.core.counters import Counters
from steps.core.exit_codes import Exit
from steps.core.intake_limits import Excess
from steps.core.operations import Operation
from steps.reporting.state import believable_result, believable_state, is_other_sync, state_after
from tests.support.results import refused_object

START = datetime(2025, 7, 12, 4, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
NOW = START + 100 * DAY  # later than every run of these tests


def run(day: int = 0, exit_code: Exit = Exit.OK, **fields: Any) -> RunResult:
    """Return the result of a run that started ``day`` days after the first one and took a minute."""
    basic: dict[str, Any] = {
        "run_id": f"run-{day}",
        "identity": "ours",
        "started_at": START + day * DAY,
        "finished_at": START + day * DAY + MINUTE,
        "outcome": Outcome.SUCCESS if exit_code == Exit.OK else Outcome.FAILED,
        "exit_code": exit_code,
        "exit_codes": (exit_code,),
        "mode": Mode.INCREMENTAL,
    }
    return RunResult.model_validate(basic | fields)


def cluster(name: str = "east", status: Status = Status.OK, **fields: Any) -> ClusterResult:
    return ClusterResult(name=name, status=status, **fields)


def after(*results: RunResult) -> State:
    """Return the state after these runs, reported in this order."""
    state: State | None = None
    for result in results:
        state = state_after(state, result, NOW)
    assert state is not None
    return state


FULL = cluster(
    files=10,
    added=10,
    accepted=10,
    listed_at=START,
    newest_object_at=START - DAY,
    quarantined={"git_file": 2},
)


# -- the first run --------------------------------------------------------------------------------


def test_first_run_sets_every_field() -> None:
    state = after(run(clusters=(FULL,)))
    assert state == State(
        identity="ours",
        last_run=run(clusters=(FULL,)),
        last_success=LastSuccess(run_id="run-0", at=START + MINUTE),
        consecutive_failures=0,
        listed={"east": START},
        clusters={
            "east": ClusterState(
                last_success_at=START + MINUTE,
                files=10,
                added=10,
                quarantined=2,
                newest_object_at=START - DAY,
            )
        },
        counters=Counters().with_run("run-0", duration_seconds=60, failed=False, files_processed=10),
    )


def test_failed_first_run_sets_no_success_and_no_cluster() -> None:
    state = after(run(exit_code=Exit.CONFIGURATION))
    assert (state.last_success, state.listed, state.clusters) == (None, {}, {})
    assert (state.consecutive_failures, state.counters.runs, state.counters.errors) == (1, 1, 1)


# -- the last success -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        pytest.param(run(1), "run-1", id="exit 0"),
        pytest.param(run(1, Exit.PARTIAL), "run-0", id="partial"),
        pytest.param(run(1, Exit.REFUSED), "run-0", id="refused"),
        pytest.param(run(1, Exit.TRANSIENT), "run-0", id="failed"),
        pytest.param(run(1, filtered_by_options=True), "run-0", id="filtered by options"),
        pytest.param(run(1, clusters=(cluster(status=Status.SUPERSEDED),)), "run-0", id="superseded"),
        pytest.param(run(-1), "run-0", id="late"),
        pytest.param(run(0), "run-0", id="repeated"),
        pytest.param(run(1, identity="theirs"), "run-1", id="another sync that succeeded"),
        pytest.param(run(1, Exit.PARTIAL, identity="theirs"), None, id="another sync, in part"),
        pytest.param(run(1, Exit.CONFIGURATION, identity="theirs"), "run-0", id="another sync that failed"),
    ],
)
def test_last_success_is_the_newest_complete_success(second: RunResult, expected: str | None) -> None:
    state = after(run(0), second)
    assert (state.last_success.run_id if state.last_success else None) == expected


# -- another bucket or branch ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exit_code", "replaces"),
    [
        (Exit.OK, True),
        (Exit.PARTIAL, True),
        (Exit.REFUSED, False),
        (Exit.TRANSIENT, False),
        (Exit.CONFIGURATION, False),
        (Exit.TERMINATED, False),
    ],
)
def test_run_of_another_sync_replaces_the_state_only_if_it_published(exit_code: Exit, replaces: bool) -> None:
    old = after(run(0, clusters=(FULL,)))
    west = cluster("west", files=1, added=1, accepted=1, listed_at=START + DAY)
    other = run(1, exit_code, identity="theirs", clusters=(west,))
    state = state_after(old, other, NOW)
    assert is_other_sync(old, other) is replaces
    assert state.identity == ("theirs" if replaces else "ours")
    assert set(state.clusters) == set(state.listed) == ({"west"} if replaces else {"east"})
    assert state.last_run == other
    assert state.counters.runs == 2, "the counters belong to the volume"


def test_run_of_the_same_sync_keeps_the_state() -> None:
    assert not is_other_sync(None, run(0))
    assert not is_other_sync(after(run(0)), run(1))


# -- late and repeated reports --------------------------------------------------------------------


def test_late_report_is_counted_and_replaces_nothing_newer() -> None:
    newer = run(2, clusters=(cluster(files=12, accepted=12, listed_at=START + 2 * DAY),))
    late = run(1, Exit.REFUSED, clusters=(cluster(status=Status.REFUSED, files=3, added=3, accepted=3),))
    state = after(newer, late)
    assert state.last_run == newer
    assert state.consecutive_failures == 0
    assert state.listed == {"east": START + 2 * DAY}
    assert (state.clusters["east"].files, state.clusters["east"].added) == (12, 3), "totals still grow"
    assert (state.counters.runs, state.counters.errors) == (2, 1)


def test_late_report_removes_no_cluster_and_marks_none_over_limit() -> None:
    over = cluster("west", Status.OVER_LIMIT, over_limit=Excess.OBJECTS)
    state = after(run(1, clusters=(FULL, cluster("west", accepted=1))), run(0, clusters=(over,)))
    assert set(state.clusters) == {"east", "west"}
    assert not state.clusters["west"].over_limit


def test_repeated_report_changes_nothing() -> None:
    failed = run(
        1, Exit.REFUSED, clusters=(cluster(status=Status.REFUSED, files=10, modified=2, accepted=8),)
    )
    state = after(run(0, clusters=(FULL,)), failed)
    assert state_after(state, failed, NOW) == state


# -- consecutive failures -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([run(0, Exit.TRANSIENT), run(1, Exit.REFUSED)], 2),
        ([run(0, Exit.TRANSIENT), run(1)], 0),
        ([run(0, Exit.TRANSIENT), run(0, Exit.TRANSIENT)], 1),
        ([run(1, Exit.TRANSIENT), run(0, Exit.TRANSIENT)], 1),
        ([run(1, Exit.TRANSIENT), run(0)], 1),
        ([run(0, Exit.TRANSIENT), run(1, filtered_by_options=True)], 1),
        ([run(0, Exit.TRANSIENT), run(1, Exit.TRANSIENT, filtered_by_options=True)], 1),
        ([run(0, Exit.TRANSIENT), run(1, Exit.CONFIGURATION, identity="theirs")], 2),
    ],
    ids=[
        "each failure counts",
        "a success resets",
        "a repeated report does not count",
        "a late failure does not count",
        "a late success does not reset",
        "a filtered success does not reset",
        "a filtered failure does not count",
        "a mistyped setting counts",
    ],
)
def test_consecutive_failures_count_only_new_unfiltered_failures(
    results: list[RunResult], expected: int
) -> None:
    assert after(*results).consecutive_failures == expected


# -- listings -------------------------------------------------------------------------------------


def test_listed_has_the_newest_listing_of_processed_clusters() -> None:
    first = (
        cluster("east", listed_at=START + DAY, accepted=1),
        cluster("west", listed_at=START, accepted=1),
        cluster("failed", Status.FAILED, listed_at=START),
    )
    second = (
        cluster("east", listed_at=START, accepted=1),
        cluster("west", listed_at=START + DAY, accepted=1),
    )
    state = after(run(0, clusters=first), run(1, clusters=second))
    assert state.listed == {"east": START + DAY, "west": START + DAY}


# -- clusters -------------------------------------------------------------------------------------


def east_after(second: ClusterResult, **fields: Any) -> ClusterState:
    """Return the state of cluster east after a complete first run and a second run with this result."""
    return after(run(0, clusters=(FULL,)), run(1, clusters=(second,), **fields)).clusters["east"]


EAST = after(run(0, clusters=(FULL,))).clusters["east"]


def test_processed_cluster_adds_to_its_totals() -> None:
    state = east_after(cluster(files=9, added=1, modified=3, deleted=2, accepted=9))
    assert (state.added, state.modified, state.deleted, state.files) == (11, 3, 2, 9)
    assert state.quarantined == 0
    assert state.last_success_at == START + DAY + MINUTE


def test_empty_listing_keeps_the_newest_object() -> None:
    assert east_after(cluster(files=10)).newest_object_at == START - DAY


@pytest.mark.parametrize("status", [Status.FAILED, Status.SUPERSEDED])
def test_unprocessed_cluster_keeps_its_state(status: Status) -> None:
    assert east_after(cluster(status=status, error="x")) == EAST


def test_over_limit_is_set_until_the_cluster_is_processed() -> None:
    over = cluster(status=Status.OVER_LIMIT, over_limit=Excess.BYTES)
    assert east_after(over) == EAST.model_copy(update={"over_limit": True})
    state = after(run(0, clusters=(over,)), run(1, clusters=(cluster(status=Status.FAILED),)))
    assert state.clusters["east"].over_limit, "a failed run keeps over_limit"
    state = after(run(0, clusters=(over,)), run(1, clusters=(FULL,)))
    assert not state.clusters["east"].over_limit


def test_refused_cluster_keeps_its_last_success_and_counts_refusals() -> None:
    state = east_after(cluster(status=Status.REFUSED, files=10, accepted=1, deletions_refused=9))
    assert (state.deletions_refused, state.missing) == (9, False)
    assert state.last_success_at == EAST.last_success_at


def test_cluster_with_deferred_changes_keeps_its_last_success() -> None:
    assert (
        east_after(cluster(files=10, accepted=10, changes_deferred=1)).last_success_at == EAST.last_success_at
    )


@pytest.mark.parametrize(
    ("result", "missing"),
    [
        (cluster(status=Status.REFUSED, files=10), True),
        (cluster(files=0, deleted=10), True),
        (cluster(files=10, accepted=10), False),
        (cluster(files=0, accepted=0), False),
    ],
    ids=["kept in Git", "deleted from Git", "in the bucket", "in neither"],
)
def test_cluster_is_missing_if_git_had_files_and_the_bucket_has_none(
    result: ClusterResult, missing: bool
) -> None:
    assert east_after(result).missing is missing


def test_filtered_run_updates_only_its_objects() -> None:
    state = east_after(cluster(files=11, added=1, accepted=0), filtered_by_options=True)
    assert state == EAST.model_copy(update={"files": 11, "added": 11})


def test_cluster_in_neither_bucket_nor_git_is_removed() -> None:
    assert set(after(run(0, clusters=(FULL,)), run(1, clusters=(cluster("west"),))).clusters) == {"west"}


@pytest.mark.parametrize(
    "second",
    [run(1, clusters=(cluster("west"),), filtered_by_options=True), run(1, Exit.TRANSIENT)],
    ids=["filtered by options", "failed before it listed anything"],
)
def test_run_that_did_not_list_a_cluster_does_not_remove_it(second: RunResult) -> None:
    assert "east" in after(run(0, clusters=(FULL,)), second).clusters


# -- foreign files -------------------------------------------------------------------------------


def test_state_remembers_the_foreign_files_that_stay() -> None:
    kept, removed = (ForeignFile(path=path, oid="0" * 40, removed=path == "b") for path in "ab")
    state = east_after(cluster(files=1, deleted=1, accepted=0, foreign=(kept, removed)))
    assert state.foreign == (kept,)
    assert not state.missing


# -- counters -------------------------------------------------------------------------------------


def test_counters_never_decrease() -> None:
    results = [
        run(0, clusters=(FULL,)),
        run(1, Exit.CONFIGURATION, operation=Operation.GIT_PUSH, push_attempts=3),
        run(2, identity="theirs"),
        run(2, identity="theirs"),
        run(1, Exit.TRANSIENT, run_id="late", finished_at=START),
        run(3, clusters=(cluster("west", fetched_bytes=5, accepted=2),)),
    ]
    state: State | None = None
    before = Counters()
    for result in results:
        state = state_after(state, result, NOW)
        now = state.counters
        for name in Counters.model_fields.keys() - {"duration_buckets", "counted_runs"}:
            assert getattr(now, name) >= getattr(before, name), name
        assert all(a >= b for a, b in zip(now.duration_buckets, before.duration_buckets, strict=True))
        before = now
    assert (before.runs, before.errors, before.push_attempts, before.push_failures) == (5, 2, 3, 1)
    assert (before.files_processed, before.bytes_downloaded) == (12, 5)


# -- changes that the Git host refuses ------------------------------------------------------------


def test_cluster_with_changes_that_the_host_refuses_keeps_its_last_success() -> None:
    state = east_after(cluster(files=10, accepted=9, refused_by_host=1))
    assert (state.refused_by_host, state.last_success_at) == (1, EAST.last_success_at)


EAST_A, EAST_B, WEST_A = map(refused_object, ("east/a", "east/b", "west/a"))
BOTH = (cluster("east"), cluster("west"))
FIRST_RUN = run(0, Exit.PARTIAL, clusters=BOTH, refused_by_host=(EAST_A, WEST_A))


@pytest.mark.parametrize(
    ("second", "remembered"),
    [
        (run(1, clusters=BOTH), ()),
        (run(1, Exit.PARTIAL, clusters=BOTH, refused_by_host=(EAST_B,)), (EAST_B,)),
        (run(1, clusters=(cluster("east"), cluster("west", Status.FAILED))), (WEST_A,)),
        (run(1, clusters=(cluster("east"), cluster("west", Status.SUPERSEDED))), (WEST_A,)),
        (run(1, clusters=(cluster("east"),)), ()),
        (run(1, Exit.TRANSIENT, operation=Operation.GIT_PUSH, error="x"), (EAST_A, WEST_A)),
        (
            run(1, clusters=(cluster("east"),), refused_by_host=(EAST_B,), filtered_by_options=True),
            (EAST_A, EAST_B, WEST_A),
        ),
        (run(-1, clusters=BOTH), (EAST_A, WEST_A)),
        (run(1, Exit.CONFIGURATION, identity="mistyped"), (EAST_A, WEST_A)),
        (run(1, identity="other", clusters=BOTH), ()),
    ],
    ids=[
        "accepted",
        "others refused",
        "failed cluster",
        "superseded cluster",
        "cluster gone",
        "failed run",
        "filtered by options",
        "late run",
        "mistyped setting",
        "other repository",
    ],
)
def test_state_remembers_the_refused_changes_of_the_newest_plan(
    second: RunResult, remembered: tuple[RefusedObject, ...]
) -> None:
    assert after(FIRST_RUN, second).refused_by_host == remembered


def test_changed_content_replaces_the_remembered_one() -> None:
    changed = EAST_A.model_copy(update={"oid": "b" * 40})
    second = run(1, clusters=(cluster("east"),), refused_by_host=(changed,), filtered_by_options=True)
    assert after(FIRST_RUN, second).refused_by_host == (changed, WEST_A)


# -- runs that options filter -----------------------------------------------------------------


def test_filtered_run_has_its_own_record() -> None:
    whole, filtered = run(0, clusters=(FULL,)), run(1, Exit.CONFIGURATION, filtered_by_options=True)
    state = after(whole, filtered)
    assert (state.last_run, state.last_filtered_run) == (whole, filtered)
    assert (state.counters.runs, state.counters.errors) == (2, 1)
    later = run(2, Exit.TRANSIENT)
    assert after(filtered, later).runs == (later, filtered)
    assert after(run(1, filtered_by_options=True), run(0, filtered_by_options=True)).runs == (
        run(1, filtered_by_options=True),
    )


# -- instants ahead of now ------------------------------------------------------------------------


def test_result_ahead_of_now_ends_now_and_keeps_its_duration() -> None:
    ahead = run(1)
    believed = believable_result(ahead, START)
    assert (believed.started_at, believed.finished_at) == (START - MINUTE, START)
    started_ahead = run(0, started_at=START + DAY)
    believed = believable_result(started_ahead, START)
    assert believed.started_at == believed.finished_at == START
    almost = run(0, started_at=START + 14 * MINUTE, finished_at=START + 15 * MINUTE)
    assert believable_result(almost, START) is almost


def test_state_ahead_of_now_ends_when_the_next_run_starts() -> None:
    newest = cluster(accepted=1, newest_object_at=START + 30 * DAY)
    state = state_after(None, run(30, clusters=(newest,)), NOW).model_copy(
        update={"refused_by_host": (refused_object().model_copy(update={"since": START + 30 * DAY}),)}
    )
    believed = believable_state(state, run(0), START + MINUTE)
    assert believed.last_run == run(30, started_at=START - MINUTE, finished_at=START, clusters=(newest,))
    assert believed.last_success == LastSuccess(run_id="run-30", at=START)
    assert believed.clusters["east"].last_success_at == START
    assert believed.clusters["east"].newest_object_at is None
    assert believed.refused_by_host[0].since == START
    assert believable_state(believed, run(0), START + MINUTE) == believed


def test_listing_ahead_of_now_is_replaced_and_one_of_the_same_clock_is_not() -> None:
    ahead = state_after(None, run(0, clusters=(cluster(accepted=1, listed_at=START + DAY),)), START)
    later = run(1, clusters=(cluster(accepted=1, listed_at=START + MINUTE),))
    assert state_after(ahead, later, START + MINUTE).listed == {"east": START + MINUTE}
    same_clock = run(1, clusters=(cluster(accepted=1, listed_at=START + DAY - MINUTE),))
    assert state_after(ahead, same_clock, START + MINUTE).listed == {"east": START + DAY}


@pytest.mark.parametrize(
    ("fields", "is_known"),
    [({}, False), ({"quarantined": {"too_large": 1}}, True), ({"excluded_in_git": 1}, True)],
)
def test_clear_secrets_are_known_while_git_may_have_the_old_file(
    fields: dict[str, Any], is_known: bool
) -> None:
    found = run(0, commit="1" * 40, changes={"security_categories": {"secret": 1}})
    state = after(found, run(1, secrets="exclude", clusters=(cluster(**fields),)))
    assert after(found).clear_secrets is not None
    assert (state.clear_secrets is not None) == is_known


def test_cluster_with_unreadable_secrets_is_incomplete_and_not_missing() -> None:
    fields: dict[str, Any] = {"files": 3, "quarantined": {"secret_unreadable": 3}}
    east = after(run(clusters=(cluster(**fields),))).clusters["east"]
    assert (east.missing, east.last_success_at) == (False, None)


def test_cluster_of_omitted_objects_is_not_missing() -> None:
    east = after(run(clusters=(cluster(files=0, deleted=3, omitted=3),))).clusters["east"]
    assert (east.missing, east.last_success_at is None) == (False, False)
