"""--map-namespace changes what names a namespace, and nothing else."""

# ruff: noqa: E501 - each object is one line

from __future__ import annotations

import pytest

from steps.kubernetes.fields import written_path
from steps.kubernetes.objects import read_objects
from steps.kubernetes.restoration.namespaces import dns_names, mapped_fields

RBAC = "rbac.authorization.k8s.io/v1"


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        (
            (
                "{kind: ConfigMap, apiVersion: v1, metadata: {name: shop, namespace: shop, labels: {a: shop}},"
                " data: {namespace: shop}}"
            ),
            {"metadata.namespace": "copy"},
        ),
        ("{kind: ConfigMap, apiVersion: v1, metadata: {name: a, namespace: shop-x}}", {}),
        (
            (
                "{kind: Namespace, apiVersion: v1, metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop,"
                " team: shop}}}"
            ),
            {"metadata.name": "copy", "metadata.labels[kubernetes.io/metadata.name]": "copy"},
        ),
        (
            (
                f"{{kind: ClusterRoleBinding, apiVersion: {RBAC}, metadata: {{name: shop}}, subjects: ["
                "{kind: ServiceAccount, name: shop, namespace: shop}, {kind: ServiceAccount, name: a, namespace: b},"
                " {kind: Group, name: 'system:serviceaccounts:shop'},"
                " {kind: User, name: 'system:serviceaccount:shop:ci'}, {kind: Group, name: shop}]}"
            ),
            {
                "subjects[0].namespace": "copy",
                "subjects[2].name": "system:serviceaccounts:copy",
                "subjects[3].name": "system:serviceaccount:copy:ci",
            },
        ),
        (
            (
                "{kind: MutatingWebhookConfiguration, apiVersion: admissionregistration.k8s.io/v1, metadata: {name: a},"
                " webhooks: [{clientConfig: {service: {name: shop, namespace: shop}}}, {clientConfig: {url: x}}]}"
            ),
            {"webhooks[0].clientConfig.service.namespace": "copy"},
        ),
        (
            (
                "{kind: APIService, apiVersion: apiregistration.k8s.io/v1, metadata: {name: a},"
                " spec: {service: {name: a, namespace: shop}}}"
            ),
            {"spec.service.namespace": "copy"},
        ),
        (
            (
                "{kind: CustomResourceDefinition, apiVersion: apiextensions.k8s.io/v1, metadata: {name: a},"
                " spec: {conversion: {webhook: {clientConfig: {service: {name: a, namespace: shop}}}}}}"
            ),
            {"spec.conversion.webhook.clientConfig.service.namespace": "copy"},
        ),
        (
            (
                "{kind: PersistentVolume, apiVersion: v1, metadata: {name: a},"
                " spec: {claimRef: {name: a, namespace: shop}}}"
            ),
            {"spec.claimRef.namespace": "copy"},
        ),
        ("{kind: Namespace, apiVersion: example.com/v1, metadata: {name: shop}}", {}),
    ],
)
def test_mapped_fields_of_a_kind(text: str, changed: dict[str, str]) -> None:
    (one,) = read_objects(text.encode())
    found = mapped_fields(one, {"shop": "copy"})
    assert {written_path(path): value for path, value in found.items()} == changed


def test_names_of_services_are_found() -> None:
    text = "http://db.shop.svc:5432 db.shop.svc.cluster.local db.other.svc db.shop.svcs a.pay.svc"
    assert dns_names(text, ["shop", "pay", "none"]) == {".shop.svc", ".pay.svc"}
