"""Points in time on the command line: a time, a date, an age, or a commit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import durationpy

from steps.core.keys import printable
from steps.core.operations import Operation
from steps.errors import FixCommandLine

UNDATED = "undated"  # a commit without a valid time

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:\d\d)")
_AGE = re.compile(r"(?:\d{1,6}(?:[smhdwy]))+")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")

_HOW = (
    "write a time (2025-07-12T22:06:58Z), a date (2025-07-12), an age (7d), "
    "or 7 to 40 characters of a commit id"
)


@dataclass(frozen=True)
class Moment:
    """A point in time, or the beginning of a commit id; ``text`` is what the user wrote."""

    text: str
    at: datetime | None = None
    commit: str = ""


def parse_moment(
    option: str, text: str, now: datetime, timezone: str, *, start_of_day: bool = False
) -> Moment:
    """Return what ``text``, the value of ``option``, means. Raises FixCommandLine.

    A date is the last second of that day in ``timezone``; with ``start_of_day`` the last one before it.
    """
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text) + timedelta(days=0 if start_of_day else 1)
            midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone)).astimezone(UTC)
            return Moment(text, midnight - timedelta(seconds=1))
        if _TIME.fullmatch(text):
            return Moment(text, datetime.fromisoformat(text.upper()).astimezone(UTC))
        if _AGE.fullmatch(text):
            return Moment(text, now - durationpy.from_str(text))
    except (ValueError, ArithmeticError, durationpy.DurationError):
        pass
    else:
        if _COMMIT.fullmatch(text):
            return Moment(text, commit=text)
    raise FixCommandLine(
        Operation.GIT_DIFF,
        "Failed to read the time",
        f"{option}={printable(text)!r} is not a point in time; {_HOW}",
    )


def stamp(at: datetime) -> str:
    """Return a time as all commands print it, as in 2025-07-12T22:06:58Z."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
