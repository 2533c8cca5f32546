"""The connection to the Git server ends or stands still: after every 64 bytes, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tests.soak.family import Counts, Family, shuffled
from tests.soak.git_world import FOREVER, ONCE, judged, served
from tests.support.wire import Break

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.world import Place
    from tests.support.wire import Direction, How

# Somewhat more bytes than a whole run sends: the first one, which pushes a new branch, and one that
# fetches, pushes a change, looks at the remote and fetches what it is compared with.
EXTENT = {"first-up": 5120, "first-down": 3456, "change-up": 10048, "change-down": 8576}
_STEP = 64


def _cases(seed: int) -> Iterator[str]:
    return shuffled(
        [
            f"{way}-{after}-{how}-{spell}"
            for way, extent in EXTENT.items()
            for after in range(0, extent, _STEP)
            for how in ("rst", "fin")
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
        said = world.attempt()
        struck = min(wire.struck, 1)
        wire.arm()
        exits = {0, 30} if fault.lasting and struck else {0}
        return judged(world, said, exits, struck=struck, commits=2 if run == "change" else 1)


FAMILY = Family("git-cuts", "The connection to the Git server is cut", _cases, _run, quick=4)
