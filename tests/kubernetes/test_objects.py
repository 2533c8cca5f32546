"""Reading objects from untrusted YAML and JSON."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from steps.kubernetes.objects import MAX_BYTES, Identity, Unreadable, read_objects


def data(content: str) -> Any:
    """The data of the only document."""
    (one,) = read_objects(content.encode())
    return one.data


def identities(content: str) -> list[Identity]:
    return [one.identity for one in read_objects(content.encode())]


# -- which objects a file has ---------------------------------------------------------------------

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\n"
ROLE = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\n"
RBAC = "rbac.authorization.k8s.io"


def test_every_document_is_an_object() -> None:
    assert identities(f"---\n{POD}---\n---\n{ROLE}...\n") == [
        Identity("", "Pod", "shop", "a"),
        Identity(RBAC, "Role", "", "r"),
    ]


def test_every_item_of_a_list_is_an_object() -> None:
    items = json.dumps([yaml.safe_load(POD), yaml.safe_load(ROLE)])
    found = identities(f'{{"apiVersion": "v1", "kind": "List", "items": {items}}}')
    assert [one.kind for one in found] == ["Pod", "Role"]
    nested = f'{{"kind": "List", "items": [{{"kind": "List", "items": {items}}}]}}'
    assert identities(nested) == found


def test_items_without_a_kind_get_it_from_their_list() -> None:
    text = f"apiVersion: {RBAC}/v1\nkind: RoleList\nitems:\n- metadata: {{name: r}}\n"
    assert identities(text) == [Identity(RBAC, "Role", "", "r")]
    bare = "kind: List\napiVersion: v1\nitems:\n- metadata: {name: r}\n"
    assert identities(bare) == [Identity("", "", "", "r")]


def test_other_documents_are_objects_without_a_kind() -> None:
    assert identities("just text") == [Identity("", "", "", "")]
    assert identities("- a\n- b\n") == [Identity("", "", "", "")]
    assert identities("") == []
    assert identities("# comment\n---\n") == []


def test_fields_of_unexpected_types_are_ignored() -> None:
    assert identities("kind: [Role]\napiVersion: 1\nmetadata: [name]\n") == [Identity("", "", "", "")]
    assert identities("kind: RoleList\nitems: text\n") == [Identity("", "RoleList", "", "")]


# -- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1),
        ('"1"', "1"),
        ("-0x1F", -31),
        ("010", 8),
        ("0o10", 8),
        ("08", 8),
        ("1_000", 1000),
        ("1e3", 1000),
        ("1.50", 1.5),
        ("25%", "25%"),
        ("100m", "100m"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("yes", True),
        ("'yes'", "yes"),
        ("y", True),
        ("OFF", False),
        ("oN", "oN"),
        ("~", None),
        ("", None),
        ("null", None),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("9" * 41, "9" * 41),
        ("0b", "0b"),
        ("0x_", "0x_"),
        (".", "."),
        ("<<", "<<"),
    ],
)
def test_scalars_have_the_values_that_kubectl_reads(written: str, value: object) -> None:
    found = data(f"a: {written}\n")["a"]
    assert found == value
    assert type(found) is type(value)


# PyYAML writes texts such as "N" and "1e3" without quotes, and kubectl reads another value. So: x first.
TEXT = st.text(st.characters(codec="ascii", min_codepoint=32)).map(lambda text: f"x{text}")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_yaml_and_json_of_the_same_data_are_equal(value: Any) -> None:
    document = {"kind": "X", "spec": value}
    assert data(json.dumps(document)) == document
    assert data(yaml.safe_dump(document)) == document


def test_aliases_have_the_values_of_their_anchors() -> None:
    assert data("a: &x [1, {b: c}]\nd: *x\n") == {"a": [1, {"b": "c"}], "d": [1, {"b": "c"}]}
    assert data("a: &x {b: 1, c: 1}\nd: {<<: *x, b: 2}\n")["d"] == {"b": 2, "c": 1}
    assert data("d: {<<: [{a: 1}, {a: 2, b: 2}]}\n")["d"] == {"a": 1, "b": 2}
    assert data('d: {"<<": {a: 1}}\n')["d"] == {"<<": {"a": 1}}


# -- what is unreadable ---------------------------------------------------------------------------


def bomb(levels: int) -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines).encode()


def deep_aliases(anchors: int) -> bytes:
    """Each anchor contains the one before, 190 levels down."""
    lines = ["a0: &a0 x"]
    lines += [f"a{n}: &a{n} {'[' * 190}*a{n - 1}{']' * 190}" for n in range(1, anchors)]
    return "\n".join(lines).encode()


_SEPARATOR = 'contains "---" that kubectl may read differently'


@pytest.mark.parametrize(
    "content",
    [
        "---\na: 1\n",
        "--- # x\r\na: 1\r\n--- \t\r\nb: 2\r\n---",
        "a: 1\n...\n---\nb: |\n  ---\n",
        "\ufeff---\na: 1",
    ],
)
def test_separators_that_kubectl_reads_alike_are_accepted(content: str) -> None:
    assert read_objects(content.encode())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: b: c", "not YAML (line 1)"),
        (b"a: [", "not YAML"),
        (b"\x00\x01", "not YAML"),
        (b"\xff\xfe\xff", "not UTF-8"),
        ("kind: Pod".encode("utf-16"), "not UTF-8"),
        (b"kind: Pod\n" + b"#" * MAX_BYTES, "larger than 512 KiB"),
        (b"a: 1\nb: 2\na: 3\n", "contains a duplicate key (line 3)"),
        (b"? [a]\n: b\n", "contains a key that is not text"),
        (b"&a [*a]\n", "contains an alias of an unknown value"),
        (b"a: *b\n", "contains an alias of an unknown value"),
        (b"a: &x 1\n---\nb: *x\n", "contains an alias of an unknown value"),
        (b"<<: text\n", "merges a value that is not a mapping"),
        (bomb(12), "contains too many values"),
        (b"[" * 50_000, "nested more than 200 levels"),
        (b"- " * 50_000, "nested more than 200 levels"),
        (b"kind: !!binary Um9sZQ==\n", "contains a tag (line 1)"),
        (b"a: !!bool 'true'\n", "contains a tag (line 1)"),
        (b"a: !x {b: c}\n", "contains a tag (line 1)"),
        (b"!!binary aW1hZ2U=: b\n", "contains a tag (line 1)"),
        (b"x: &x {a: 1}\ny: {a: 2, <<: *x}\n", "merges a mapping after other keys"),
        (b"x: &x {a: 1}\ny: {<<: *x, <<: *x}\n", "merges a mapping after other keys"),
        (b"kind: Pod\n---#x: |\n  kind: Role\n", _SEPARATOR),
        ("a: '\n---\u00a0\nb: c\n---\u3000\n'\n".encode(), _SEPARATOR),
        (b"a: 1\n--- 'x'\n", _SEPARATOR),
        (b"--- {a: 1}\n", _SEPARATOR),
        (b"a: 1\n---\rb: 2\n", _SEPARATOR),
        (b"a: 1\r---\rb: 2\n", _SEPARATOR),
        (b"a: 1\n--- # x\rb: 2\n", _SEPARATOR),
        ("a: 1\n--- # x\u2028b: 2\n".encode(), _SEPARATOR),
        (b"# x\r--- |\n  b: 2\n", _SEPARATOR),
        ("# x\x85---\na: 2\n".encode(), _SEPARATOR),
        (b"a: 'x\n---- y'\n", _SEPARATOR),
        (b"a: 1\n...\nb: 2\n", "not YAML (line 3)"),
        ('---\n\ufeff--- {"a":1}\n'.encode(), "contains a second byte order mark"),
        ("\ufeff\ufeff---\na: 1\n".encode(), _SEPARATOR),
        (b"kind: ConfigMap\nitems: [{kind: Role}]\n", "contains objects in items"),
        (b"a: &a '" + b"x" * 200_000 + b"'\nb: [" + b"*a, " * 3000 + b"]", "contains too many values"),
        (deep_aliases(12), "nested more than 200 levels"),
        (b"---\na\n" * 5001, "has more than 5,000 objects"),
    ],
)
def test_unreadable_file_has_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as problem:
        read_objects(content)
    assert reason in str(problem.value)


@pytest.mark.parametrize("line", ["", "kind: Pod\n...\n", "#\r", "#\x85", "#\u2028", "\ufeff"])
def test_yaml_directives_are_not_parsed(line: str) -> None:
    """The parser needs quadratic time for them."""
    with pytest.raises(Unreadable, match="directive"):
        read_objects(f"{line}%TAG !a! a\n---\nkind: Pod\n".encode())


def test_percent_sign_inside_a_line_is_not_a_directive() -> None:
    assert data("kind: Pod\nmaxSurge: 25%\ntext: |\n  %TAG\n")["maxSurge"] == "25%"


def test_tags_construct_nothing() -> None:
    with pytest.raises(Unreadable, match="contains a tag"):
        read_objects(b"a: !!python/object/apply:os.system [exit 1]\n")


def test_reason_contains_nothing_of_the_file() -> None:
    with pytest.raises(Unreadable) as problem:
        read_objects(b'kind: Secret\nstringData: {password: "hunter2\n')
    assert "hunter2" not in str(problem.value)


@pytest.mark.parametrize(
    "content",
    [
        bomb(6),
        b"a: {" + b"".join(b"k%d: 1, " % n for n in range(40_000)) + b"}",
        b"[" + b"a," * 200_000 + b"]",
        b"".join(b"a%d: &a%d 1\n" % (n, n) for n in range(20_000)),
        b"a: &x {b: 1}\nc: {<<: [" + b"*x, " * 50_000 + b"]}",
    ],
    ids=["aliases", "keys", "items", "anchors", "merges"],
)
def test_hostile_file_is_read_or_rejected_in_bounded_time(content: bytes) -> None:
    began = time.process_time()
    with suppress(Unreadable):
        read_objects(content[:MAX_BYTES])
    assert time.process_time() - began < 30  # seconds are normal; quadratic time is minutes
