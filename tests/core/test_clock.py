"""Which instants are believed."""

from __future__ import annotations

from datetime import timedelta

from steps.core.clock import TOLERANCE, is_ahead, is_before
from tests.support.results import NOON


def test_instant_is_ahead_only_beyond_the_tolerance() -> None:
    assert timedelta(minutes=15) == TOLERANCE
    assert not is_ahead(NOON - timedelta(days=365), NOON)
    assert not is_ahead(NOON + TOLERANCE, NOON)
    assert is_ahead(NOON + TOLERANCE + timedelta(seconds=1), NOON)


def test_no_instant_is_before_one_that_is_ahead_of_now() -> None:
    earlier, later = NOON - timedelta(days=1), NOON + timedelta(days=1)
    assert is_before(earlier, NOON, NOON)
    assert not is_before(NOON, NOON, NOON)
    assert not is_before(NOON, earlier, NOON)
    assert not is_before(NOON, later, NOON)
    assert is_before(NOON, later, later)
