"""Kinds whose changes are security-relevant."""

from __future__ import annotations

import pytest

from steps.kubernetes.categories import Category, category_of
from steps.kubernetes.objects import Identity


@pytest.mark.parametrize(
    ("kind", "group", "category"),
    [
        ("ClusterRole", "rbac.authorization.k8s.io", Category.RBAC),
        ("Secret", "", Category.SECRET),
        ("SealedSecret", "bitnami.com", None),
        ("ExternalSecret", "external-secrets.io", None),
        ("NetworkPolicy", "networking.k8s.io", Category.NETWORK_POLICY),
        ("GlobalNetworkPolicy", "crd.projectcalico.org", Category.NETWORK_POLICY),
        ("CiliumNetworkPolicy", "cilium.io", Category.NETWORK_POLICY),
        ("CiliumClusterwideNetworkPolicy", "cilium.io", Category.NETWORK_POLICY),
        ("AuthorizationPolicy", "security.istio.io", Category.NETWORK_POLICY),
        ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io", Category.WEBHOOK),
        ("ValidatingAdmissionPolicyBinding", "admissionregistration.k8s.io", Category.WEBHOOK),
        ("SecurityContextConstraints", "security.openshift.io", Category.POD_SECURITY),
        ("CustomResourceDefinition", "apiextensions.k8s.io", Category.CUSTOM_RESOURCE_DEFINITION),
        ("Deployment", "apps", None),
        ("", "", None),
    ],
)
def test_category_of_a_kind(kind: str, group: str, category: Category | None) -> None:
    assert category_of(Identity(group, kind, "", "a")) is category
