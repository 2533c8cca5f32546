"""Comments are cut out of source text, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.kubernetes.comments import comments_in, without_comments
from steps.kubernetes.objects import Unreadable
from tests.support.growth import assert_linear

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: 1\n", "a: 1\n"),
        ("# x\na: 1 # y\nb: 2\n# z\n", "a: 1\nb: 2\n"),
        ("a: 1\n  # x", "a: 1\n"),
        ("# x\r\na: 1 # y\r\n", "a: 1\r\n"),
        ("\ufeff# x\na: 1\n", "\ufeffa: 1\n"),
        ("a: b#c\nd: 'e # f'\ng: \"h # i\"\n", "a: b#c\nd: 'e # f'\ng: \"h # i\"\n"),
        ("a: | # x\n  # text\n  b\n# y\nc: 1\n", "a: |\n  # text\n  b\nc: 1\n"),
        ("a: >-\n  # text\n", "a: >-\n  # text\n"),
        ("a: # x\n  b: 1\n", "a:\n  b: 1\n"),
        ("a: [1, # x\n  2] # y\n", "a: [1,\n  2]\n"),
        ("---\n# x\n---\na: &n 1 # y\nb: *n # z\n... # end\n", "---\n---\na: &n 1\nb: *n\n...\n"),
        ("a: one # x\n", "a: one\n"),
        ("# only\n", ""),
        ("a: 1 # x\u2028b: 2\n", "a: 1\u2028b: 2\n"),
    ],
)
def test_comments_are_cut(before: str, after: str) -> None:
    assert without_comments(before.encode()).decode() == after
    assert without_comments(after.encode()).decode() == after


def test_comments_are_found() -> None:
    assert comments_in("a: 'x # y' # z\n# end\n") == ["# z", "# end"]


def test_unreadable_text_is_refused() -> None:
    with pytest.raises(Unreadable):
        without_comments(b"a: [1 # x\n")


@pytest.mark.parametrize(
    "make",
    [
        lambda n: b"a: [1," + b" " * n + b"1] # c\n",
        lambda n: b"a: [1,\n" + b" " * n + b"# c\n1]\n",
        lambda n: b"a: 1\n" + b"#\n" * (n // 3),
        lambda n: b"a: 1\n" + b"# \t\n\r" * (n // 3),
        lambda n: b"a: " + b"#" * n + b"\n",
    ],
)
def test_time_to_cut_comments_is_linear(make: Callable[[int], bytes]) -> None:
    assert_linear(lambda n: without_comments(make(n)), 20_000)


def test_text_with_too_many_comments_is_refused() -> None:
    with pytest.raises(Unreadable, match="too many comments"):
        without_comments(b"a: 1\n" + b"#\n" * 60_001)
