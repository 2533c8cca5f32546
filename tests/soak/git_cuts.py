"""The connection to the Git server ends or stalls after each number of bytes, in both directions."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, cast

from tests.soak.family import Counts, Family, shuffled
from tests.soak.git_world import FOREVER, ONCE, served, short_timeouts, verify_recovery
from tests.support.tcp_proxy import Break

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.world import Place
    from tests.support.tcp_proxy import Direction, How

# More bytes than a run sends. "first" pushes a new branch; "change" fetches, pushes a commit, asks the remote
# for its refs, and fetches the commit to compare it with.
EXTENT = {"first-up": 6720, "first-down": 4352, "change-up": 10560, "change-down": 9024}
_STEPS = {"rst": 64, "fin": 64, "hang": 512}


def _cases(seed: int) -> Iterator[str]:
    return shuffled(
        [
            f"{way}-{after}-{how}-{duration}"
            for way, extent in EXTENT.items()
            for how, step in _STEPS.items()
            for after in range(0, extent, step)
            for duration in (ONCE, FOREVER)
        ],
        seed,
    )


def _run(place: Place, case: str) -> Counts:
    """One cut connection must cost only a retry; a network that stays down must end with 30."""
    run, direction, after, how, duration = case.split("-")
    fault = Break(cast("Direction", direction), int(after), cast("How", how), duration == FOREVER)
    with served(place, case, synced=run == "change") as (world, _, proxy):
        proxy.arm(fault)
        with short_timeouts() if how == "hang" else nullcontext():
            result = world.attempt()
        triggered = min(proxy.triggered, 1)
        proxy.arm()
        if triggered and int(after) + _STEPS[how] >= EXTENT[f"{run}-{direction}"]:
            raise AssertionError("a run sends more bytes than EXTENT")
        exits = {0, 30} if triggered and (fault.lasting or how == "hang") else {0}
        return verify_recovery(world, result, exits, triggered=triggered, commits=2 if run == "change" else 1)


FAMILY = Family("git-cuts", "The connection to the Git server is cut, or hangs", _cases, _run, quick=2)
