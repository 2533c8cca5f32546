"""Settings of a run: filters, working directory, retries."""

from __future__ import annotations

from pathlib import Path

import pytest

from steps.core.filters import Selection
from steps.runtime.settings.reading import read
from tests.runtime.settings.parsing import one_problem, value_of


@pytest.mark.parametrize(
    "text",
    [
        "!",
        "a\\",
        "[z-a]",
    ],
)
def test_exclude_rejects_an_invalid_pattern(text: str) -> None:
    assert one_problem("EXCLUDE", text)


def test_selection_has_all_three_filters() -> None:
    filters = {
        "CLUSTERS": "prod-*,!prod-west",
        "NAMESPACES": "default\nkube-system",
        "EXCLUDE": "*.log,secrets/",
    }
    assert read(filters).sync.selection == Selection(
        ("prod-*", "!prod-west"), ("default", "kube-system"), ("*.log", "secrets/")
    )


def test_work_dir_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert value_of("WORK_DIR", "work") == tmp_path / "work"
    assert value_of("WORK_DIR", "~/work") == Path("/home/me/work")


def test_work_dir_rejects_the_home_of_an_unknown_user() -> None:
    assert "no home directory" in one_problem("WORK_DIR", "~no-such-user/work")


@pytest.mark.parametrize("text", ["0", "101", "1.5"])
def test_retry_attempts_is_a_number_from_1_to_100(text: str) -> None:
    assert one_problem("RETRY_ATTEMPTS", text)
