"""The search for the changes that a Git host refuses: which part of a plan to push next.

A host accepts a push or refuses all of it. So the search pushes parts of the refused plan: first the part
that the host's message does not name, then halves of the clusters, then halves within a cluster. The
clusters take turns, so that one with thousands of refused changes does not stop the others. A change counts
as refused only after the host has refused a push of that change alone.

Changes are numbered by their place in the plan.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from steps.core.limits import SEARCH_PUSHES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

# After this number of refused pushes without an accepted one, the cause is not in the changes.
_PUSHES_WITHOUT_SUCCESS = 3

# If the host names at most this number of changes, each is pushed alone at once. GitHub names up to five.
_FEW = 8


@dataclass(frozen=True)
class Part:
    """Some changes of a plan, as ascending, disjoint ranges of their numbers, [start, stop)."""

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Part:
        """Return the part with these numbers, which must ascend."""
        ranges: list[tuple[int, int]] = []
        for number in numbers:
            if ranges and ranges[-1][1] == number:
                ranges[-1] = (ranges[-1][0], number + 1)
            else:
                ranges.append((number, number + 1))
        return cls(tuple(ranges))

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(range(start, stop) for start, stop in self.ranges)

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self.ranges)

    def among(self, numbers: Collection[int]) -> list[int]:
        """Return those of the numbers that are in this part, ascending."""
        return sorted(n for n in numbers if any(start <= n < stop for start, stop in self.ranges))

    def without(self, numbers: Iterable[int]) -> Part:
        """Return the part without these numbers, which must ascend."""
        removed = list(numbers)
        ranges: list[tuple[int, int]] = []
        for first, stop in self.ranges:
            start = first
            for number in removed:
                if start <= number < stop:
                    ranges.append((start, number))
                    start = number + 1
            ranges.append((start, stop))
        return Part(tuple((start, stop) for start, stop in ranges if start < stop))

    def halves(self, boundaries: Iterable[int]) -> tuple[Part, Part]:
        """Split the part of several changes at the middle one of the boundaries in it, else in the middle."""
        counts = {sum(max(0, min(stop, at) - start) for start, stop in self.ranges) for at in boundaries}
        inner = sorted(count for count in counts if 0 < count < len(self))
        return self._split(inner[len(inner) // 2] if inner else len(self) // 2)

    def within(self, start: int, stop: int) -> Part:
        """Return the changes of this part in [start, stop)."""
        cut = ((max(start, low), min(stop, high)) for low, high in self.ranges)
        return Part(tuple((low, high) for low, high in cut if low < high))

    def _split(self, count: int) -> tuple[Part, Part]:
        at = self.number_at(count)
        below = tuple((start, min(stop, at)) for start, stop in self.ranges if start < at)
        return Part(below), Part(tuple((max(start, at), stop) for start, stop in self.ranges if stop > at))

    def number_at(self, place: int) -> int:
        """Return the number of the change at this place of the part, from 0."""
        for start, stop in self.ranges:
            if place < stop - start:
                return start + place
            place -= stop - start
        raise IndexError(place)


NOTHING = Part()
_NO_END = 1 << 62


@dataclass(frozen=True)
class Refusal:
    """What is known from a refused push.

    ``suspects`` are the changes that the message names. ``is_about_content`` means that the host is known to
    give this message only for content.
    """

    suspects: frozenset[int] = frozenset()
    is_about_content: bool = False


@dataclass(frozen=True)
class _Open:
    """A part that is not yet pushed. ``is_named`` means that messages name all its changes."""

    part: Part
    clusters: tuple[int, ...]
    is_named: bool = False


class Search:
    """The pushes that find the refused changes of a plan, once the host has refused all of them together.

    Call ``next_part``, push that part, and call ``accept`` or ``refuse``, until there is no part left. Then
    the changes that were neither accepted nor ``refused`` are deferred to the next run. ``boundaries`` are
    the numbers at which clusters begin, ascending; ``seed`` decides which change is pushed alone as a probe;
    the caller pushes ``later`` itself.
    """

    def __init__(
        self, whole: Part, refusal: Refusal, boundaries: Sequence[int], *, seed: str, later: Part = NOTHING
    ) -> None:
        self._boundaries = boundaries
        self._seed = seed
        self._open: list[_Open] = []
        self._pushes = 0
        self._pushes_of_cluster: Counter[int] = Counter()
        self._has_landed = False
        self._suspects: frozenset[int] = frozenset()
        self._is_about_content = False
        self._refused: dict[int, Refusal] = {}
        self.refuse(whole, refusal)
        if later:  # the remaining part has not been pushed without it
            rest = whole.without(later)
            self._open = []
            # As halves: if most of the plan were pushed again, two of three pushes would say the same.
            for part in rest.halves(boundaries) if len(rest) > 1 else [rest]:
                self._add(part)

    @property
    def is_about_the_branch(self) -> bool:
        """Whether the host refuses the branch, the author or the run, and not certain changes.

        This is so if the host accepted nothing, not even one change alone, and its message does not name
        content as the cause.
        """
        given_up = self._pushes >= _PUSHES_WITHOUT_SUCCESS or not self._open
        return given_up and not self._is_about_changes

    @property
    def refused(self) -> list[int]:
        """The changes that the host refused alone, ascending."""
        return sorted(
            number
            for number, refusal in self._refused.items()
            if self._has_landed or refusal.is_about_content
        )

    @property
    def _is_about_changes(self) -> bool:
        return self._has_landed or self._is_about_content

    def next_part(self) -> Part | None:
        """Return the part to push next; None if the search has ended."""
        if not self._open or self._pushes >= SEARCH_PUSHES or self.is_about_the_branch:
            return None
        if self._pushes == _PUSHES_WITHOUT_SUCCESS - 1 and not self._is_about_changes:
            return self._probe()
        chosen = max(self._open, key=self._priority)
        self._open.remove(chosen)
        self._pushes_of_cluster.update(chosen.clusters if len(chosen.clusters) == 1 else ())
        return chosen.part

    def accept(self) -> None:
        """Note that the host accepted the last part."""
        self._pushes += 1
        self._has_landed = True

    def refuse(self, part: Part, refusal: Refusal) -> None:
        """Note that the host refused this part."""
        self._pushes += 1
        self._suspects |= refusal.suspects
        self._is_about_content = refusal.is_about_content
        if len(part) == 1:
            self._refused[part.number_at(0)] = refusal
            return
        named = part.among(refusal.suspects)
        if not 0 < len(named) < len(part):
            for smaller in self._beside_suspects(part) or part.halves(self._boundaries):
                self._add(smaller)
            return
        rest = part.without(named)
        # A message names some refused changes, often not all. If the host refuses the rest too, the next ones
        # are probably in the same clusters.
        for smaller in (self._pushes > 1 and self._beside_suspects(rest)) or [rest]:
            self._add(smaller)
        for smaller in [Part.of([n]) for n in named] if len(named) <= _FEW else [Part.of(named)]:
            self._add(smaller, is_named=True)

    def _priority(self, candidate: _Open) -> tuple[int, int, int]:
        """Rank parts of several clusters, then each cluster in turn.

        Within a cluster, the largest part publishes most, and the smallest part finds a refused change
        soonest: one push of three is for the largest part.
        """
        size = len(candidate.part)
        if len(candidate.clusters) > 1 and not candidate.is_named:
            return len(candidate.clusters), 0, size
        pushes = self._pushes_of_cluster[candidate.clusters[0]]
        prefers_small = self._is_about_changes and pushes % 3 > 0
        return 0, -pushes, -size if prefers_small else size

    def _add(self, part: Part, *, is_named: bool = False) -> None:
        self._open.append(_Open(part, tuple(sorted(self._clusters(part))), is_named))

    def _clusters(self, part: Part) -> set[int]:
        """Return the places in the boundaries at which the clusters of the part begin."""
        found: set[int] = set()
        for start, stop in part.ranges:
            found.update(range(self._cluster(start), self._cluster(stop - 1) + 1))
        return found

    def _cluster(self, number: int) -> int:
        return max(0, bisect_right(self._boundaries, number) - 1)

    def _of_cluster(self, part: Part, cluster: int) -> Part:
        bounds = (0, *self._boundaries[1:], _NO_END)
        return part.within(bounds[cluster], bounds[cluster + 1])

    def _beside_suspects(self, part: Part) -> list[Part]:
        """Split the part between clusters with and without a suspect; empty if it has not both."""
        clusters = self._clusters(part)
        suspected = clusters & {self._cluster(number) for number in self._suspects}
        if not suspected or suspected == clusters:
            return []
        return [
            Part(tuple(r for c in sorted(chosen) for r in self._of_cluster(part, c).ranges))
            for chosen in (clusters - suspected, suspected)
        ]

    def _probe(self) -> Part:
        """Take one change out of a part, preferably one of a cluster that no message names.

        Two refused parts may both contain a refused change. One change alone, taken at random, is probably
        not refused, unless the cause is not in the changes. The oldest part was not in the last push.
        """
        suspected = {self._cluster(number) for number in self._suspects}
        source = next((one for one in self._open if not suspected.issuperset(one.clusters)), None)
        source = source or max(self._open, key=lambda one: len(one.part.without(sorted(self._suspects))))
        self._open.remove(source)
        clusters = sorted(set(source.clusters) - suspected) or source.clusters
        digest = int.from_bytes(hashlib.sha256(self._seed.encode()).digest())
        candidates = self._of_cluster(source.part, clusters[digest % len(clusters)])
        candidates = candidates.without(sorted(self._suspects)) or candidates
        probe = candidates.number_at(digest // len(clusters) % len(candidates))
        if rest := source.part.without([probe]):
            self._add(rest)
        return Part.of([probe])
