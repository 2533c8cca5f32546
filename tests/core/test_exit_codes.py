"""Exit codes."""

from __future__ import annotations

from itertools import combinations

import pytest

from steps.core.exit_codes import Exit, most_severe

# Public: the README's table, in the order in which one wins over the next.
PRECEDENCE = [143, 2, 40, 30, 20, 10, 0]


def test_the_codes_are_the_documented_ones_and_none_is_argos_own() -> None:
    assert {int(code) for code in Exit} == {*PRECEDENCE, 1}
    assert not {int(code) for code in Exit} & {64, 65}


@pytest.mark.parametrize("size", range(1, len(PRECEDENCE) + 1))
def test_of_several_the_most_severe_wins_in_any_order(size: int) -> None:
    for held in combinations(PRECEDENCE, size):
        exits = [Exit(code) for code in held]
        assert most_severe(exits) == most_severe(reversed(exits)) == held[0]


def test_a_run_without_outcomes_went_well() -> None:
    assert most_severe([]) is Exit.OK


@pytest.mark.parametrize("code", Exit)
def test_a_single_outcome_is_its_own_code(code: Exit) -> None:
    assert most_severe([code, Exit.OK]) is code
