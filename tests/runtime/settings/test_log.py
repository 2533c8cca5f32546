"""Settings of the log."""

from __future__ import annotations

import pytest

from steps.runtime.logs import LogFormat, LogLevel
from steps.runtime.settings.reading import read
from tests.runtime.settings.parsing import one_problem


@pytest.mark.parametrize(
    ("text", "level"),
    [("warn", LogLevel.WARNING), ("Warning", LogLevel.WARNING), ("ERROR", LogLevel.ERROR)],
)
def test_level_accepts_usual_spellings(text: str, level: LogLevel) -> None:
    assert read({"LOG_LEVEL": text}).log.level is level


def test_format_is_auto_unless_it_is_set() -> None:
    assert read({}).log.format is LogFormat.AUTO
    assert read({"LOG_FORMAT": "TEXT"}).log.format is LogFormat.TEXT


@pytest.mark.parametrize("name", ["LOG_LEVEL", "LOG_FORMAT"])
def test_other_words_are_rejected_with_the_valid_ones(name: str) -> None:
    valid = LogLevel if name == "LOG_LEVEL" else LogFormat
    problem = one_problem(name, "loud")
    assert all(f"'{word}'" in problem for word in valid)
