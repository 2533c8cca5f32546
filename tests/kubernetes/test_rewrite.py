"""Cutting fields and objects out of the source text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.kubernetes.fields import Fields, Treatment, edited, parse_path
from steps.kubernetes.objects import KubernetesObject, read_objects
from steps.kubernetes.rewrite import MAX_BYTES, Rewritten, rewrite
from steps.kubernetes.volatile import BUILT_IN_SET


def dropping(*paths: str) -> Any:
    fields = Fields()
    for path in paths:
        fields.drop(parse_path(path))
    return lambda _: Treatment(fields)


def built_in(content: str) -> Rewritten:
    return rewrite(content.encode(), BUILT_IN_SET.treatment)


def cut(content: str, *paths: str) -> str:
    """The content without the fields; it must be proven."""
    result = rewrite(content.encode(), dropping(*paths))
    assert result.reason == ""
    assert result.content is not None
    return result.content.decode()


POD = """\
# exported
apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion":"v1"}
  creationTimestamp: "2026-01-01T00:00:00Z"
  name: a
  # the owner
  namespace: shop
  uid: 1-2
spec:
  containers:
  - image: nginx:1 # pinned
    name: web
status:
  phase: Running
  conditions:
  - type: Ready
    status: "True"
"""


def test_volatile_fields_of_kubectls_layout_are_cut_and_every_other_byte_stays() -> None:
    result = built_in(POD)
    assert result == Rewritten(
        b"""\
# exported
apiVersion: v1
kind: Pod
metadata:
  name: a
  # the owner
  namespace: shop
spec:
  containers:
  - image: nginx:1 # pinned
    name: web
