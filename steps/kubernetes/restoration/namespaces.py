"""--map-namespace: restores the objects of one namespace into another one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from steps.kubernetes.data import text
from steps.kubernetes.fields import EVERY_ITEM
from steps.kubernetes.restoration.fields import find_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from steps.kubernetes.fields import Path
    from steps.kubernetes.objects import KubernetesObject
    from steps.kubernetes.restoration.fields import FieldPath

# What a namespace may be called (RFC 1123, a label).
NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")

_RBAC = "rbac.authorization.k8s.io"
_SERVICE = ("service", "namespace")

# Fields that contain the name of a namespace, and nothing else, by kind and group.
_FIELDS: dict[tuple[str, str], tuple[Path, ...]] = {
    ("Namespace", ""): (("metadata", "name"), ("metadata", "labels", "kubernetes.io/metadata.name")),
    ("RoleBinding", _RBAC): (("subjects", EVERY_ITEM, "namespace"),),
    ("ClusterRoleBinding", _RBAC): (("subjects", EVERY_ITEM, "namespace"),),
    ("PersistentVolume", ""): (("spec", "claimRef", "namespace"),),
    ("APIService", "apiregistration.k8s.io"): (("spec", *_SERVICE),),
    ("CustomResourceDefinition", "apiextensions.k8s.io"): (
        ("spec", "conversion", "webhook", "clientConfig", *_SERVICE),
        ("spec", "conversion", "webhookClientConfig", *_SERVICE),
    ),
    **{
        (f"{kind}WebhookConfiguration", "admissionregistration.k8s.io"): (
            ("webhooks", EVERY_ITEM, "clientConfig", *_SERVICE),
        )
        for kind in ("Mutating", "Validating")
    },
}

# The users and groups of ServiceAccounts, as subjects name them.
_SUBJECT = re.compile(r"(system:serviceaccounts?:)([^:]+)(|:.*)", re.DOTALL)


def mapped_fields(one: KubernetesObject, namespaces: Mapping[str, str]) -> dict[FieldPath, str]:
    """Return the fields of the object that name a mapped namespace, with their new values."""
    if not namespaces:
        return {}
    identity = one.identity
    patterns: tuple[Path, ...] = (
        ("metadata", "namespace"),
        *_FIELDS.get((identity.kind, identity.group), ()),
    )
    found = {
        path: namespaces[value]
        for pattern in patterns
        for path, value in find_fields(one.data, pattern)
        if isinstance(value, str) and value in namespaces
    }
    if identity.group == _RBAC:
        found.update(_mapped_subjects(one.data, namespaces))
    return found


def _mapped_subjects(data: Any, namespaces: Mapping[str, str]) -> Iterator[tuple[FieldPath, str]]:
    for path, value in find_fields(data, ("subjects", EVERY_ITEM, "name")):
        subject = _SUBJECT.fullmatch(text(value))
        if subject and subject[2] in namespaces:
            yield path, f"{subject[1]}{namespaces[subject[2]]}{subject[3]}"


def dns_names(content: str, namespaces: Iterable[str]) -> set[str]:
    """Return the names of Services in mapped namespaces that a text contains, as ``.<namespace>.svc``."""
    return {
        name for name in (f".{old}.svc" for old in namespaces) if re.search(rf"{re.escape(name)}\b", content)
    }
