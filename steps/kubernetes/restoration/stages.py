"""The order in which objects are applied: ten stages, each a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steps.kubernetes.objects import Identity

CRDS = "00-crds"
NAMESPACES = "01-namespaces"
STORAGE = "02-storage"
ACCESS = "03-access"
CONFIG = "04-config"
VOLUMES = "05-volumes"
NETWORK = "06-network"
WORKLOADS = "07-workloads"
CUSTOM = "08-custom"
WEBHOOKS = "09-webhooks"

STAGES = (CRDS, NAMESPACES, STORAGE, ACCESS, CONFIG, VOLUMES, NETWORK, WORKLOADS, CUSTOM, WEBHOOKS)

# Groups that the API server itself serves. Objects of other groups need a CRD or an APIService.
_BUILT_IN_GROUPS = frozenset(
    {
        *("", "apps", "autoscaling", "batch", "events.k8s.io", "extensions", "policy"),
        *("admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io"),
        *("authentication.k8s.io", "authorization.k8s.io", "certificates.k8s.io", "coordination.k8s.io"),
        *("discovery.k8s.io", "flowcontrol.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io"),
        *("rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io"),
    }
)

# Kinds of these groups. Others are workloads.
_STAGES = {
    kind: stage
    for stage, kinds in {
        CRDS: "CustomResourceDefinition",
        NAMESPACES: "Namespace",
        STORAGE: "StorageClass VolumeAttributesClass CSIDriver",
        ACCESS: "ServiceAccount Role ClusterRole RoleBinding ClusterRoleBinding PodSecurityPolicy",
        # Pods need the class that they name; a LimitRange sets their defaults.
        CONFIG: "ConfigMap Secret LimitRange PriorityClass RuntimeClass DeviceClass PodTemplate "
        "ResourceClaimTemplate ClusterTrustBundle",
        VOLUMES: "PersistentVolume PersistentVolumeClaim ResourceClaim",
        # Before the pods that they protect.
        NETWORK: "Service Endpoints EndpointSlice Ingress IngressClass NetworkPolicy ServiceCIDR",
        # They can refuse other objects. A new ResourceQuota refuses all until its controller has counted.
        WEBHOOKS: "MutatingWebhookConfiguration ValidatingWebhookConfiguration ValidatingAdmissionPolicy "
        "ValidatingAdmissionPolicyBinding MutatingAdmissionPolicy MutatingAdmissionPolicyBinding APIService "
        "ResourceQuota FlowSchema PriorityLevelConfiguration",
    }.items()
    for kind in kinds.split()
}


def is_built_in(group: str) -> bool:
    """Whether the API server itself serves the group."""
    return group in _BUILT_IN_GROUPS


def stage_of(identity: Identity) -> str:
    """Return the stage of an object."""
    if not is_built_in(identity.group):
        return CUSTOM
    return _STAGES.get(identity.kind, WORKLOADS)
