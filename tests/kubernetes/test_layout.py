"""Removing fields line by line gives the same result as cutting parsed text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.kubernetes.layout import strip
from steps.kubernetes.rewrite import Rewritten, rewrite
from steps.kubernetes.rules_file import parse_rules
from steps.kubernetes.volatile import BUILT_IN, BUILT_IN_SET, RuleSet
from tests.bench.dataset import Dataset

HEAD = "apiVersion: apps/v1\nkind: Deployment\n"


def both(content: str, rules: RuleSet = BUILT_IN_SET) -> Rewritten | None:
    """The result, which must be that of ``rewrite`` unless the layout is declined."""
    found = strip(content.encode(), rules)
    assert found is None or found == rewrite(content.encode(), rules.treatment)
    return found


LISTS = "spec:\n- a\n- - b\n  - c\n- d: 1\n  e:\n  - f\n"
BLOCK = "    b: |\n      x: 1\n\n      # y\n  name: a\n"
APPLIED = '    kubectl.kubernetes.io/last-applied-configuration: |\n      {"a": 1}\n'
TEXTS = "data:\n  a: |-\n    status: 1\n  b: >\n    x\n"
ITEM = "spec:\n  - a: |\n      b\n    c: d\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("spec: 1\nstatus:\n  a: 1\n  b:\n  - c: 1\n    d: 2\n  - e\n", "spec: 1\n"),
        (f"status: {{}}\n{LISTS}", LISTS),
        ("metadata:\n  annotations:\n    cattle.io/timestamp: x\n  name: a\n", "metadata:\n  name: a\n"),
        ("metadata:\n  uid: a\n  selfLink: '1'\n  name: a\n  generation: 1\n", "metadata:\n  name: a\n"),
        ("metadata:\n  uid: a\n  managedFields:\n  - f:x:\n      .: {}\nspec: a\n", "spec: a\n"),
        (f"metadata:\n  annotations:\n{APPLIED}{BLOCK}", f"metadata:\n  annotations:\n{BLOCK}"),
        (TEXTS, TEXTS),
        ("metadata: {}\nspec: \"a: b # c\"\nstatus: 'it''s'\n", 'metadata: {}\nspec: "a: b # c"\n'),
        (f"metadata:\nstatus:\n{ITEM}", f"metadata:\n{ITEM}"),
    ],
)
def test_kubectls_layout_is_stripped(before: str, after: str) -> None:
    assert both(HEAD + before) == Rewritten((HEAD + after).encode())
    assert both(HEAD + after) == Rewritten((HEAD + after).encode())


def test_list_behind_a_nested_key_without_a_value_is_another_layout() -> None:
    text = "apiVersion: v1\nkind: Pod\nstatus:\n  conditions:\n- type: Ready\n"
    assert strip(text.encode(), RuleSet(BUILT_IN)) is None


def test_omitted_object_has_no_content() -> None:
    assert both("apiVersion: v1\nkind: Event\nmetadata:\n  name: a\n") == Rewritten(None, omitted=1)


@pytest.mark.parametrize(
    "content",
    [
        HEAD + "# comment\n",
        HEAD + "a: 1 # comment\n",
        HEAD + "a: &x 1\nb: *x\n",
        HEAD + "a: {b: 1}\n",
        HEAD + "a: one\n  two\n",
        HEAD + "a: 'one\n  two'\n",
        HEAD + "a: 1\na: 2\n",
        HEAD + 'a: 1\n"a": 2\n',
        HEAD + "a:\n  b: 1\n  b: 2\n",
        HEAD + "a: 1\n  b: 2\n",
        HEAD + "a:\n    b: 1\n  c: 2\n",
        HEAD + "- a\n",
        HEAD + "a: !!str 1\n",
        HEAD + "a: b: c\n",
        HEAD + "a: |\n\n  b\n",
        HEAD + "a: |2\n   b\n",
        HEAD + "a: |\n    b\n  c\n",
        HEAD + "status: |+\n  b\n\nc: 1\n",
        HEAD + "a: ü\n",
        HEAD + "a:\tb\n",
        HEAD + "a: b\r\n",
        HEAD + "items:\n- kind: Pod\n",
        HEAD + "---\n" + HEAD,
        HEAD + "<<: {}\n",
        HEAD + "? a\n",
        HEAD + "a: 1",
        HEAD + "kind: Pod\n",
        "apiVersion: v1\nkind: List\nitems: []\n",
        "apiVersion: v1\nkind: Endpoints\nstatus: {}\n",
        'apiVersion: "v1"\nkind: Pod\nstatus: {}\n',
        "kind: Pod\nstatus: {}\n",
    ],
)
def test_other_layouts_are_declined(content: str) -> None:
    assert both(content) is None


def test_rules_about_items_are_declined() -> None:
    rules = RuleSet((*BUILT_IN, *parse_rules(b"- {kinds: [Deployment], drop: ['spec[*].a']}")))
    assert both(HEAD + "spec:\n- a: 1\n", rules) is None
    assert both(HEAD + "spec:\n  a: 1\n", rules) is not None


def test_files_of_the_bench_are_the_same_by_lines_and_by_parsing() -> None:
    bodies = list(Dataset(300).bodies.values())
    found = [(body, strip(body, BUILT_IN_SET)) for body in bodies]
    for body, result in found:
        assert result is None or result == rewrite(body, BUILT_IN_SET.treatment)
    assert sum(result is not None for _, result in found) > len(bodies) / 2


# -- any file ---------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["a", "status", "metadata", "uid", "annotations", "f:x", "x.y/z", '"b c"', "null", "..."]
)
SCALARS = st.sampled_from(
    ["1", "{}", "[]", "text two", "'q'", '"q: # \\n"', "", "~", "-x", "a:b", "a#b", "- b", "a: b", "a #b",
     "|x", "%a", "---", "<<", "a'b", "it: 's", '"a', "[a", "|", "|-", ">", "|2", "*a", "&a b", "!a b", "? b",
     ".", "...", "=", "a]b"]
)  # fmt: skip
LINES = st.builds(
    lambda indent, dashes, key, value: f"{' ' * indent}{'- ' * dashes}{key}{value}".rstrip(" "),
    st.sampled_from([0, 0, 2, 2, 4, 6, 1]),
    st.sampled_from([0, 0, 0, 1, 2]),
    NAMES.map(lambda name: f"{name}: ") | st.just(""),
    SCALARS,
)
RULES = RuleSet(
    (*BUILT_IN, *parse_rules(b"- {kinds: [Pod], drop: [a, metadata.x.y/z, 'metadata[x.y/z].a']}"))
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(LINES, max_size=9))
def test_lines_and_parsing_never_differ(lines: list[str]) -> None:
    both("\n".join(["apiVersion: v1", "kind: Pod", *lines, ""]), RULES)


TREES: Any = st.recursive(
    st.sampled_from(["1", "{}", "text", "'q'", "|\n<text: 1>", "-x"]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "status", "metadata", "uid", "x.y/z"]), inner, min_size=1, max_size=3
        )
    ),
    max_leaves=10,
)


def written(tree: Any, indent: int) -> str:
    """Write a tree as kubectl does: items at the column of their key."""
    pad = " " * indent
    if isinstance(tree, dict):
        parts = []
        for key, value in tree.items():
            below = indent if isinstance(value, list) else indent + 2
            text = written(value, below)
            parts.append(f"{pad}{key}:{text if not isinstance(value, str) else ' ' + text.lstrip(' ')}")
            if not isinstance(value, str):
                parts[-1] = f"{pad}{key}:\n{text}"
        return "".join(parts)
    if isinstance(tree, list):
        return "".join(f"{pad}- {written(item, indent + 2).lstrip(' ')}" for item in tree)
    return f"{pad}{tree}\n".replace("\n<", "\n" + " " * indent).replace(">", "")


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "metadata", "status", "spec"]), TREES, min_size=1, max_size=4))
def test_trees_in_kubectls_layout_are_the_same_by_lines_and_by_parsing(tree: dict[str, Any]) -> None:
    assert both(f"apiVersion: v1\nkind: Pod\n{written(tree, 0)}", RULES) is not None


def test_file_with_too_many_values_is_left_to_rewrite() -> None:
    content = b"apiVersion: v1\nkind: Pod\nspec:\n" + b"- - - - - - - - a\n" * 8000 + b"status: {}\n"
    assert strip(content, BUILT_IN_SET) is None
