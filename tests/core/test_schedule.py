"""When a last success is too old: never before the schedule has missed a firing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from steps.core.schedule import stale_after

BERLIN = "Europe/Berlin"
QUARTER_HOURLY, HOURLY, NIGHTLY, OFFICE = "*/15 * * * *", "0 * * * *", "0 4 * * *", "0 9-17 * * 1-5"


@pytest.mark.parametrize(
    ("schedule", "timezone", "last_success", "expected"),
    [
        (QUARTER_HOURLY, "UTC", "2026-01-05 12:01", "2026-01-05 12:30"),
        (QUARTER_HOURLY, "UTC", "2026-01-05 12:14", "2026-01-05 12:30"),
        (QUARTER_HOURLY, "UTC", "2026-01-05 12:15", "2026-01-05 12:45"),  # that firing is not to come
        (QUARTER_HOURLY, "UTC", "2026-12-31 23:50", "2027-01-01 00:15"),
        (NIGHTLY, "UTC", "2026-01-05 04:07", "2026-01-07 04:00"),
        (NIGHTLY, "UTC", "2026-02-28 04:07", "2026-03-02 04:00"),
        (OFFICE, "UTC", "2026-01-08 17:02", "2026-01-09 10:00"),  # over a night
        (OFFICE, "UTC", "2026-01-09 16:02", "2026-01-12 09:00"),  # Friday: over the weekend
        (OFFICE, "UTC", "2026-01-09 17:02", "2026-01-12 10:00"),
        (OFFICE, "UTC", "2026-01-10 12:00", "2026-01-12 10:00"),  # by hand, on a Saturday
        (OFFICE, BERLIN, "2026-01-09 16:02", "2026-01-12 09:00"),  # 17:02 there: one hour earlier
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
def test_a_success_is_stale_from_the_second_firing_after_it(
    schedule: str, timezone: str, last_success: str, expected: str
) -> None:
    at, limit = (datetime.fromisoformat(f"{text}+00:00") for text in (last_success, expected))
    stale = stale_after(at, max_age=None, schedule=schedule, timezone=timezone)
    assert stale.astimezone(UTC) == limit


def test_a_maximum_age_decides_where_it_is_given() -> None:
    at = datetime(2026, 1, 9, 17, 2, tzinfo=UTC)
    stale = stale_after(at, max_age=timedelta(minutes=5), schedule=OFFICE, timezone="UTC")
    assert stale == at + timedelta(minutes=5)


def test_without_any_schedule_two_hours_are_the_limit() -> None:
    at = datetime(2026, 1, 9, 17, 2, tzinfo=UTC)
    assert stale_after(at, max_age=None, schedule=None, timezone="UTC") == at + timedelta(hours=2)
