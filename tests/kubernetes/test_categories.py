"""Kinds whose changes are security-relevant."""

from __future__ import annotations

import pytest

from steps.kubernetes.categories import Category, category_of, category_of_name
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


@pytest.mark.parametrize(
    ("directory", "category"),
    [
        ("Role", Category.RBAC),
        ("clusterrolebindings.rbac.authorization.k8s.io", Category.RBAC),
        ("secrets", Category.SECRET),
        ("networkpolicies.networking.k8s.io", Category.NETWORK_POLICY),
        ("ciliumclusterwidenetworkpolicies", Category.NETWORK_POLICY),
        ("ValidatingWebhookConfiguration", Category.WEBHOOK),
        ("validatingadmissionpolicybindings", Category.WEBHOOK),
        ("customresourcedefinitions", Category.CUSTOM_RESOURCE_DEFINITION),
        ("podsecuritypolicies", Category.POD_SECURITY),
        ("sealedsecrets", None),
        ("deployments", None),
        ("", None),
    ],
)
def test_directory_of_a_kind_has_its_category(directory: str, category: Category | None) -> None:
    assert category_of_name(directory) == category
