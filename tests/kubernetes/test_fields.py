"""Paths of fields, and what becomes of an object's data."""

from __future__ import annotations

from typing import Any

import pytest

from steps.kubernetes.fields import EVERY_ITEM, Fields, Path, edited, parse_path, written_path


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("status", ("status",)),
        ("spec.a.b", ("spec", "a", "b")),
        ("metadata.annotations[example.com/a.b]", ("metadata", "annotations", "example.com/a.b")),
        ("spec.list[*].x", ("spec", "list", EVERY_ITEM, "x")),
        ("a[b][c]", ("a", "b", "c")),
    ],
)
def test_path_of_a_field(written: str, path: Path) -> None:
    assert parse_path(written) == path
    assert parse_path(written_path(path)) == path


@pytest.mark.parametrize("written", ["", ".", "a.", ".a", "a..b", "a[", "a[]"])
def test_path_that_is_wrong_is_rejected(written: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_path(written)


def fields(*steps: str) -> Fields:
    """Fields of "-path" (drop), "+path" (keep) and "=path" (replace), in this order."""
    made = Fields()
    for step in steps:
        path = parse_path(step[1:])
        if step[0] == "=":
            made.replace(path, "new")
        else:
            {"-": made.drop, "+": made.keep}[step[0]](path)
    return made


@pytest.mark.parametrize(
    ("data", "steps", "expected"),
    [
        ({"a": 1, "b": 2}, ["-a"], {"b": 2}),
        ({"a": {"x": 1}, "b": 2}, ["-a.x"], {"b": 2}),
        ({"a": {}, "b": 2}, ["-a.x"], {"a": {}, "b": 2}),
        ({"a": {"x": {"y": 1}}, "b": 2}, ["-a.x.y"], {"b": 2}),
        ({"a": [{"x": 1}, {"x": 1, "y": 2}]}, ["-a[*].x"], {"a": [{}, {"y": 2}]}),
        ({"a": [1, 2]}, ["-a[*]"], {"a": []}),
        ({"a": {"x": 1, "y": 2}}, ["-a", "+a.x"], {"a": {"x": 1}}),
        ({"a": 5, "b": 1}, ["-a", "+a.x"], {"b": 1}),
        ({"a": {"x": 1, "y": 2}}, ["-a.x", "+a"], {"a": {"x": 1, "y": 2}}),
        ({"a": {"x": 1, "y": 2}, "b": 1}, ["-a.x", "+a", "-a"], {"b": 1}),
        ({"a": [1], "b": 1}, ["-a", "-a.x"], {"b": 1}),
        ({"a": {"x": 1, "y": [2]}}, ["=a.x", "-a.y"], {"a": {"x": "new"}}),
        ({"a": "text"}, ["-a.x", "-a[*]"], {"a": "text"}),
        ({"a": None}, ["-a.x"], {"a": None}),
    ],
)
def test_fields_change_data_and_the_last_call_decides(data: Any, steps: list[str], expected: Any) -> None:
    before = repr(data)
    assert edited(data, fields(*steps)) == expected
    assert repr(data) == before


def test_data_without_such_fields_is_the_same_object() -> None:
    data = {"a": {"x": 1}, "b": [{"c": 1}]}
    assert edited(data, fields("-a.y", "-b[*].d", "-z")) is data


def test_copy_of_fields_changes_alone() -> None:
    first = fields("-a.x")
    second = first.copy()
    second.drop(("b",))
    assert edited({"a": 1, "b": 2}, first) == {"a": 1, "b": 2}
    assert edited({"a": 1, "b": 2}, second) == {"a": 1}
