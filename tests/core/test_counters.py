"""Counters of all runs, kept in the state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from steps.contracts import Mode, Outcome, RunResult
from steps.core.counters import DURATION_BUCKETS, Counters

runs = st.lists(
    st.tuples(
        st.sampled_from("abcdef"),
        st.integers(0, 5000).map(float) | st.sampled_from(DURATION_BUCKETS),
        st.booleans(),
        st.integers(0, 1_000_000),
    )
)


def counted(*run_ids: str) -> Counters:
    counters = Counters()
    for run_id in run_ids:
        counters = counters.with_run(run_id, duration_seconds=7.5, failed=True, files_processed=3)
    return counters


@given(runs)
def test_counters_count_each_run_once_in_totals_and_cumulative_buckets(
    reported: list[tuple[str, float, bool, int]],
) -> None:
    counters = Counters()
    first: dict[str, tuple[float, bool, int]] = {}
    for run_id, duration, failed, files in reported:
        counters = counters.with_run(run_id, duration_seconds=duration, failed=failed, files_processed=files)
        first.setdefault(run_id, (duration, failed, files))
    durations = [duration for duration, _, _ in first.values()]
    assert counters.runs == len(first)
    assert counters.errors == sum(failed for _, failed, _ in first.values())
    assert counters.files_processed == sum(files for _, _, files in first.values())
    assert counters.duration_sum_seconds == sum(durations)
    assert counters.duration_buckets == tuple(
        sum(duration <= bound for duration in durations) for bound in DURATION_BUCKETS
    )


def test_duration_equal_to_a_bucket_bound_is_in_that_bucket() -> None:
    at_bounds = Counters()
    for bound in DURATION_BUCKETS:
        at_bounds = at_bounds.with_run(str(bound), duration_seconds=bound, failed=False, files_processed=0)
    assert at_bounds.duration_buckets == tuple(range(1, len(DURATION_BUCKETS) + 1))


def test_counters_ignore_a_run_that_is_reported_again() -> None:
    once = counted("a", "b")
    assert once.with_run("a", duration_seconds=1, failed=False, files_processed=9) == once


def test_counters_keep_the_ids_of_the_last_hundred_runs() -> None:
    many = counted(*(str(number) for number in range(250)))
    assert (many.runs, len(many.counted_runs)) == (250, 100)
    assert many.with_run("150", duration_seconds=1, failed=True, files_processed=1) == many


def test_counters_are_equal_after_a_json_round_trip() -> None:
    counters = counted("a", "b")
    assert Counters.model_validate_json(counters.model_dump_json()) == counters


def test_run_with_a_negative_duration_is_counted() -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    result = RunResult(
        run_id="a",
        identity="i",
        started_at=now,
        finished_at=now - timedelta(seconds=3),
        outcome=Outcome.SUCCESS,
        exit_code=0,
        exit_codes=(0,),
        mode=Mode.INCREMENTAL,
    )
    assert result.duration_seconds == 0
    counters = Counters().with_run("a", duration_seconds=-3, failed=False, files_processed=1)
    assert (counters.runs, counters.duration_sum_seconds) == (1, 0)
