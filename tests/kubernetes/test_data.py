"""Values of an object that may have any type."""

from __future__ import annotations

import pytest

from steps.kubernetes.data import mapping, mappings, text, texts


@pytest.mark.parametrize("value", [None, 1, True, 1.5])
def test_value_of_another_type_is_empty(value: object) -> None:
    assert (mapping(value), mappings(value), texts(value), text(value)) == ({}, [], [], "")


def test_items_of_another_type_are_dropped() -> None:
    values = [{"a": 1}, "b", 3, ["c"]]
    assert mappings(values) == [{"a": 1}]
    assert texts(values) == ["b"]
    assert mapping({"a": 1}) == {"a": 1}
    assert text("b") == "b"