"""
    )


@pytest.mark.parametrize(
    ("before", "paths", "after"),
    [
        ("kind: A\na: 1\nb: 2\n", ["a"], "kind: A\nb: 2\n"),
        ("kind: A\nb: 2", ["b"], "kind: A\n"),
        ("a: 1\nkind: A\n", ["a"], "kind: A\n"),
        ("\ufeffkind: A\nb: 2\n", ["b"], "\ufeffkind: A\n"),
        ("kind: A\r\nb:\r\n  c: |\r\n    text\r\nd: 1\r\n", ["b"], "kind: A\r\nd: 1\r\n"),
        ("kind: A\nb:\n  c: 1\nd: 1\n", ["b.c"], "kind: A\nd: 1\n"),
        ("kind: A\nb:\n- c: 1\n  d: 2\n", ["b[*].c"], "kind: A\nb:\n- d: 2\n"),
        ("kind: A\nb:\n- c: 1\n  d: 2\n", ["b[*].d"], "kind: A\nb:\n- c: 1\n"),
        ("kind: A\nb:\n- c: 1\n- d: 2\n", ["b[*].c"], "kind: A\nb:\n- {}\n- d: 2\n"),
        ("kind: A\nb:\n  -\n    c: 1\n  - d: 2\n", ["b[*].c"], "kind: A\nb:\n  - {}\n  - d: 2\n"),
        ("kind: A\nb:\n- 1\n- 2\nd: 3\n", ["b[*]"], "kind: A\nb: []\nd: 3\n"),
        ("kind: A\nb: [1, 2]\nd: 3\n", ["b[*]"], "kind: A\nb: []\nd: 3\n"),
        ("kind: A\nb:\n- - c: 1\n    d: 2\n", ["b[*][*].c"], "kind: A\nb:\n- - d: 2\n"),
        ("{kind: A, b: 1, c: 2}\n", ["b"], "{kind: A, c: 2}\n"),
        ("{kind: A, b: 1, c: 2}\n", ["b", "c"], "{kind: A}\n"),
        ("{b: 1, kind: A, c: {d: 1}}\n", ["b", "c.d"], "{kind: A}\n"),
        ('{"kind":"A","b":{"x":[1,{"y":2}]},"c":2}', ["b"], '{"kind":"A","c":2}'),
        ('{\n  "kind": "A",\n  "b": 1\n}\n', ["b"], '{\n  "kind": "A"\n}\n'),
        ('{\n  "kind": "A",\n  "b": [\n    {"c": 1}\n  ]\n}\n', ["b[*].c"],
         '{\n  "kind": "A",\n  "b": [\n    {}\n  ]\n}\n'),
        ("kind: A\nb: # why\n  # deeper\n  c: 1\n  # end\n# next\nd: 1\n", ["b"], "kind: A\n# next\nd: 1\n"),
        ("kind: A\nb: |+\n  text\n\n\nd: 1\n", ["b"], "kind: A\n\n\nd: 1\n"),
        ("kind: A\nb: >-\n  a\n\n  b\nd: 1\n", ["b"], "kind: A\nd: 1\n"),
        ("kind: A\nb: one\n  two\n  three\nd: 1\n", ["b"], "kind: A\nd: 1\n"),
        ('kind: A\nb: "one\n  two # no comment"\nd: 1\n', ["b"], "kind: A\nd: 1\n"),
        ("kind: A\nb:\nd: 1\n", ["b"], "kind: A\nd: 1\n"),
        ("kind: A\n? b\n: 1\nd: 1\n", ["d"], "kind: A\n? b\n: 1\n"),
        ("kind: A\nb: &x 1\nc: *x\n", ["c"], "kind: A\nb: &x 1\n"),
        ('kind: A\n"b": 1\nd: y\ne: "1e3"\nf: 08\n', ["b"], 'kind: A\nd: y\ne: "1e3"\nf: 08\n'),
        ("kind: A\nü: 1\nb: ä\nc: ß\n", ["b"], "kind: A\nü: 1\nc: ß\n"),
        ("---\nkind: A\nb: 1\n---\n# two\nkind: B\nb: 2\n...\n", ["b"],
         "---\nkind: A\n---\n# two\nkind: B\n...\n"),
    ],
)  # fmt: skip
def test_fields_are_cut(before: str, paths: list[str], after: str) -> None:
    assert cut(before, *paths) == after
    assert cut(after, *paths) == after


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ("kind: A\nb: &x 1\nc: *x\n", "b"),  # the alias would have no anchor
        ("kind: A\nb: &x {c: 1, d: 2}\ne: *x\n", "b.c"),  # e would change as well
        ("kind: A\nb: {c: 1, d: 2}\n? b2\n: {c: 1}\n? e\n", "e"),
        ("x: &x {b: 1}\nkind: A\nc: {<<: *x, d: 1}\n", "c.b"),
        ("kind: A\nkind: B\nb: 1\n", "b"),
        ("kind: A\nb: !!str 1\n", "b"),
        ("%YAML 1.1\n---\nkind: A\nb: 1\n", "b"),
        ("kind: A\nb: [1\n", "b"),
        ("kind: A\rb: 1\r", "b"),
        (f"kind: A\nb: {'x' * MAX_BYTES}\n", "b"),
    ],
)
def test_content_that_cannot_be_cut_with_proof_is_kept_exactly(content: str, path: str) -> None:
    result = rewrite(content.encode(), dropping(path))
    assert result.content == content.encode()
    assert result.reason


def test_bytes_that_are_not_text_are_kept_exactly() -> None:
    content = b"kind: A\nb: \xff\n"
    assert rewrite(content, dropping("b")) == Rewritten(content, reason="not UTF-8")


def test_content_without_such_fields_is_unchanged_and_needs_no_proof() -> None:
    content = b"kind: A\nc: 1\n"
    assert rewrite(content, dropping("b")) == Rewritten(content)


# -- omitted objects --------------------------------------------------------------------------

EVENT = "apiVersion: v1\nkind: Event\nmetadata: {name: e}\n"
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (EVENT, None),
        (f"---\n{EVENT}---\n{EVENT}", None),
        (f"{EVENT}---\n{MAP}", f"---\n{MAP}"),
        (f"# head\n{MAP}---\n# event\n{EVENT}", f"# head\n{MAP}"),
        (f"---\n{MAP}---\n{EVENT}---\n{MAP}", f"---\n{MAP}---\n{MAP}"),
        ("apiVersion: v1\nkind: EventList\nitems:\n- metadata: {name: e}\n", None),
        (
            (
                "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Event\n  a: 1\n"
                "- apiVersion: v1\n  kind: Pod\n  a: 1\nmetadata: {}\n"
            ),
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  a: 1\nmetadata: {}\n",
        ),
        (
            '{"kind": "List", "items": [{"apiVersion": "v1", "kind": "Event"}, {"kind": "Pod"}]}',
            '{"kind": "List", "items": [{"kind": "Pod"}]}',
        ),
        (
            '{"kind": "List", "items": [{"kind": "EventList", "apiVersion": "v1", "items": [1]}, {"a": 2}]}',
            '{"kind": "List", "items": [{"a": 2}]}',
        ),
        ("apiVersion: v1\nkind: List\nitems: []\n", "apiVersion: v1\nkind: List\nitems: []\n"),
    ],
)
def test_omitted_objects_are_cut(before: str, after: str | None) -> None:
    result = built_in(before)
    assert result.reason == ""
    assert result.content == (None if after is None else after.encode())


def test_omitted_objects_are_counted() -> None:
    assert built_in(f"{EVENT}---\n{MAP}---\n{EVENT}").omitted == 2


def test_items_of_lists_and_the_list_itself_lose_their_volatile_fields() -> None:
    before = (
        "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: a\n    uid: x\n"
        "  status: {}\n- metadata:\n    uid: y\n    name: b\n  kind: Pod\nkind: List\n"
        'metadata:\n  resourceVersion: "5"\n'
    )
    result = built_in(before)
    assert result.content == (
        b"apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: a\n"
        b"- metadata:\n    name: b\n  kind: Pod\nkind: List\n"
    )


def test_documents_without_a_kind_are_not_touched() -> None:
    content = b"status: text\nmetadata: {uid: 1}\n"
    assert rewrite(content, BUILT_IN_SET.treatment) == Rewritten(content)


# -- replaced values --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("kind: S\nb: {c: secret, d: 1}\n", 'kind: S\nb: {c: "x:1", d: 1}\n'),
        ("kind: S\nb:\n  c: secret # comment\n", 'kind: S\nb:\n  c: "x:1" # comment\n'),
        ("kind: S\nb:\n  c: 'secret'\n", 'kind: S\nb:\n  c: "x:1"\n'),
        ("kind: S\nb:\n  c: |\n    secret\n    more\n\n  d: 1\n", 'kind: S\nb:\n  c: "x:1"\n\n  d: 1\n'),
        ("kind: S\nb:\n  c:\n    e: secret\n  d: 1\n", 'kind: S\nb:\n  c: "x:1"\n  d: 1\n'),
        ("kind: S\nb:\n  c:\n  d: 1\n", 'kind: S\nb:\n  c: "x:1"\n  d: 1\n'),
        ('{"kind":"S","b":{"c":"sec\\"ret"}}', '{"kind":"S","b":{"c":"x:1"}}'),
    ],
)
def test_values_are_replaced(before: str, after: str) -> None:
    fields = Fields()
    fields.replace(("b", "c"), "x:1")
    result = rewrite(before.encode(), lambda _: Treatment(fields))
    assert (result.content, result.reason) == (after.encode(), "")


# -- any file, any rules ----------------------------------------------------------------------

KEYS = st.sampled_from(["a", "b", "status", "metadata", "x.y/z", "on", "1", "ä"])
TEXTS = st.one_of(
    st.sampled_from(
        ["", "y", "1e3", "08", "0o14", "null", "a: b", "# no", "- x", "two\nlines\n", "é\u2028x"]
    ),
    st.text(alphabet="ab \n:#-'\"{}[],&*!|>%@`\\", max_size=12),
)
SCALARS = st.one_of(TEXTS, st.integers(-9, 9), st.booleans(), st.none())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4).map(lambda data: {"kind": "A", **data})
STEPS = st.one_of(KEYS, st.none())
PATHS = st.lists(st.lists(STEPS, min_size=1, max_size=3).map(tuple), max_size=3)


@st.composite
def yaml_text(draw: st.DrawFn, value: Any, indent: int = 0) -> str:
    """Write the value in block style, with a random layout."""
    pad = " " * indent
    ends = draw(st.sampled_from(["\n", "\n", " # c\n", f"\n{pad}# c\n", f"\n{pad}   # deep\n", "\n\n"]))
    flow = f" {draw(flow_text(value))}"
    if isinstance(value, str) and value.strip("\n ") and draw(st.booleans()):
        lines = value.split("\n")
        if all(set(line) <= set("ab:#-'\"{}[],&*!|>%@`\\") for line in lines[:1]) and "\u2028" not in value:
            body = "".join(f"{pad}  {line}\n" if line else "\n" for line in lines)
            return f" |{draw(st.sampled_from(['', '-', '+']))}\n{body}"
    if not value or not isinstance(value, list | dict) or draw(st.integers(0, 3)) == 0:
        return flow + ends
    parts = ["\n"]
    for key in value:
        if isinstance(value, dict):
            inner = draw(yaml_text(value[key], indent + 2))
            parts.append(f"{pad}{draw(flow_text(key))}:{inner}")
        else:
            inner = draw(yaml_text(key, indent + 2))
            nested = inner.lstrip("\n")
            is_compact = isinstance(key, list | dict) and inner.startswith("\n") and draw(st.booleans())
            parts.append(f"{pad}- {nested.lstrip(' ')}" if is_compact else f"{pad}-{inner}")
    return "".join(parts)


@st.composite
def flow_text(draw: st.DrawFn, value: Any) -> str:
    """Write the value as JSON, or in YAML's flow style."""
    if isinstance(value, str) and value.isalpha() and draw(st.booleans()):
        return value
    if isinstance(value, str) and "\n" not in value and "\u2028" not in value and draw(st.booleans()):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, dict):
        gap = draw(st.sampled_from(["", " ", "\n          "]))
        inner = [f"{draw(flow_text(key))}: {draw(flow_text(one))}" for key, one in value.items()]
        return "{" + gap + f",{gap}".join(inner) + gap + "}"
    if isinstance(value, list):
        return "[" + ", ".join(draw(flow_text(one)) for one in value) + "]"
    return json.dumps(value)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    objects = draw(st.lists(OBJECTS, min_size=1, max_size=3))
    shape = draw(st.integers(0, 3))
    if shape == 0:
        text = json.dumps(
            {"kind": "List", "items": objects} if len(objects) > 1 else objects[0],
            indent=draw(st.sampled_from([None, 2])),
            ensure_ascii=draw(st.booleans()),
        )
    elif shape == 1:
        text = "".join(f"---{draw(yaml_text(one))}" for one in objects)
    else:
        text = draw(yaml_text({"kind": "List", "items": objects})).lstrip("\n ")
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + text.encode()


