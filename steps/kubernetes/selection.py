"""Which objects of a cluster a command selects: --namespace, --select, --exclude."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from steps.kubernetes.objects import Identity

# Kinds of Kubernetes and of common projects whose objects have no namespace, by Kind.group. A file of
# another kind without metadata.namespace belongs to the namespace that its directory names.
_CLUSTER_SCOPED = frozenset(
    {
        "APIService.apiregistration.k8s.io",
        "CSIDriver.storage.k8s.io",
        "CSINode.storage.k8s.io",
        "CertificateSigningRequest.certificates.k8s.io",
        "ClusterIssuer.cert-manager.io",
        "ClusterRole.authorization.openshift.io",
        "ClusterRole.rbac.authorization.k8s.io",
        "ClusterRoleBinding.authorization.openshift.io",
        "ClusterRoleBinding.rbac.authorization.k8s.io",
        "ComponentStatus.",
        "CustomResourceDefinition.apiextensions.k8s.io",
        "FlowSchema.flowcontrol.apiserver.k8s.io",
        "IngressClass.networking.k8s.io",
        "MutatingAdmissionPolicy.admissionregistration.k8s.io",
        "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io",
        "MutatingWebhookConfiguration.admissionregistration.k8s.io",
        "Namespace.",
        "Node.",
        "PersistentVolume.",
        "PodSecurityPolicy.policy",
        "PriorityClass.scheduling.k8s.io",
        "PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io",
        "RuntimeClass.node.k8s.io",
        "SecurityContextConstraints.security.openshift.io",
        "StorageClass.storage.k8s.io",
        "ValidatingAdmissionPolicy.admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration.admissionregistration.k8s.io",
        "VolumeAttachment.storage.k8s.io",
    }
)

# Directories in which backup tools write objects that have no namespace.
_NO_NAMESPACES = frozenset(
    {"_cluster", "_cluster-scoped", "_global", "cluster", "cluster-resources", "cluster-scoped"}
)

_PARTS_WITH_NAMESPACE = 3  # of a path: cluster, namespace, file


def is_cluster_scoped(identity: Identity) -> bool:
    """Whether objects of this kind are known to have no namespace."""
    return f"{identity.kind}.{identity.group}" in _CLUSTER_SCOPED


def namespace_of(identity: Identity, path: bytes) -> str:
    """Return the namespace of an object in the file ``<cluster>/<rest>``; "" if it has none.

    An object without metadata.namespace gets the namespace that its directory names.
    """
    if is_cluster_scoped(identity):
        return ""
    if identity.namespace:
        return identity.namespace
    parts = path.split(b"/")
    name = parts[1].decode(errors="replace") if len(parts) >= _PARTS_WITH_NAMESPACE else ""
    return "" if name in _NO_NAMESPACES else name


@dataclass(frozen=True)
class ObjectFilter:
    """The objects that a command selects.

    ``namespaces`` are globs. ``select`` and ``exclude`` are globs ``Kind/name`` or ``Kind.group/name``, or
    only the kind. Without ``select``, objects without a namespace are selected only if ``namespaces`` is
    empty, too.
    """

    namespaces: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def selects_all(self) -> bool:
        """Whether every object is selected."""
        return not (self.namespaces or self.select or self.exclude)

    def has(self, identity: Identity, namespace: str) -> bool:
        """Whether the filter selects an object; ``namespace`` is that of ``namespace_of``."""
        if _matches_any(identity, self.exclude):
            return False
        if self.select and not _matches_any(identity, self.select):
            return False
        if not self.namespaces:
            return True
        if not namespace:
            return bool(self.select)
        return any(fnmatchcase(namespace, glob) for glob in self.namespaces)


def _matches_any(identity: Identity, patterns: Iterable[str]) -> bool:
    return any(matches(identity, pattern) for pattern in patterns)


def matches(identity: Identity, pattern: str) -> bool:
    """Whether an object has the kind and the name of a pattern such as ``Deployment/cart*``.

    The case of the kind does not matter, as in kubectl.
    """
    kind, slash, name = pattern.partition("/")
    if slash and not fnmatchcase(identity.name, name):
        return False
    kinds = (identity.kind.lower(), f"{identity.kind}.{identity.group}".lower())
    return any(fnmatchcase(one, kind.lower()) for one in kinds)
