"""A family of cases: one kind of misfortune, in all its forms."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.soak.world import Place

# What a case counted: kills, faults that struck, runs, commits, exits by code ("exit 30"): 1.
Counts = Mapping[str, int]


@dataclass(frozen=True)
class Family:
    """Cases are names, and a name is all that it takes to run one again.

    `cases` gives them in an order that depends on the seed; it may never end. `run` raises an
    AssertionError, best Unsafe, where the claim does not hold. `quick` is how many of them
    `make test` takes. `obstacle` says why they cannot be run on this machine, "" if they can.
    """

    name: str
    title: str
    cases: Callable[[int], Iterator[str]]
    run: Callable[[Place, str], Counts]
    quick: int
    obstacle: Callable[[], str] = lambda: ""


def shuffled(names: list[str], seed: int) -> Iterator[str]:
    """All of a finite family, in an order of the seed's."""
    return iter(random.Random(seed).sample(names, len(names)))


def endless(seed: int) -> Iterator[str]:
    """Names for cases that are nothing but dice: the name is what the dice fall by."""
    return (f"{seed}-{number}" for number in itertools.count(1))
