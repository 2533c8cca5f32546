"""The content of restored files: cut from the source, or JSON with the same data."""

from __future__ import annotations

import json

import pytest

from steps.kubernetes.objects import read_objects
from steps.kubernetes.restoration.decide import Restored, decide
from steps.kubernetes.restoration.rules import Known
from steps.kubernetes.restoration.split import split
from steps.kubernetes.restoration.write import Unwritable, Written, as_json, written


def write(content: bytes, number: int = 0, **namespaces: str) -> Written:
    piece = split(content)[number]
    decision = decide(piece.one, Known(), (), namespaces)
    assert isinstance(decision, Restored)
    result = written(piece, decision)
    (read,) = read_objects(result.content)
    assert repr(read.data) == repr(decision.applied_to(piece.one.data))
    return result


TRAPS = b"""\
apiVersion: v1
data:
  a: "1e3"   # a comment
  b: 'y'
  c: "08"
  d: |+
    text

kind: ConfigMap
metadata:
  creationTimestamp: "2025-07-12T22:06:58Z"
  name: a
  namespace: shop
"""


def test_texts_that_look_like_other_values_stay_as_they_are() -> None:
    assert write(TRAPS) == Written(
        TRAPS.replace(b'  creationTimestamp: "2025-07-12T22:06:58Z"\n', b""), "text"
    )


def test_a_mapped_namespace_is_quoted() -> None:
    assert b'  namespace: "1e3"\n' in write(TRAPS, shop="1e3").content


def test_an_item_of_a_list_is_cut_and_written_as_text() -> None:
    items = b"".join(b"- " + TRAPS.replace(b"\n", b"\n  ").rstrip(b" ") for _ in range(2))
    content = b"apiVersion: v1\nkind: List\nitems:\n" + items
    assert write(content, 1).form == "text"


@pytest.mark.parametrize(
    "content",
    [
        b"{apiVersion: v1, kind: ConfigMapList, items: [{metadata: {name: a}, data: {a: '1e3'}}]}",
        (
            b"apiVersion: v1\nkind: List\nitems:\n"
            b"- {apiVersion: v1, kind: A, metadata: {name: a}, x: &x [y]}\n"
            b"- {apiVersion: v1, kind: B, metadata: {name: b}, x: *x}\n"
        ),
        b"apiVersion: v1\nkind: A\nmetadata: {name: a, uid: &u x}\nspec: *u\n",
    ],
    ids=["no kind", "alias of another object", "alias of a removed field"],
)
def test_an_object_whose_text_cannot_be_cut_is_json(content: bytes) -> None:
    number = len(split(content)) - 1
    result = write(content, number)
    assert result.form == "json"
    assert json.loads(result.content)["kind"]


def test_json_has_the_same_data() -> None:
    data = {"text": "1e3 ü \U0001f600 \u2028", "number": 1000, "float": 0.5, "none": None, "list": [True, {}]}
    content, form = as_json(data)
    assert form == "json"
    assert json.loads(content) == data


@pytest.mark.parametrize("value", ["\ud800", float("nan"), float("inf")])
def test_a_value_that_json_lacks_is_not_written(value: object) -> None:
    with pytest.raises(Unwritable):
        as_json({"x": value})


def test_an_object_that_is_too_large_to_cut_is_json() -> None:
    """The CRDs of Argo Workflows have more than 2 MiB."""
    content = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, uid: u}\ndata:\n  a: '%s'\n" % (
        b"x" * 2**22
    )
    (piece,) = split(content)
    decision = decide(piece.one, Known(), (), {})
    assert isinstance(decision, Restored)
    result = written(piece, decision)
    assert result.form == "json"
    assert json.loads(result.content) == decision.applied_to(piece.one.data)
