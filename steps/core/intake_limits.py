"""Intake limits: how much one cluster, and one run, may add.

A cluster over a limit is skipped before its objects are fetched: nothing of it is written, Git keeps
what it has, and the other clusters are synced. 0 means no limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Paths that are both a file and a directory. They are kept in memory while a cluster is processed, and
# no backup job makes more than a few.
MOST_CONFLICTS = 10_000

# The bytes that an object or a directory occupies on a volume, even if it is empty.
_BLOCK = 4096


class Excess(StrEnum):
    """Why a cluster is skipped: the limit that it exceeds."""

    OBJECTS = "too_many_objects"
    BYTES = "too_many_bytes"
    CONFLICTS = "too_many_conflicts"
    RUN_OBJECTS = "too_many_objects_in_all"
    RUN_BYTES = "too_many_bytes_in_all"


REASONS = {
    Excess.OBJECTS: "it has more objects and directories than MAX_OBJECTS",
    Excess.BYTES: "its new and changed objects have more bytes than MAX_NEW_BYTES",
    Excess.CONFLICTS: "too many of its keys are directories of other keys",
    Excess.RUN_OBJECTS: "with it the run would have more objects than MAX_RUN_OBJECTS",
    Excess.RUN_BYTES: "with it the run would add more bytes than MAX_RUN_NEW_BYTES",
}


class OverLimit(Exception):
    """A cluster must be skipped: ``found``, where counting ended, is more than ``limit``."""

    def __init__(self, excess: Excess, found: int, limit: int) -> None:
        super().__init__(f"{REASONS[excess]}: at least {found:,}, limit {limit:,}")
        self.excess = excess


@dataclass(frozen=True)
class IntakeLimits:
    """MAX_OBJECTS, MAX_NEW_BYTES, MAX_RUN_OBJECTS and MAX_RUN_NEW_BYTES."""

    max_objects: int = 0
    max_new_bytes: int = 0
    max_run_objects: int = 0
    max_run_new_bytes: int = 0


class Intake:
    """Counts a cluster's listing, and raises OverLimit at the first entry over the limit."""

    def __init__(self, limits: IntakeLimits) -> None:
        self._limit = limits.max_objects
        self._entries = 0
        self._directory = b""

    def add(self, path: bytes) -> None:
        """Count the next path, in ascending order, and the directories that it adds."""
        self._entries += 1
        directory = path.rpartition(b"/")[0]
        if directory != self._directory:
            # The paths below a directory are contiguous: a directory that is not above the last path is new.
            above, last = directory.split(b"/"), self._directory.split(b"/")
            shared = takewhile(lambda pair: pair[0] == pair[1], zip(above, last, strict=False))
            self._entries += len(above) - sum(1 for _ in shared)
            self._directory = directory
        if 0 < self._limit < self._entries:
            raise OverLimit(Excess.OBJECTS, self._entries, self._limit)


@dataclass(frozen=True)
class Usage:
    """What one cluster adds to a run: all its objects, and those that are new or changed."""

    objects: int
    new_objects: int
    new_bytes: int

    @property
    def size(self) -> int:
        """The bytes that the new objects occupy; empty objects count too."""
        return self.new_bytes + _BLOCK * self.new_objects


def over_run_limits(usages: Mapping[str, Usage], limits: IntakeLimits) -> dict[str, OverLimit]:
    """Return the clusters that do not fit into the run, with the reason.

    Clusters that add least come first, so that a cluster with many new objects is skipped before the others.
    (For max_run_objects this is true only in the first run after the growth, because later the objects
    are no longer new.)
    """
    over_limit: dict[str, OverLimit] = {}
    objects = new_bytes = 0
    for name, usage in sorted(usages.items(), key=lambda item: (item[1].size, item[0])):
        if 0 < limits.max_run_objects < objects + usage.objects:
            found, limit = objects + usage.objects, limits.max_run_objects
            over_limit[name] = OverLimit(Excess.RUN_OBJECTS, found, limit)
        elif usage.new_bytes and 0 < limits.max_run_new_bytes < new_bytes + usage.new_bytes:
            found, limit = new_bytes + usage.new_bytes, limits.max_run_new_bytes
            over_limit[name] = OverLimit(Excess.RUN_BYTES, found, limit)
        else:
            objects += usage.objects
            new_bytes += usage.new_bytes
    return over_limit
