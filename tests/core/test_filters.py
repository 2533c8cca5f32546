"""Selection of clusters, namespaces and objects by the filters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.filters import Selection


@pytest.mark.parametrize(
    ("globs", "selected"),
    [
        ((), {"prod-east", "prod-west", "staging", "PROD"}),
        (("staging",), {"staging"}),
        (("prod-*",), {"prod-east", "prod-west"}),
        (("prod-????",), {"prod-east", "prod-west"}),
        (("prod-[ew]ast",), {"prod-east"}),
        (("prod-*", "!prod-west"), {"prod-east"}),
        (("!prod-west", "prod-*"), {"prod-east", "prod-west"}),  # the last match wins
        (("!prod-*",), {"staging", "PROD"}),  # only negations: everything else
        (("!*",), set()),
        (("!*", "staging"), {"staging"}),
        (("nothing",), set()),
        (("prod",), set()),  # the whole name, not a prefix; case-sensitive
    ],
)
def test_globs_select_clusters_and_namespaces_in_the_same_way(
    globs: tuple[str, ...], selected: set[str]
) -> None:
    names = {"prod-east", "prod-west", "staging", "PROD"}
    by_cluster, by_namespace = Selection(clusters=globs), Selection(namespaces=globs)
    assert {name for name in names if by_cluster.has_cluster(name)} == selected
    assert {name for name in names if by_namespace.has_path(f"c/{name}/x.yaml".encode())} == selected


@pytest.mark.parametrize(
    ("path", "selected"),
    [
        (b"east/default/x.yaml", True),
        (b"east/default", True),  # an object directly below the cluster: its name is the first segment
        (b"east/default/kube-system/x", True),
        (b"east/kube-system/default/x", False),
        (b"default/kube-system/x", False),
        (b"east/default-2/x", False),
    ],
)
def test_namespace_is_the_first_segment_after_the_cluster(path: bytes, selected: bool) -> None:
    assert Selection(namespaces=("default",)).has_path(path) is selected


@pytest.mark.parametrize(
    ("patterns", "path", "selected"),
    [
        (("*.log",), b"east/default/a.log", False),
        (("*.log",), b"east/default/a.logs", True),
        (("*.log", "!keep.log"), b"east/default/keep.log", True),
        (("secrets/",), b"east/default/secrets/x", False),
        (("secrets/",), b"east/default/secrets", True),
        (("/secrets",), b"east/secrets", True),  # anchored at <cluster>
        (("/east/secrets",), b"east/secrets/x", False),
        (("/east/secrets",), b"west/secrets/x", True),
        (("east/**/Secret",), b"east/a/b/Secret/x", False),
        (("a\\ b",), b"east/a b", False),
        (("gr\u00f6\u00dfe",), "east/größe/x".encode(), False),
        (("*.bin",), b"east/\xff\xfe.bin", False),
        (("*.bin",), b"east/\xff\xfe.txt", True),
    ],
)
def test_exclude_uses_the_syntax_of_gitignore(patterns: tuple[str, ...], path: bytes, selected: bool) -> None:
    assert Selection(exclude=patterns).has_path(path) is selected


def test_path_must_pass_both_namespaces_and_exclude() -> None:
    both = Selection(namespaces=("default",), exclude=("*.log",))
    paths = [b"c/default/a", b"c/default/a.log", b"c/other/a", b"c/other/a.log"]
    assert [both.has_path(path) for path in paths] == [True, False, False, False]


@pytest.mark.parametrize(
    ("selection", "whole_cluster"),
    [
        (Selection(), True),
        (Selection(clusters=("*",)), True),
        (Selection(namespaces=("*",)), False),
        (Selection(exclude=("x",)), False),
    ],
)
def test_selection_knows_whether_it_selects_whole_clusters(selection: Selection, whole_cluster: bool) -> None:
    assert selection.is_whole_cluster is whole_cluster


@given(st.binary())
def test_every_path_is_selected_without_a_filter(path: bytes) -> None:
    assert Selection().has_path(path)
