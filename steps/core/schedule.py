"""When the last success is too old."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim

DEFAULT_MAX_AGE = timedelta(hours=2)

# The health check is for whoever looks; the alert, which wakes people, waits for one run more.
STALE_FIRINGS = 2
OVERDUE_FIRINGS = 3

# Enough firings to meet the shortest pause of a schedule such as "on weekdays from nine to five".
_LOOKED_AT = 100


def stale_after(
    last_success: datetime,
    *,
    max_age: timedelta | None,
    schedule: str | None,
    timezone: str,
    firings: int = STALE_FIRINGS,
) -> datetime:
    """Return the instant from which a last success at ``last_success`` is too old.

    ``max_age`` decides where it is given; else that many firings of the cron ``schedule`` after the
    success (so a nightly or business-hours schedule is not stale by noon or on Sunday); else 2 h.
    """
    if max_age is not None:
        return last_success + max_age
    if schedule is None:
        return last_success + DEFAULT_MAX_AGE
    *_, last_firing = islice(_firings(schedule, timezone, last_success), firings)
    return last_firing


def next_firing(after: datetime, schedule: str, timezone: str) -> datetime:
    """Return when the schedule fires next."""
    return next(_firings(schedule, timezone, after))


def shortest_interval(after: datetime, schedule: str, timezone: str) -> timedelta:
    """Return the shortest time between two firings: what a run has to be done in."""
    # In seconds since the epoch: on the clock, an hour that daylight saving skips would count.
    seconds = [at.timestamp() for at in islice(_firings(schedule, timezone, after), _LOOKED_AT)]
    return timedelta(seconds=min(b - a for a, b in pairwise(seconds)))


def _firings(schedule: str, timezone: str, after: datetime) -> CronSim:
    return CronSim(schedule, after.astimezone(ZoneInfo(timezone)))
