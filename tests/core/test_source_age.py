"""SOURCE_MAX_AGE: whether a cluster's newest object is too old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from steps.core.source_age import staleness

_NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
_MAX_AGES = (("prod-*", timedelta(hours=6)), ("*", timedelta(hours=48)))


@pytest.mark.parametrize(
    ("cluster", "hours", "expected"),
    [
        ("prod-east", 6, None),
        ("prod-east", 6.5, "its newest object is 6.5 h old; the limit is 6 h"),
        ("staging", 48, None),
        ("staging", 216, "its newest object is 216 h old; the limit is 48 h"),
        ("staging", -0.25, None),
        ("staging", -1, "its newest object is dated in the future"),
    ],
)
def test_first_matching_glob_decides(cluster: str, hours: float, expected: str | None) -> None:
    assert staleness(cluster, _NOON - timedelta(hours=hours), _NOON, _MAX_AGES) == expected


def test_cluster_without_a_glob_or_an_object_is_not_stale() -> None:
    assert staleness("staging", _NOON - timedelta(days=9), _NOON, _MAX_AGES[:1]) is None
    assert staleness("staging", None, _NOON, _MAX_AGES) is None
