"""Why a change is security-relevant, by the kind of the object."""

from __future__ import annotations

import re
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steps.kubernetes.objects import Identity


class Category(StrEnum):
    """Why a change is security-relevant."""

    RBAC = "rbac"
    SECRET = "secret"  # noqa: S105 - a kind of object
    NETWORK_POLICY = "network_policy"
    WEBHOOK = "webhook"
    POD_SECURITY = "pod_security"
    CLOUD_IDENTITY = "cloud_identity"
    CUSTOM_RESOURCE_DEFINITION = "crd"


# Kind.group; the group of the core API is empty.
_CATEGORIES: dict[str, Category] = {
    "Role.*": Category.RBAC,
    "ClusterRole.*": Category.RBAC,
    "RoleBinding.*": Category.RBAC,
    "ClusterRoleBinding.*": Category.RBAC,
    "Secret.": Category.SECRET,
    "*NetworkPolicy.*": Category.NETWORK_POLICY,  # also Calico's GlobalNetworkPolicy, CiliumNetworkPolicy
    "CiliumClusterwideNetworkPolicy.*": Category.NETWORK_POLICY,
    "AuthorizationPolicy.security.istio.io": Category.NETWORK_POLICY,
    "PeerAuthentication.security.istio.io": Category.NETWORK_POLICY,
    "*WebhookConfiguration.admissionregistration.k8s.io": Category.WEBHOOK,
    "*AdmissionPolicy*.admissionregistration.k8s.io": Category.WEBHOOK,
    "APIService.apiregistration.k8s.io": Category.WEBHOOK,
    "SecurityContextConstraints.*": Category.POD_SECURITY,
    "PodSecurityPolicy.*": Category.POD_SECURITY,
    "CustomResourceDefinition.*": Category.CUSTOM_RESOURCE_DEFINITION,
}


@lru_cache(maxsize=1024)
def _category(name: str) -> Category | None:
    return next((found for pattern, found in _CATEGORIES.items() if fnmatchcase(name, pattern)), None)


def category_of(identity: Identity) -> Category | None:
    """Return why changes of this kind are security-relevant; None if they are not."""
    return _category(f"{identity.kind}.{identity.group}")


@lru_cache(maxsize=1024)
def category_of_name(kind: str) -> Category | None:
    """Return the same for a kind as directories spell it, as in ``networkpolicies.networking.k8s.io``."""
    plain = kind.lower().partition(".")[0]
    spellings = (plain, re.sub(r"ies$", "y", plain), plain.removesuffix("es"), plain.removesuffix("s"))
    for pattern, found in _CATEGORIES.items():
        kinds = pattern.partition(".")[0].lower()
        if any(fnmatchcase(name, kinds) for name in spellings):
            return found
    return None
