"""Pages before they are rendered: columns of numbers, and texts that are safe to show."""

from __future__ import annotations

from steps.reporting.page import Code, is_numeric, shown


def test_column_is_numeric_if_it_has_only_numbers() -> None:
    assert is_numeric((0, 12))
    assert not is_numeric((0, "–"))
    assert not is_numeric((Code("1"),))


def test_empty_column_is_not_numeric() -> None:
    assert not is_numeric(())


def test_shown_escapes_control_characters_and_bidirectional_controls() -> None:
    assert shown("a\x1b[31m\u202eb\n") == r"a\x1b[31m\u202eb\n"


def test_shown_truncates_long_texts_and_gives_their_length() -> None:
    text = shown("ä" * 5000)
    assert text == "ä" * 1000 + "… (5000 characters)"
