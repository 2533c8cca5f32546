"""SOURCE_MAX_AGE: whether a cluster's newest object is too old, so that its backup job has probably failed.

Ages are measured at the listing, not now: git-sync knows of no newer objects.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TypeAlias

from steps.core.clock import is_ahead

# Globs of clusters with their maximum age; the first one that matches decides.
MaxAges: TypeAlias = tuple[tuple[str, timedelta], ...]

# The figure of the alert without SOURCE_MAX_AGE: a nightly backup plus a margin.
DEFAULT_MAX_SOURCE_AGE = timedelta(hours=26)


def max_age_of(cluster: str, max_ages: MaxAges) -> timedelta | None:
    """Return the maximum age of the cluster's newest object; None if it has none."""
    return next((age for glob, age in max_ages if fnmatchcase(cluster, glob)), None)


def staleness(
    cluster: str, newest: datetime | None, listed_at: datetime | None, max_ages: MaxAges
) -> str | None:
    """Return why the cluster is stale, as a part of a sentence; None if it is not, or has no maximum."""
    limit = max_age_of(cluster, max_ages)
    if limit is None or newest is None or listed_at is None:
        return None
    if is_ahead(newest, listed_at):
        return "its newest object is dated in the future"
    if listed_at - newest <= limit:
        return None
    return f"its newest object is {_hours(listed_at - newest)} old; the limit is {_hours(limit)}"


def _hours(age: timedelta) -> str:
    return f"{age.total_seconds() / 3600:.1f} h".replace(".0 h", " h")
