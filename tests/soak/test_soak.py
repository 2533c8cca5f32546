"""A few cases of each soak family, selected by the seed in SOAK_SEED (default 1)."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from tests.soak import figures
from tests.soak.families import FAMILIES
from tests.soak.world import Place, place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.family import Family
    from tests.support.s3 import S3Server

_SEED = int(os.environ.get("SOAK_SEED", "1"))
_SELECTED = [
    pytest.param(family, case, id=f"{family.name}-{case}")
    for family in FAMILIES
    for case in islice(family.cases(_SEED), family.quick)
]


@pytest.fixture(scope="session")
def soak_place(s3: S3Server) -> Iterator[Place]:
    """Set up the place that all cases of this process share."""
    with place(s3) as shared:
        yield shared


@pytest.mark.parametrize(("family", "case"), _SELECTED)
def test_soak_case_loses_and_invents_nothing(family: Family, case: str, soak_place: Place) -> None:
    if obstacle := family.obstacle():
        pytest.skip(obstacle)
    assert family.run(soak_place, case)


def test_reliability_page_shows_the_stored_results() -> None:
    assert figures.page_table() == figures.table(FAMILIES)
