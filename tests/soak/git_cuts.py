"""The connection to the Git server ends after every 64 bytes, in both directions, or stands still."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, cast

from steps.clients import git_access
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
        with _impatient() if how == "hang" else nullcontext():
            said = world.attempt()
        struck = min(wire.struck, 1)
        wire.arm()
        exits = {0, 30} if struck and (fault.lasting or how == "hang") else {0}
        return judged(world, said, exits, struck=struck, commits=2 if run == "change" else 1)


@contextmanager
def _impatient() -> Iterator[None]:
    """Give a silent server up at once; even a living one, on a busy machine."""
    patience, git_access._SILENCE_SECONDS = git_access._SILENCE_SECONDS, 1
    try:
        yield
    finally:
        git_access._SILENCE_SECONDS = patience


FAMILY = Family("git-cuts", "The connection to the Git server is cut, or hangs", _cases, _run, quick=4)
