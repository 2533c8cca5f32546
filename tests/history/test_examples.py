"""The CI examples call `git-sync inspect` with options that it accepts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from steps.history.inspect import FAILURES, parse_kinds

CI = Path(__file__).parents[2] / "examples" / "ci"


def texts(value: Any) -> list[str]:
    """Every text in a document."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("name", ["github-actions.yaml", "gitlab-ci.yaml", "argo-events.yaml"])
def test_ci_example_inspects_the_push_and_fails_on_known_kinds(name: str) -> None:
    found = texts(yaml.safe_load((CI / name).read_text()))
    assert any("inspect" in shlex.split(text) for text in found)
    lists = [text.removeprefix("--fail-on=") for text in found if re.search(r"\brbac\b,", text)]
    assert lists
    for kinds in lists:
        assert parse_kinds([kinds]) <= set(FAILURES)
        assert "not_inspected" in kinds
