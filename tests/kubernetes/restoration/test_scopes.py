"""Namespaces that only a directory names."""

from __future__ import annotations

import pytest

from steps.kubernetes.objects import Identity, read_objects
from steps.kubernetes.restoration.scopes import Scopes

OBJECTS = b"""\
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: regions.example.com},
 spec: {group: example.com, scope: Cluster, names: {kind: Region}}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: shops.example.com},
 spec: {group: example.com, scope: Namespaced, names: {kind: Shop}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: pay}}
"""


@pytest.mark.parametrize(
    ("group", "kind", "namespace", "may"),
    [
        ("example.com", "Region", "shop", False),
        ("example.com", "Shop", "shop", True),
        ("example.com", "Shop", "new", True),
        ("other.com", "Region", "shop", True),
        ("other.com", "Region", "pay", True),
        ("other.com", "Region", "all", False),
        ("", "ConfigMap", "new", True),
        ("", "ConfigMap", "No_Namespace", False),
    ],
)
def test_object_without_namespace_may_have_that_of_its_directory(
    group: str, kind: str, namespace: str, may: bool
) -> None:
    scopes = Scopes()
    for one in read_objects(OBJECTS):
        scopes.add(one)
    assert scopes.may_have(Identity(group, kind, "", "a"), namespace) is may
