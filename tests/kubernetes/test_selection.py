"""Which objects --namespace, --select and --exclude select."""

from __future__ import annotations

import pytest

from steps.kubernetes.objects import Identity
from steps.kubernetes.selection import ObjectFilter, matches, namespace_of

CART = Identity("apps", "Deployment", "shop", "cart")
ROLE = Identity("rbac.authorization.k8s.io", "ClusterRole", "", "admin")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("Deployment/cart", True),
        ("deployment/c*", True),
        ("Deployment.apps/cart", True),
        ("Deployment", True),
        ("*/cart", True),
        ("Deployment.extensions/cart", False),
        ("Deployment/Cart", False),
        ("Deploy/cart", False),
        ("*/", False),
    ],
)
def test_pattern_matches_kind_and_name(pattern: str, expected: bool) -> None:
    assert matches(CART, pattern) is expected


@pytest.mark.parametrize(
    ("chosen", "cart", "role"),
    [
        (ObjectFilter(), True, True),
        (ObjectFilter(namespaces=("sh*",)), True, False),
        (ObjectFilter(namespaces=("payments",)), False, False),
        (ObjectFilter(select=("ClusterRole/*",)), False, True),
        (ObjectFilter(namespaces=("shop",), select=("*",)), True, True),
        (ObjectFilter(exclude=("Deployment",)), False, True),
        (ObjectFilter(select=("*",), exclude=("*/cart",)), False, True),
    ],
)
def test_filter_selects(chosen: ObjectFilter, cart: bool, role: bool) -> None:
    assert (chosen.has(CART, "shop"), chosen.has(ROLE, "")) == (cart, role)
    assert chosen.selects_all is (chosen == ObjectFilter())


@pytest.mark.parametrize(
    ("identity", "path", "expected"),
    [
        (CART, b"east/other/cart.yaml", "shop"),
        (CART._replace(namespace=""), b"east/other/Deployment/cart.yaml", "other"),
        (CART._replace(namespace=""), b"east/cart.yaml", ""),
        (ROLE, b"east/other/admin.yaml", ""),
        (ROLE._replace(namespace="wrong"), b"east/other/admin.yaml", ""),
        (Identity("example.com", "Widget", "", "w"), b"east/_cluster/widgets/w.yaml", ""),
    ],
)
def test_namespace_comes_from_the_object_then_from_its_directory(
    identity: Identity, path: bytes, expected: str
) -> None:
    assert namespace_of(identity, path) == expected