def data_of(content: bytes) -> list[str]:
    return [repr((one.identity, one.data)) for one in read_objects(content)]


@settings(max_examples=300, deadline=None)
@given(files(), PATHS, st.booleans())
def test_result_has_the_data_without_the_fields_or_is_exactly_the_original(
    content: bytes, paths: list[Any], omits: bool
) -> None:
    fields = Fields()
    for path in paths:
        if path[0] not in {None, "kind"}:
            fields.drop(path)

    def treat(one: KubernetesObject) -> Treatment:
        return Treatment(fields, omits and "b" in one.data)

    result = rewrite(content, treat)
    assert result == rewrite(content, treat)
    if result.reason:
        assert result.content == content
        return
    kept = [one for one in read_objects(content) if not treat(one).omit]
    expected = [repr((one.identity, edited(one.data, fields))) for one in kept]
    if result.content is None:
        assert not expected
        return
    found = [repr((one.identity, one.data)) for one in read_objects(result.content)]
    # identity may depend on metadata, which the rules cannot drop as a whole
    assert [one.partition("), ")[2] for one in found] == [one.partition("), ")[2] for one in expected]
    assert rewrite(result.content, treat) == Rewritten(result.content)


@pytest.mark.parametrize("content", ["kind: A\nx: [" + "{}," * 60_000 + "1]\n", "--- 1\n" * 60_001])
def test_file_with_too_many_values_is_kept_exactly(content: str) -> None:
    assert built_in(content) == Rewritten(content.encode(), reason="contains too many values")


def test_file_of_1_mb_with_30_000_values_is_rewritten() -> None:
    fields = "".join(f"  description{n}: {'words ' * 5}\n" for n in range(22_000))
    assert cut(f"kind: A\nspec:\n{fields}status: {{}}\n", "status") == f"kind: A\nspec:\n{fields}"
