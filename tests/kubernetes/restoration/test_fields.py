"""Fields by their path: found, removed, replaced."""

from __future__ import annotations

from typing import Any

import pytest

from steps.kubernetes.fields import parse_path, written_path
from steps.kubernetes.restoration.fields import (
    FieldPath,
    emptied_parents,
    find_fields,
    with_values,
    without_fields,
)

DATA: dict[str, Any] = {
    "metadata": {"annotations": {"a/x": "1", "a/y": "2", "b": "3"}, "name": "n"},
    "spec": {"ports": [{"port": 1, "nodePort": 2}, {"port": 3}], "list": ["x", "y"], "empty": {}},
}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("spec.ports[*].nodePort", {"spec.ports[0].nodePort": 2}),
        ("spec.list[*]", {"spec.list[0]": "x", "spec.list[1]": "y"}),
        ("metadata.annotations[a/*]", {"metadata.annotations.a/x": "1", "metadata.annotations.a/y": "2"}),
        ("spec.list.x", {}),
        ("spec.ports.port", {}),
        ("metadata.name.x", {}),
    ],
)
def test_fields_are_found_by_keys_globs_and_items(pattern: str, found: dict[str, Any]) -> None:
    assert {written_path(path): value for path, value in find_fields(DATA, parse_path(pattern))} == found


def test_removed_fields_are_missing_in_the_copy_only() -> None:
    before = str(DATA)
    rest = without_fields(DATA, [("spec", "ports", 0), ("metadata", "annotations", "a/x"), ("spec", "empty")])
    assert rest["spec"] == {"ports": [{"port": 3}], "list": ["x", "y"]}
    assert rest["metadata"]["annotations"] == {"a/y": "2", "b": "3"}
    assert str(DATA) == before


def test_replaced_fields_have_new_values_in_the_copy_only() -> None:
    before = str(DATA)
    changed = with_values(DATA, {("spec", "list", 1): "z", ("metadata", "namespace"): "new"})
    assert changed["spec"]["list"] == ["x", "z"]
    assert changed["metadata"]["namespace"] == "new"
    assert str(DATA) == before


@pytest.mark.parametrize(
    ("paths", "removed"),
    [
        ({("spec", "list", 0)}, {("spec", "list", 0)}),
        ({("spec", "list", 0), ("spec", "list", 1)}, {("spec", "list")}),
        ({("metadata", "annotations", key) for key in ("a/x", "a/y", "b")}, {("metadata", "annotations")}),
        (
            {("spec", "list"), ("spec", "empty"), *(("spec", "ports", n, "port") for n in (0, 1))},
            {("spec", "list"), ("spec", "empty"), ("spec", "ports", 0, "port"), ("spec", "ports", 1)},
        ),
        ({("spec",), ("spec", "list", 0)}, {("spec",)}),
    ],
)
def test_a_mapping_or_list_of_which_nothing_remains_is_removed(
    paths: set[FieldPath], removed: set[FieldPath]
) -> None:
    assert emptied_parents(DATA, paths) == removed
