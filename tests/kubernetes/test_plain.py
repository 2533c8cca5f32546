"""The fast reader of simple files: it reads a file as libyaml does, or refuses it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.kubernetes.objects import Reader, Unreadable, decoded, read_documents, read_objects
from steps.kubernetes.plain import objects_of_file, plain_documents

POD = """\
apiVersion: v1
kind: Pod
metadata:
  annotations: {}
  labels:
    app: "web"
    version: '010'
  creationTimestamp: "2024-01-01T00:00:00Z"
  name: web
spec:
  hostNetwork: yes
  containers:
  - args:
    - -c
    - --port=80
    - a:b
    image: registry.example.com:5000/web:1.2@sha256
    name: main
    ports:
    - containerPort: 8080
      protocol: TCP
    securityContext:
  tolerations:
    - key: a
      seconds: 1e3
    - key: b
  empty: []
"""


def parsed(content: bytes) -> list[Any] | str:
    """Return what libyaml makes of a file, or the reason why it is unreadable."""
    try:
        documents = read_documents(decoded(content, 10**6), Reader())
    except Unreadable as problem:
        return str(problem)
    return [document for document in documents if document is not None]


def test_file_as_kubectl_writes_it_is_read() -> None:
    content = f"---\n{POD}---\n{POD}".encode()
    found = plain_documents(content)
    assert found is not None
    assert found == parsed(content)
    assert repr(found) == repr(parsed(content))
    assert found[0]["spec"]["hostNetwork"] is True
    assert found[0]["spec"]["containers"][0]["securityContext"] is None


@pytest.mark.parametrize(
    "text",
    [
        "a: &x b",
        "a: *x",
        "a: !!str b",
        "a: |\n  b",
        "a: b # c",
        "# c",
        "a: b: c",
        "a: b\n  c: d",
        "a: b\n  c",
        "a: 'b\n  c'",
        "a: 'b''c'",
        'a: "\\x53"',
        "a: b\na: c",
        "a:\n    b: c\n  d: e",
        "a: b\n- c",
        "- a",
        "a:  b",
        "a: b ",
        "a:\tb",
        "a: \u00e4",
        "a: b\r",
        "<<: {a: b}",
        "? a",
        "a: [b]",
        "a: {b: c}",
        "%TAG ! x",
        "a: @b",
        "a: -",
        "a: --- b",
        "text",
        "a:\n- - b",
    ],
)
def test_file_with_anything_else_is_refused(text: str) -> None:
    assert plain_documents(text.encode()) is None


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [
                "a: b",
                "b:",
                "c: 1",
                "a:",
                "  a: b",
                "  b:",
                "  - a",
                "- a",
                "- b: c",
                "- a:",
                "    c: d",
                "  c: 0x1F",
                "---",
                "",
                "    - d",
                "  - e: f",
                "   x: y",
                "- ",
                "-",
                "a: ''",
                'b: "x"',
                "d: {}",
                "d: []",
                "e: -1",
                "e: .5",
                "f: ~",
                "f: a:b",
                "...",
                "a: b:",
                "g: -",
                "'q': 1",
                "1: 2",
                "y: n",
                "h: 1_0",
                "i: 2024-01-01",
                " a: b",
                "- - a",
                "null: x",
                "j: =",
                "k: <<",
            ]
        ),
        max_size=9,
    )
)
def test_file_is_read_as_libyaml_reads_it(lines: list[str]) -> None:
    content = "\n".join(lines).encode()
    found = plain_documents(content)
    assert found is None or repr(found) == repr(parsed(content))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("abc:/.-_ 01yne'\"#~", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abynA.-/0", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["apiVersion", "kind", "spec", "data"]), _VALUES), st.booleans())
def test_dumped_data_is_read_as_libyaml_reads_it(data: dict[str, Any], indented: bool) -> None:
    content = yaml.safe_dump(data, indent=4 if indented else 2).encode()
    found = plain_documents(content)
    assert found is None or repr(found) == repr(parsed(content))


@pytest.mark.parametrize(
    "text", [POD, f"---\n{POD}---\n{POD}", f"# a comment\n{POD}", "kind: List\nitems:\n- kind: A\n"]
)
def test_objects_of_a_file_are_those_of_the_parser(text: str) -> None:
    assert objects_of_file(text.encode()) == read_objects(text.encode())


def test_objects_of_a_simple_file_need_no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_objects(POD.encode())
    monkeypatch.delattr(yaml, "parse")
    assert objects_of_file(POD.encode()) == expected
