"""The store fails: each request of a run, with each fault, once or for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.soak.family import Counts, Family, shuffled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.world import Place


def _cases(seed: int) -> Iterator[str]:
    return shuffled(["todo"], seed)


def _run(place: Place, case: str) -> Counts:
    with place.world(case) as world:
        world.fill()
        world.settle()
        world.change()
        world.settle()
    return {"runs": 4}


FAMILY = Family("s3-faults", "The store fails", _cases, _run, quick=2)
