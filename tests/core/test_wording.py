"""Nouns that agree with their number, and text that is cut between words."""

from __future__ import annotations

import pytest

from steps.core.wording import plural, shortened


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1234, "1,234 files")]
)
def test_plural_agrees_with_the_number(count: int, expected: str) -> None:
    assert plural(count, "file") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("one two", "one two"), ("one two three", "one two…"), ("unbreakable", "unbreak…"), ("", "")],
)
def test_shortened_ends_with_a_whole_word(text: str, expected: str) -> None:
    assert shortened(text, 8) == expected
