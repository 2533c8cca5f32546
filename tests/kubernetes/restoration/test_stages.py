"""The order of the stages."""

from __future__ import annotations

import pytest

from steps.kubernetes.objects import Identity
from steps.kubernetes.restoration.stages import STAGES, stage_of

RBAC = "rbac.authorization.k8s.io"


@pytest.mark.parametrize(
    ("group", "kind", "stage"),
    [
        ("apiextensions.k8s.io", "CustomResourceDefinition", "00-crds"),
        ("", "Namespace", "01-namespaces"),
        ("storage.k8s.io", "StorageClass", "02-storage"),
        ("", "ServiceAccount", "03-access"),
        (RBAC, "RoleBinding", "03-access"),
        ("", "Secret", "04-config"),
        ("scheduling.k8s.io", "PriorityClass", "04-config"),
        ("", "PersistentVolume", "05-volumes"),
        ("", "Service", "06-network"),
        ("networking.k8s.io", "NetworkPolicy", "06-network"),
        ("apps", "StatefulSet", "07-workloads"),
        ("autoscaling", "HorizontalPodAutoscaler", "07-workloads"),
        ("policy", "PodDisruptionBudget", "07-workloads"),
        ("example.com", "Namespace", "08-custom"),
        ("argoproj.io", "Workflow", "08-custom"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "09-webhooks"),
        ("apiregistration.k8s.io", "APIService", "09-webhooks"),
        ("", "ResourceQuota", "09-webhooks"),
    ],
)
def test_stage_of_a_kind(group: str, kind: str, stage: str) -> None:
    assert stage_of(Identity(group, kind, "", "a")) == stage


def test_stages_are_applied_in_the_order_of_their_names() -> None:
    assert list(STAGES) == sorted(STAGES)
