"""The names of resources, as rules and as people write them."""

from __future__ import annotations

import pytest

from steps.kubernetes.resources import is_known, plural


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("secrets", "secrets"),
        ("secret", "secrets"),
        ("Secret", "secrets"),
        ("SECRETS", "secrets"),
        ("cm", "configmaps"),
        ("sts", "statefulsets"),
        ("NetworkPolicy", "networkpolicies"),
        ("ingress", "ingresses"),
        ("IngressClass", "ingressclasses"),
        ("endpoints", "endpoints"),
        ("lease", "leases"),
        ("componentstatus", "componentstatuses"),
        ("EndpointSlice", "endpointslices"),
        ("CSIStorageCapacity", "csistoragecapacities"),
        ("SecurityContextConstraints", "securitycontextconstraints"),
        ("widget", "widget"),
    ],
)
def test_plural_is_the_name_that_rules_use(written: str, name: str) -> None:
    assert plural(written) == name


@pytest.mark.parametrize("resource", ["secrets", "pods/exec", "*", "*/scale", "deployments/scale", "users"])
def test_resource_of_kubernetes_is_known(resource: str) -> None:
    assert is_known(resource)


@pytest.mark.parametrize("resource", ["secret", "widgets", "pods/exce", ""])
def test_other_name_is_not_known(resource: str) -> None:
    assert not is_known(resource)
