"""DELETE_GRACE: a missing file is deleted only after it was missing from every listing for this time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - the document that contains PendingDeletion needs it
from typing import TYPE_CHECKING, NamedTuple

from steps.core.sorted_join import Lookup
from steps.core.wording import SAMPLE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class PendingDeletion:
    """A missing file that waits, in the result of a run.

    ``path`` is printable; ``since`` is the start of the first listing without it.
    """

    path: str
    since: datetime


class PendingRow(NamedTuple):
    """A file in Git that the listings lack; ``since`` is the first of these listings, in Unix seconds."""

    path: bytes
    since: int


class Grace:
    """Decides in one pass over ascending missing paths which of them wait; counts them.

    ``pending`` are the files that earlier listings lacked, ascending. ``now`` is the time of this listing.
    """

    def __init__(self, pending: Iterable[PendingRow], *, now: int, seconds: float) -> None:
        self._pending = Lookup(pending, lambda row: row.path)
        self._now = now
        self._seconds = seconds
        self.waiting = 0
        self.sample: list[PendingRow] = []

    def keeps(self, path: bytes) -> bool:
        """Whether the missing file stays in Git, because it is not missing for long enough."""
        known = self._pending.find(path)
        # A clock that went back must not end the wait early, nor prolong it by more than one wait.
        since = min(known.since, self._now) if known else self._now
        if self._now - since >= self._seconds:
            return False
        self.waiting += 1
        if len(self.sample) < SAMPLE_SIZE:
            self.sample.append(PendingRow(path, since))
        return True
