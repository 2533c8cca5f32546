"""The search for the changes that a Git host refuses: which part of a plan to push next.

A host accepts a push or refuses all of it. So the search pushes parts of the refused plan: first the part
that the host's message does not name, then halves, larger parts first. A change counts as refused only after
the host has refused a push of that change alone.

Changes are numbered by their place in the plan.
"""

from __future__ import annotations

import hashlib
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
        """Split the part of several changes at the boundary next to its middle, else in the middle."""
        middle = len(self) // 2
        counts = (sum(max(0, min(stop, at) - start) for start, stop in self.ranges) for at in boundaries)
        inner = [count for count in counts if 0 < count < len(self)]
        return self._split(min(inner, key=lambda count: abs(count - middle), default=middle))

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


@dataclass(frozen=True)
class Refusal:
    """What is known from a refused push.

    ``suspects`` are the changes that the message names. ``is_about_content`` means that the host is known to
    give this message only for content.
    """

    suspects: frozenset[int] = frozenset()
    is_about_content: bool = False


class Search:
    """The pushes that find the refused changes of a plan, once the host has refused all of them together.

    Call ``next_part``, push that part, and call ``accept`` or ``refuse``, until there is no part left. Then
    the changes that were neither accepted nor ``refused`` are deferred to the next run. ``boundaries`` are
    the numbers at which clusters begin, ``seed`` decides which change is pushed alone as a probe, and the
    caller pushes ``later`` itself.
    """

    def __init__(
        self, whole: Part, refusal: Refusal, boundaries: Sequence[int], *, seed: str, later: Part = NOTHING
    ) -> None:
        self._boundaries = boundaries
        self._seed = seed
        self._parts: list[Part] = []
        self._pushes = 0
        self._has_landed = False
        self._suspects: frozenset[int] = frozenset()
        self._is_about_content = False
        self._refused: dict[int, Refusal] = {}
        self.refuse(whole, refusal)
        if later:  # the remaining part has not been pushed without it
            self._parts = [whole.without(later)]

    @property
    def is_about_the_branch(self) -> bool:
        """Whether the host refuses the branch, the author or the run, and not certain changes.

        This is so if the host accepted nothing, not even one change alone, and its message does not name
        content as the cause.
        """
        given_up = self._pushes >= _PUSHES_WITHOUT_SUCCESS or not self._parts
        return given_up and not self._has_landed and not self._is_about_content

    @property
    def refused(self) -> list[int]:
        """The changes that the host refused alone, ascending."""
        return sorted(
            number
            for number, refusal in self._refused.items()
            if self._has_landed or refusal.is_about_content
        )

    def next_part(self) -> Part | None:
        """Return the part to push next; None if the search has ended."""
        if not self._parts or self._pushes >= SEARCH_PUSHES or self.is_about_the_branch:
            return None
        if (
            self._pushes == _PUSHES_WITHOUT_SUCCESS - 1
            and not self._has_landed
            and not self._is_about_content
        ):
            return self._probe()
        return self._parts.pop(max(range(len(self._parts)), key=lambda at: len(self._parts[at])))

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
            self._parts += part.halves(self._boundaries)
        else:
            self._parts.append(part.without(named))
            self._parts += [Part.of([n]) for n in named] if len(named) <= _FEW else [Part.of(named)]

    def _probe(self) -> Part:
        """Take one change out of the largest part, preferably one that no message names.

        Two refused parts may both contain a refused change. One change alone, taken at random, is probably
        not refused, unless the cause is not in the changes.
        """
        part = max(self._parts, key=lambda part: len(part.without(part.among(self._suspects))))
        self._parts.remove(part)
        candidates = part.without(part.among(self._suspects)) or part
        digest = hashlib.sha256(self._seed.encode()).digest()
        probe = candidates.number_at(int.from_bytes(digest) % len(candidates))
        if rest := part.without([probe]):
            self._parts.append(rest)
        return Part.of([probe])
