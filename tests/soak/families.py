"""Every family, in the order of the table in docs/reliability.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.soak import full_disks, hostile, kills, s3_faults, volume_faults

if TYPE_CHECKING:
    from tests.soak.family import Family

FAMILIES: tuple[Family, ...] = (
    s3_faults.FAMILY,
    s3_faults.STORM,
    kills.FAMILY,
    volume_faults.DAMAGE,
    full_disks.FAMILY,
    hostile.KEYS,
    hostile.PLANTED,
)
