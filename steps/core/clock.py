"""Which instants to believe. The clock of a machine may be wrong, and then its instants are too."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

# S3 servers refuse requests of clients whose clock differs by more than 15 minutes (RequestTimeTooSkewed).
TOLERANCE = timedelta(minutes=15)


def is_ahead(at: datetime, now: datetime) -> bool:
    """Whether an instant that must have passed is later than ``now``: one of the two clocks is wrong."""
    return at > now + TOLERANCE


def is_before(at: datetime, other: datetime, now: datetime) -> bool:
    """Whether ``at`` is before ``other``. An ``other`` that is ahead of ``now`` is not believed."""
    return at < other and not is_ahead(other, now)
