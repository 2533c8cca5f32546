"""Where the values of a file are in its source text."""

from __future__ import annotations

from typing import Any

import pytest

from steps.kubernetes.objects import read_documents
from steps.kubernetes.spans import SpanReader


def placed(text: str) -> tuple[Any, SpanReader]:
    reader = SpanReader(text)
    (data,) = read_documents(text, reader)
    return data, reader


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("a: 1\nb: two words # c\n", "b", "b: two words"),
        ("a: 1\nb: |\n  x\n\nc: 1\n", "b", "b: |\n  x"),
        ("a: 1\nb:\n  - x\n  - y:\n      z\n# c\n", "b", "b:\n  - x\n  - y:\n      z"),
        ("a: 1\nb: &x {c: 1}\n", "b", "b: &x {c: 1}"),
        ("a: 1\nb:\nc: 1\n", "b", "b:"),
        ("a: &x 1\nb: *x\n", "b", "b: *x"),
        ('{"ä": 1, "b": [1, 2]}', "b", '"b": [1, 2]'),
    ],
)
def test_entry_is_from_its_key_to_the_end_of_its_value(text: str, key: str, expected: str) -> None:
    data, reader = placed(text)
    (entry,) = [entry for entry in reader.spans[id(data)].entries if entry.key == key]
    assert text[entry.start : entry.end] == expected


def test_every_mapping_and_list_has_a_span() -> None:
    data, reader = placed("a: [1, {b: 2}]\nc:\n- d: 3\n")
    assert not reader.spans[id(data)].is_flow
    assert reader.spans[id(data["a"])].is_flow
    assert [entry.key for entry in reader.spans[id(data["a"])].entries] == [0, 1]
    assert [entry.key for entry in reader.spans[id(data["c"][0])].entries] == ["d"]


def test_documents_begin_at_their_line_or_at_their_first_value() -> None:
    text = "# c\na: 1\n---\nb: 1\n"
    reader = SpanReader(text)
    read_documents(text, reader)
    assert reader.starts == [(4, False), (9, True)]
