"""Every family, in the order of the table in docs/reliability.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.soak import machine, races, s3_faults

if TYPE_CHECKING:
    from tests.soak.family import Family

FAMILIES: tuple[Family, ...] = (
    s3_faults.FAMILY,
    s3_faults.STORM,
    races.INTERLEAVINGS,
    races.ROUNDS,
    machine.FAMILY,
)
