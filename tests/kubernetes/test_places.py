"""What paths say about objects."""

from __future__ import annotations

import pytest

from steps.kubernetes.categories import Category
from steps.kubernetes.places import place_of


@pytest.mark.parametrize(
    ("path", "namespace", "kind"),
    [
        ("east/shop/Deployment/cart.yaml", "east/shop", "Deployment"),
        ("east/cluster/rbac.authorization.k8s.io/clusterroles/view.yaml", "east/cluster", "clusterroles"),
        ("east/shop/cart.yaml", "east/shop", "unknown"),
        ("east/cart.yaml", "east", "unknown"),
    ],
)
def test_kind_is_the_directory_below_the_namespace(path: str, namespace: str, kind: str) -> None:
    place = place_of(path.encode())
    assert (place.namespace, place.kind) == (namespace, kind)


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        ("Secret", Category.SECRET),
        ("secrets", Category.SECRET),
        ("NetworkPolicy", Category.NETWORK_POLICY),
        ("networkpolicies.networking.k8s.io", Category.NETWORK_POLICY),
        ("ClusterRoleBinding", Category.RBAC),
        ("rolebindings", Category.RBAC),
        ("Deployment", None),
        ("secretstores", None),
    ],
)
def test_category_is_known_in_every_spelling(kind: str, category: Category | None) -> None:
    assert place_of(f"east/shop/{kind}/a.yaml".encode()).category is category
