"""A family of cases: one kind of fault, in every variant."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.soak.world import Place

# Results of a case by name: kills, triggered faults, runs, commits, exit codes ("exit 30").
Counts = Mapping[str, int]


@dataclass(frozen=True)
class Family:
    """A case is a name, which contains everything needed to repeat it.

    `cases` yields names in an order that depends on the seed; it may be endless. `run` raises an
    AssertionError, usually Unsafe, if a case fails. `quick` is the number of cases in `make test`.
    `obstacle` returns the reason why this machine cannot run the cases, "" if it can.
    """

    name: str
    title: str
    cases: Callable[[int], Iterator[str]]
    run: Callable[[Place, str], Counts]
    quick: int
    obstacle: Callable[[], str] = lambda: ""


def shuffled(names: list[str], seed: int) -> Iterator[str]:
    """Return all names of a finite family, in an order that depends on the seed."""
    return iter(random.Random(seed).sample(names, len(names)))


def endless(seed: int) -> Iterator[str]:
    """Yield names for random cases: the name is the seed of the random choices."""
    return (f"{seed}-{number}" for number in itertools.count(1))
