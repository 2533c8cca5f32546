"""Exit codes and their precedence."""

from __future__ import annotations

from itertools import combinations

import pytest

from steps.core.exit_codes import Exit, most_severe

# Public: the codes of docs/cli.md, the most severe first.
PRECEDENCE = [143, 2, 40, 30, 20, 10, 0]


def test_exit_codes_are_the_documented_ones_and_differ_from_argos() -> None:
    assert {int(code) for code in Exit} == {*PRECEDENCE, 1}
    assert not {int(code) for code in Exit} & {64, 65}


@pytest.mark.parametrize("size", range(1, len(PRECEDENCE) + 1))
def test_most_severe_exit_code_does_not_depend_on_the_order(size: int) -> None:
    for codes in combinations(PRECEDENCE, size):
        exits = [Exit(code) for code in codes]
        assert most_severe(exits) == most_severe(reversed(exits)) == codes[0]


def test_most_severe_of_no_exit_codes_is_ok() -> None:
    assert most_severe([]) is Exit.OK


@pytest.mark.parametrize("code", Exit)
def test_most_severe_of_one_exit_code_is_that_code(code: Exit) -> None:
    assert most_severe([code, Exit.OK]) is code
