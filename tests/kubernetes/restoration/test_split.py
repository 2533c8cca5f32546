"""Objects of a file with their source texts."""

from __future__ import annotations

import pytest

from steps.kubernetes.objects import Unreadable
from steps.kubernetes.restoration.split import split

LIST = b"""\
apiVersion: v1
items:
- apiVersion: v1
  data:
    text: |
      a

        b
  kind: ConfigMap
  metadata: {name: a}
# a comment
-   apiVersion: v1
    kind: ConfigMap
    metadata:
      name: b
kind: List
metadata: {resourceVersion: ""}
"""


def texts(content: bytes) -> list[bytes | None]:
    return [piece.text for piece in split(content)]


def test_a_file_with_one_object_is_its_text() -> None:
    content = b"# comment\n---\nkind: ConfigMap\nmetadata: {name: a}\n"
    assert texts(content) == [content]


def test_documents_are_cut_at_their_lines() -> None:
    content = b"---\nkind: A\n# of A\n---\n# of B\nkind: B\n--- # c\n{kind: C}\n---\n"
    assert texts(content) == [b"kind: A\n# of A\n", b"# of B\nkind: B\n", b"--- # c\n{kind: C}\n"]


def test_items_of_a_list_get_the_indentation_of_a_document() -> None:
    assert texts(LIST) == [
        b"apiVersion: v1\ndata:\n  text: |\n    a\n\n      b\nkind: ConfigMap\nmetadata: {name: a}\n",
        b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n",
    ]


def test_items_in_json_are_cut_as_they_are() -> None:
    content = (
        b'{"kind": "List", "items": [{"apiVersion": "v1", "kind": "A"}, {"apiVersion": "v1", "kind": "B"}]}'
    )
    assert texts(content) == [b'{"apiVersion": "v1", "kind": "A"}\n', b'{"apiVersion": "v1", "kind": "B"}\n']


def test_items_without_kind_get_that_of_the_list_and_have_no_text() -> None:
    (piece,) = split(b"{apiVersion: apps/v1, kind: DeploymentList, items: [{metadata: {name: a}}]}")
    assert piece.text is None
    assert piece.one.data == {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}
    assert piece.one.identity[:2] == ("apps", "Deployment")


def test_an_unreadable_file_has_no_pieces() -> None:
    with pytest.raises(Unreadable):
        split(b"a: b: c")
