"""Every family, in the order of the table in docs/reliability.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.soak import (
    full_disks,
    git_answers,
    git_cuts,
    git_moves,
    git_refusals,
    git_ssh,
    host_rules,
    hostile,
    idle_clients,
    kills,
    machine,
    races,
    s3_faults,
    volume_faults,
)

if TYPE_CHECKING:
    from tests.soak.family import Family

FAMILIES: tuple[Family, ...] = (
    s3_faults.FAMILY,
    s3_faults.STORM,
    git_cuts.FAMILY,
    git_ssh.FAMILY,
    git_answers.FAMILY,
    git_refusals.FAMILY,
    host_rules.FAMILY,
    git_moves.FAMILY,
    kills.FAMILY,
    volume_faults.DAMAGE,
    full_disks.FAMILY,
    races.INTERLEAVINGS,
    races.ROUNDS,
    machine.FAMILY,
    hostile.KEYS,
    hostile.PLANTED,
    idle_clients.FAMILY,
)
