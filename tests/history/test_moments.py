"""Points in time on the command line."""

from __future__ import annotations

import pytest

from steps.errors import FixCommandLine
from steps.history.moments import parse_moment, stamp
from tests.support.backups import instant

NOW = instant("2025-07-20T12:00:00Z")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2025-07-12T22:06:58Z", "2025-07-12T22:06:58Z"),
        ("2025-07-12t22:06z", "2025-07-12T22:06:00Z"),
        ("2025-07-12 22:06:58+02:00", "2025-07-12T20:06:58Z"),
        ("2025-07-12", "2025-07-12T21:59:59Z"),
        ("2025-03-30", "2025-03-30T21:59:59Z"),
        ("2025-01-31", "2025-01-31T22:59:59Z"),
        ("7d", "2025-07-13T12:00:00Z"),
        ("1d12h", "2025-07-19T00:00:00Z"),
        ("2w", "2025-07-06T12:00:00Z"),
    ],
)
def test_moment_is_a_time_a_date_or_an_age(text: str, at: str) -> None:
    found = parse_moment("--at", text, NOW, "Europe/Berlin").at
    assert found is not None
    assert stamp(found) == at


def test_date_is_the_second_before_it_if_a_period_starts_with_it() -> None:
    found = parse_moment("--since", "2025-07-12", NOW, "Europe/Berlin", start_of_day=True).at
    assert found == instant("2025-07-11T21:59:59Z")


def test_moment_is_a_commit() -> None:
    assert parse_moment("--at", "689f995b", NOW, "UTC").commit == "689f995b"
    assert parse_moment("--at", "20250712", NOW, "UTC").commit == "20250712"


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2025-7-1", "2025-02-30", "2025-07-12T22:06:58", "2025-07-12T25:00:00Z"),
        *("HEAD", "--all", "689f99", "A" * 40, "7", "-7d", "9999-12-31", "999999y", "0001-01-01T00:00+23:00"),
        "\x1b[31m",
    ],
)
def test_wrong_moment_is_named_with_the_option(text: str) -> None:
    with pytest.raises(FixCommandLine, match="Failed to read the time: --until=") as caught:
        parse_moment("--until", text, NOW, "UTC")
    assert "write a time (2025-07-12T22:06:58Z), a date" in caught.value.error
    assert caught.value.error.isprintable()
