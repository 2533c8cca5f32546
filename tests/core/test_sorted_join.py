"""Joins of sorted streams."""

from __future__ import annotations

from itertools import count, islice
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.sorted_join import Lookup, OutOfOrder, ascending, outer_join

if TYPE_CHECKING:
    from collections.abc import Iterator


class Row(NamedTuple):
    path: bytes
    value: int = 0


def rows(*paths: bytes) -> list[Row]:
    return [Row(path) for path in paths]


# Few and short paths, so that many are in both streams.
streams = st.dictionaries(st.binary(max_size=2), st.integers()).map(
    lambda values: [Row(path, values[path]) for path in sorted(values)]
)


@given(streams, streams)
def test_outer_join_yields_each_row_once_paired_by_path(left: list[Row], right: list[Row]) -> None:
    lefts, rights = {row.path: row for row in left}, {row.path: row for row in right}
    expected = [(lefts.get(path), rights.get(path)) for path in sorted(lefts.keys() | rights.keys())]
    assert list(outer_join(left, right)) == expected


def test_paths_are_compared_as_bytes() -> None:
    in_byte_order = rows(b"A", b"a", b"a-x", b"a.x", b"a/b", b"a0", b"\xc3\xa9", b"\xf0\x9f\x8e\x89", b"\xff")
    assert list(ascending(in_byte_order)) == in_byte_order


@pytest.mark.parametrize(
    "stream",
    [rows(b"a", b"a"), rows(b"b", b"a"), rows(b"a", b"c", b"b"), rows(b"a/b", b"a-x"), rows(b"", b"")],
)
def test_outer_join_rejects_a_stream_that_does_not_ascend_strictly(stream: list[Row]) -> None:
    with pytest.raises(OutOfOrder):
        list(outer_join(stream, rows(b"b")))
    with pytest.raises(OutOfOrder):
        list(outer_join(rows(b"b"), stream))


def test_outer_join_yields_the_rows_before_an_order_error() -> None:
    joined = outer_join(rows(b"a", b"b", b"a"), ())
    assert next(joined) == (Row(b"a"), None)
    with pytest.raises(OutOfOrder, match="b'a' after b'b'"):
        list(joined)


def test_outer_join_is_lazy() -> None:
    def numbers(step: int) -> Iterator[Row]:
        return (Row(b"%09d" % number) for number in count(0, step))

    third, fifth = Row(b"%09d" % 3), Row(b"%09d" % 5)
    pairs = list(islice(outer_join(numbers(3), numbers(5)), 4))
    assert pairs == [
        (Row(b"000000000"), Row(b"000000000")),
        (third, None),
        (None, fifth),
        (Row(b"000000006"), None),
    ]


@given(st.sets(st.integers(0, 30)), st.lists(st.integers(0, 30)))
def test_lookup_finds_the_values_of_ascending_keys(values: set[int], keys: list[int]) -> None:
    lookup = Lookup(sorted(values), lambda value: b"%03d" % value)
    for key in sorted(keys):  # also repeated ones
        assert lookup.find(b"%03d" % key) == (key if key in values else None)
