"""The connection to the Git server ends after every 64 bytes, in both directions, or stands still."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, cast

from tests.soak.family import Counts, Family, shuffled
from tests.soak.git_world import FOREVER, ONCE, impatient, judged, served
from tests.support.tcp_proxy import Break

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.world import Place
    from tests.support.tcp_proxy import Direction, How

# Somewhat more bytes than a whole run sends: the first one, which pushes a new branch, and one that
# fetches, pushes a change, looks at the remote and fetches what it is compared with.
EXTENT = {"first-up": 6720, "first-down": 4352, "change-up": 10560, "change-down": 9024}
_STEPS = {"rst": 64, "fin": 64, "hang": 512}


def _cases(seed: int) -> Iterator[str]:
    return shuffled(
        [
            f"{way}-{after}-{how}-{spell}"
            for way, extent in EXTENT.items()
            for how, step in _STEPS.items()
            for after in range(0, extent, step)
            for spell in (ONCE, FOREVER)
        ],
        seed,
    )


def _run(place: Place, case: str) -> Counts:
    """A connection that is cut once costs no more than a retry; a network that stays away is transient."""
    run, direction, after, how, spell = case.split("-")
    fault = Break(cast("Direction", direction), int(after), cast("How", how), spell == FOREVER)
    with served(place, case, begun=run == "change") as (world, _, wire):
        wire.arm(fault)
        with impatient() if how == "hang" else nullcontext():
            result = world.attempt()
        struck = min(wire.struck, 1)
        wire.arm()
        if struck and int(after) + _STEPS[how] >= EXTENT[f"{run}-{direction}"]:
            raise AssertionError("a run sends more bytes than EXTENT")
        exits = {0, 30} if struck and (fault.lasting or how == "hang") else {0}
        return judged(world, result, exits, struck=struck, commits=2 if run == "change" else 1)


FAMILY = Family("git-cuts", "The connection to the Git server is cut, or hangs", _cases, _run, quick=3)
