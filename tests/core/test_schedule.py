"""When the last success is too old: not before the schedule has missed a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from steps.core.schedule import (
    OVERDUE_FIRINGS,
    STALE_FIRINGS,
    next_firing,
    shortest_interval,
    stale_after,
)

BERLIN = "Europe/Berlin"
QUARTER_HOURLY, HOURLY, NIGHTLY, OFFICE = "*/15 * * * *", "0 * * * *", "0 4 * * *", "0 9-17 * * 1-5"


@pytest.mark.parametrize(
    ("schedule", "timezone", "last_success", "expected"),
    [
        (QUARTER_HOURLY, "UTC", "2026-01-05 12:01", "2026-01-05 12:30"),
        (QUARTER_HOURLY, "UTC", "2026-01-05 12:14", "2026-01-05 12:30"),
        (QUARTER_HOURLY, "UTC", "2026-01-05 12:15", "2026-01-05 12:45"),  # this firing is already over
        (QUARTER_HOURLY, "UTC", "2026-12-31 23:50", "2027-01-01 00:15"),
        (NIGHTLY, "UTC", "2026-01-05 04:07", "2026-01-07 04:00"),
        (NIGHTLY, "UTC", "2026-02-28 04:07", "2026-03-02 04:00"),
        (OFFICE, "UTC", "2026-01-08 17:02", "2026-01-09 10:00"),  # overnight
        (OFFICE, "UTC", "2026-01-09 16:02", "2026-01-12 09:00"),  # Friday: over the weekend
        (OFFICE, "UTC", "2026-01-09 17:02", "2026-01-12 10:00"),
        (OFFICE, "UTC", "2026-01-10 12:00", "2026-01-12 10:00"),  # started by hand on a Saturday
        (
            OFFICE,
            BERLIN,
            "2026-01-09 16:02",
            "2026-01-12 09:00",
        ),  # 17:02 in Berlin is one hour earlier in UTC
        # Clocks go forward on 29 March 2026 at 01:00 UTC, back on 25 October 2026 at 01:00 UTC.
        (NIGHTLY, BERLIN, "2026-03-27 03:05", "2026-03-29 02:00"),
        (NIGHTLY, BERLIN, "2026-03-28 03:05", "2026-03-30 02:00"),
        (NIGHTLY, BERLIN, "2026-10-23 02:05", "2026-10-25 03:00"),
        (NIGHTLY, BERLIN, "2026-10-24 02:05", "2026-10-26 03:00"),
        ("30 2 * * *", BERLIN, "2026-03-28 01:35", "2026-03-30 00:30"),  # 29 March has no 02:30
        (HOURLY, BERLIN, "2026-03-28 23:05", "2026-03-29 01:00"),
        (HOURLY, BERLIN, "2026-10-25 00:05", "2026-10-25 02:00"),  # 02:00 comes twice
        (QUARTER_HOURLY, BERLIN, "2026-03-29 00:46", "2026-03-29 01:15"),
        (QUARTER_HOURLY, BERLIN, "2026-10-25 00:46", "2026-10-25 01:15"),
        (QUARTER_HOURLY, BERLIN, "2026-10-25 01:46", "2026-10-25 02:15"),
    ],
)
def test_success_is_stale_from_the_second_firing_after_it(
    schedule: str, timezone: str, last_success: str, expected: str
) -> None:
    at, limit = (datetime.fromisoformat(f"{text}+00:00") for text in (last_success, expected))
    stale = stale_after(at, max_age=None, schedule=schedule, timezone=timezone)
    assert stale.astimezone(UTC) == limit


def test_max_age_overrides_the_schedule() -> None:
    at = datetime(2026, 1, 9, 17, 2, tzinfo=UTC)
    stale = stale_after(at, max_age=timedelta(minutes=5), schedule=OFFICE, timezone="UTC")
    assert stale == at + timedelta(minutes=5)


def test_success_is_stale_after_two_hours_without_a_schedule() -> None:
    at = datetime(2026, 1, 9, 17, 2, tzinfo=UTC)
    assert stale_after(at, max_age=None, schedule=None, timezone="UTC") == at + timedelta(hours=2)


@pytest.mark.parametrize(
    ("schedule", "due", "interval"),
    [
        ("*/15 * * * *", datetime(2025, 7, 11, 16, 15, tzinfo=UTC), timedelta(minutes=15)),
        ("0 4 * * *", datetime(2025, 7, 12, 4, tzinfo=UTC), timedelta(days=1)),
        ("0 9-17 * * 1-5", datetime(2025, 7, 11, 17, tzinfo=UTC), timedelta(hours=1)),
        ("0 17 * * 5", datetime(2025, 7, 11, 17, tzinfo=UTC), timedelta(days=7)),
        ("0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC), timedelta(days=1461)),
    ],
)
def test_next_firing_and_shortest_interval_follow_the_schedule(
    schedule: str, due: datetime, interval: timedelta
) -> None:
    friday = datetime(2025, 7, 11, 16, 2, tzinfo=UTC)
    assert next_firing(friday, schedule, "UTC") == due
    assert shortest_interval(friday, schedule, "UTC") == interval


def test_shortest_interval_accounts_for_daylight_saving_time() -> None:
    before = datetime(2025, 3, 28, 12, tzinfo=UTC)
    assert shortest_interval(before, "0 4 * * *", "Europe/Berlin") == timedelta(hours=23)


def test_alert_fires_one_firing_later_than_the_health_check() -> None:
    success = datetime(2025, 7, 11, 17, 1, tzinfo=UTC)  # a Friday
    limits = [
        stale_after(success, max_age=None, schedule="0 9-17 * * 1-5", timezone="UTC", firings=firings)
        for firings in (STALE_FIRINGS, OVERDUE_FIRINGS)
    ]
    assert limits == [datetime(2025, 7, 14, 10, tzinfo=UTC), datetime(2025, 7, 14, 11, tzinfo=UTC)]
