"""Limits on deletions and on new objects."""

from __future__ import annotations

import pytest

from steps.core.deletion_guard import DeletionLimits, ForeignFiles, Vanished
from steps.core.intake_limits import IntakeLimits
from steps.core.namespaces import NamespaceVanished
from steps.runtime.settings.reading import read
from tests.runtime.settings.parsing import EVERY_VARIABLE, one_problem, value_of


def test_limits_have_the_values_of_the_settings() -> None:
    settings = read({name: text for name, (text, _) in EVERY_VARIABLE.items()})
    expected = DeletionLimits(0, 12.5, Vanished.KEEP, ForeignFiles.REMOVE, NamespaceVanished.KEEP)
    assert settings.guards.limits == expected
    assert settings.intake.limits == IntakeLimits(0, 1_000_000, 5000, 5_000_000)


def test_allow_delete_accepts_cluster_names_with_commas() -> None:
    text = "east,2:00000000000000ca,west:00000000000000be\nnorth:0000000000000000"
    assert value_of("ALLOW_DELETE", text) == (
        "east,2:00000000000000ca",
        "west:00000000000000be",
        "north:0000000000000000",
    )


@pytest.mark.parametrize("text", ["east", "east:", "east:00", ":00000000000000ca", "east:00000000000000CA"])
def test_allow_delete_rejects_what_is_not_cluster_and_token(text: str) -> None:
    assert "copy it from the message of the refusal" in one_problem("ALLOW_DELETE", text)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "100.1", "20%"])
def test_max_delete_percent_is_a_number_from_0_to_100(text: str) -> None:
    assert one_problem("MAX_DELETE_PERCENT", text)
