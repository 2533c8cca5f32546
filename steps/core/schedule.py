"""When the last success is too old."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim

DEFAULT_MAX_AGE = timedelta(hours=2)

# The health check may fail one run early; the alert, which wakes people, waits for one more run.
STALE_FIRINGS = 2
OVERDUE_FIRINGS = 3

# Enough firings to include the shortest interval of a schedule such as "on weekdays from nine to five".
_FIRINGS = 100


def stale_after(
    last_success: datetime,
    *,
    max_age: timedelta | None,
    schedule: str | None,
    timezone: str,
    firings: int = STALE_FIRINGS,
) -> datetime:
    """Return the instant from which a last success at ``last_success`` is too old.

    ``max_age`` decides if it is given; else ``firings`` firings of the cron ``schedule`` after the
    success (a nightly or business-hours schedule is not stale at noon or on Sunday); else 2 h.
    """
    if max_age is not None:
        return last_success + max_age
    if schedule is None:
        return last_success + DEFAULT_MAX_AGE
    *_, last_firing = islice(_firings(schedule, timezone, last_success), firings)
    return last_firing


def next_firing(after: datetime, schedule: str, timezone: str) -> datetime:
    """Return the next firing of the schedule."""
    return next(_firings(schedule, timezone, after))


def shortest_interval(after: datetime, schedule: str, timezone: str) -> timedelta:
    """Return the shortest time between two firings, in which a run has to finish."""
    # Seconds since the epoch: local times would count the hour that daylight saving time skips.
    seconds = [at.timestamp() for at in islice(_firings(schedule, timezone, after), _FIRINGS)]
    return timedelta(seconds=min(b - a for a, b in pairwise(seconds)))


def _firings(schedule: str, timezone: str, after: datetime) -> CronSim:
    return CronSim(schedule, after.astimezone(ZoneInfo(timezone)))
