"""When the last success is too old."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim

DEFAULT_MAX_AGE = timedelta(hours=2)
_MISSED_FIRINGS = 2


def stale_after(
    last_success: datetime, *, max_age: timedelta | None, schedule: str | None, timezone: str
) -> datetime:
    """Return the instant from which a last success at ``last_success`` is too old.

    ``max_age`` decides where it is given; else the second firing of the cron ``schedule`` after the
    success (so a nightly or business-hours schedule is not stale by noon or on Sunday); else 2 h.
    """
    if max_age is not None:
        return last_success + max_age
    if schedule is None:
        return last_success + DEFAULT_MAX_AGE
    firings = CronSim(schedule, last_success.astimezone(ZoneInfo(timezone)))
    *_, last_firing = islice(firings, _MISSED_FIRINGS)
    return last_firing
