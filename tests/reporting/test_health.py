"""Health: whether the last success is recent enough, and the reason."""

from __future__ import annotations

from datetime import timedelta

import pytest

from steps.contracts import Outcome
from steps.reporting.health import health
from steps.runtime.settings.reading import read
from tests.support.results import NOON, result, state

FAILED = result(run_id="r2", outcome=Outcome.FAILED, exit_code=30, error="no route to host")


@pytest.mark.parametrize(
    ("settings", "age", "healthy"),
    [
        ({}, timedelta(hours=2), True),
        ({}, timedelta(hours=2, seconds=1), False),
        ({"HEALTH_MAX_AGE": "10m"}, timedelta(minutes=10), True),
        ({"HEALTH_MAX_AGE": "10m"}, timedelta(minutes=11), False),
        ({"SYNC_SCHEDULE": "0 4 * * *"}, timedelta(hours=39), True),  # the second firing is after 40 hours
        ({"SYNC_SCHEDULE": "0 4 * * *"}, timedelta(hours=41), False),
        ({"SYNC_SCHEDULE": "0 4 * * *", "SYNC_TIMEZONE": "Asia/Tokyo"}, timedelta(hours=32), False),
    ],
)
def test_health_depends_on_the_age_of_the_last_success(
    settings: dict[str, str], age: timedelta, healthy: bool
) -> None:
    assert health(read(settings).http, state(), "file", NOON + age).healthy is healthy


def test_health_is_bad_before_the_first_run() -> None:
    found = health(read({}).http, None, "/workspace/sync-metadata.json", NOON)
    assert not found.healthy
    assert found.reason == "no run has been reported yet: /workspace/sync-metadata.json does not exist"


def test_health_is_bad_before_the_first_success_and_names_the_last_error() -> None:
    found = health(read({}).http, state(last_success=None, last_run=FAILED), "file", NOON)
    assert not found.healthy
    assert found.reason == (
        "no run has ever succeeded; the last run (r2) ended with exit code 30: no route to host"
    )


def test_health_names_both_instants_and_the_end_of_the_last_run() -> None:
    found = health(read({}).http, state(last_run=FAILED), "file", NOON + timedelta(days=1))
    assert found.reason == (
        "the last success was at 2025-07-12 12:00:00 UTC, stale since 2025-07-12 14:00:00 UTC; "
        "the last run (r2) ended with exit code 30: no route to host"
    )


def test_health_is_bad_if_the_last_success_is_ahead_of_now() -> None:
    assert health(read({}).http, state(), "file", NOON - timedelta(minutes=15)).healthy
    found = health(read({}).http, state(last_run=FAILED), "file", NOON - timedelta(minutes=16))
    assert not found.healthy
    assert found.reason == (
        "the last success was at 2025-07-12 12:00:00 UTC, ahead of this machine's clock (2025-07-12 11:44:00 "
        "UTC): one of the clocks is wrong; the last run (r2) ended with exit code 30: no route to host"
    )


def test_health_stays_good_after_a_failed_run_while_the_success_is_recent() -> None:
    found = health(read({}).http, state(last_run=FAILED), "file", NOON + timedelta(hours=1))
    assert found.healthy
    assert "exit code 30" in found.reason
