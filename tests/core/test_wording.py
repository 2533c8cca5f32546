"""Nouns that agree with their number."""

from __future__ import annotations

import pytest

from steps.core.wording import plural


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1234, "1,234 files")]
)
def test_plural_agrees_with_the_number(count: int, expected: str) -> None:
    assert plural(count, "file") == expected
