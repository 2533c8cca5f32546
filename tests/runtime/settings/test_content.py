"""VOLATILE_FIELDS and RULES_FILE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.errors import FixConfiguration
from steps.kubernetes.policy import Policy, VolatileFields
from steps.kubernetes.volatile import BUILT_IN, Rule
from steps.runtime.settings.reading import read

if TYPE_CHECKING:
    from pathlib import Path


def policy(**settings: str) -> Policy:
    return read(settings).content.policy


def test_policy_without_settings_keeps_everything() -> None:
    assert policy() == Policy()


def test_rules_of_the_file_follow_the_built_in_ones(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("- {kinds: [Pod], omit: true}\n")
    found = policy(VOLATILE_FIELDS="strip", RULES_FILE=str(tmp_path / "rules"))
    assert found == Policy(VolatileFields.STRIP, (*BUILT_IN, Rule(("Pod",), omit=True)))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read; mount or create the file"),
        ("\n", "cannot be used: the file is empty"),
        ("- {kinds: [Pod], omit: maybe}\n", "rule 1 (line 1): omit must be true or false"),
    ],
)
def test_wrong_file_is_a_problem_of_the_settings(tmp_path: Path, content: str | None, problem: str) -> None:
    file = tmp_path / "rules"
    if content is not None:
        file.write_text(content)
    with pytest.raises(FixConfiguration) as error:
        policy(RULES_FILE=str(file))
    assert str(error.value.error).startswith("RULES_FILE: ")
    assert str(error.value.error).endswith(problem)
