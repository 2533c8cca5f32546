"""What in metadata may repeat a secret value."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from steps.kubernetes.fields import Fields, edited
from steps.kubernetes.secret_copies import Copies, decoded_value, spellings

VALUE = "correct horse"
ENCODED = base64.b64encode(VALUE.encode()).decode()


def kept(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a Secret afterwards."""
    data = {"kind": "Secret", "metadata": metadata}
    fields = Fields()
    Copies().drop_from_secret(fields, data, (), [VALUE, ENCODED])
    result: dict[str, Any] = edited(data, fields)["metadata"]
    return result


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"x": VALUE}},
        {"labels": {"x": [VALUE]}},
        {"labels": [VALUE]},
        {"annotations": {"x": f"is {ENCODED}"}},
        {"annotations": {"x": "correct hors"}},
        {"annotations": {"x": json.dumps({"short": "a"})}},
        {"annotations": {"x": {"short": "a"}}},
        {"annotations": VALUE},
        {"ownerReferences": [{"name": VALUE}]},
        {"uid": {"x": VALUE}},
        {"namespace": {"x": "a"}},
        {"managedFields": [{"manager": "a"}]},
        {"data": {"x": "a"}},
    ],
)
def test_copies_drop_what_may_repeat_a_value(metadata: dict[str, Any]) -> None:
    assert kept({"name": "a", **metadata}) == {"name": "a"}


def test_copies_keep_what_repeats_no_value() -> None:
    metadata = {
        "name": "a",
        "namespace": "shop",
        "labels": {"x": "correct"},
        "annotations": {"x": "a note", "y": "horse"},
        "finalizers": ["example.com/x"],
        "ownerReferences": [{"name": "b"}],
    }
    assert kept(metadata) == metadata


def test_copies_find_a_value_in_the_name_of_an_anchor() -> None:
    assert Copies().is_in_anchor("a: &long-secret b", ["long-secret"])
    assert not Copies().is_in_anchor("a: &other long-secret", ["long-secret"])


def test_spellings_are_the_value_and_its_other_encoding() -> None:
    assert list(spellings({"a": [VALUE, "short", None]}, is_data=False)) == [
        base64.b64encode(b"short").decode(),
        VALUE,
        ENCODED,
    ]
    assert list(spellings(ENCODED, is_data=True)) == [ENCODED, VALUE]


def test_decoded_value_is_base64_only_in_data() -> None:
    assert decoded_value(ENCODED, is_data=True) == (VALUE.encode(), True)
    assert decoded_value(ENCODED, is_data=False) == (ENCODED.encode(), False)
    assert decoded_value(1, is_data=True) == (b"1", False)
