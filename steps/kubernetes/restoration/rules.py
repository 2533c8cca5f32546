"""What restore removes from objects, what it keeps although other tools remove it, and what it skips.

One row per fact, with its reason. docs/restore.md contains these tables. An object obeys every row of CUTS
that names its kind, and the first row of SKIPS that applies to it.

``kinds`` are globs over ``Kind.group``; the group of the core API is empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from steps.kubernetes.data import is_redacted, mapping, mappings, text
from steps.kubernetes.fields import parse_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from steps.kubernetes.fields import Path
    from steps.kubernetes.objects import KubernetesObject


class Option(StrEnum):
    """The options of the command that change what is removed or skipped."""

    INCLUDE_OWNED = "--include-owned"
    KEEP_NODE_PORTS = "--keep-node-ports"
    KEEP_VOLUMES = "--keep-volumes"


@dataclass(frozen=True)
class Known:
    """What is known about other objects: namespace and name of each Service with a selector."""

    services_with_selector: Collection[tuple[str, str]] = ()


@dataclass(frozen=True)
class Row:
    """A row of a table: the kinds, and the reason. ``unless`` is the option that cancels the row."""

    kinds: tuple[str, ...]
    why: str
    unless: Option | None = None

    def has_kind(self, kind: str, group: str) -> bool:
        """Whether the row is about this kind."""
        return any(fnmatchcase(f"{kind}.{group}", pattern) for pattern in self.kinds)


@dataclass(frozen=True)
class Cut(Row):
    """Fields to remove from objects. ``which`` chooses among the fields by value and object."""

    fields: tuple[Path, ...] = ()
    written: str = ""
    which: Callable[[Any, KubernetesObject], bool] = lambda _value, _object: True


@dataclass(frozen=True)
class Keep(Row):
    """A field that restore keeps, although other tools remove it."""

    field: str = ""


@dataclass(frozen=True)
class Skip(Row):
    """Objects that are not written. ``is_lost``: nothing creates them again, so restore exits 10."""

    what: str = ""
    when: Callable[[KubernetesObject, Known], bool] = lambda _object, _known: True
    is_lost: bool = False


def _cut(
    kinds: str,
    fields: str,
    why: str,
    *,
    which: Callable[[Any, KubernetesObject], bool] = lambda _value, _object: True,
    unless: Option | None = None,
) -> Cut:
    return Cut(tuple(kinds.split()), why, unless, tuple(map(parse_path, fields.split())), fields, which)


def _keep(kinds: str, field: str, why: str) -> Keep:
    return Keep(tuple(kinds.split()), why, field=field)


def _skip(  # noqa: PLR0913 - the columns of the table
    kinds: str,
    why: str,
    *,
    what: str = "",
    when: Callable[[KubernetesObject, Known], bool] = lambda _object, _known: True,
    unless: Option | None = None,
    is_lost: bool = False,
) -> Skip:
    return Skip(tuple(kinds.split()), why, unless, what=what, when=when, is_lost=is_lost)


def _metadata(one: KubernetesObject) -> dict[str, Any]:
    return mapping(mapping(one.data).get("metadata"))


def _label(one: KubernetesObject, name: str) -> str:
    return text(mapping(_metadata(one).get("labels")).get(name))


def _annotation(one: KubernetesObject, name: str) -> str:
    return text(mapping(_metadata(one).get("annotations")).get(name))


# Kubernetes and its controllers add these again. An object with one of them that no controller handles can
# not be deleted.
_PLATFORM_FINALIZERS = frozenset(
    {
        "kubernetes.io/pv-protection",
        "kubernetes.io/pvc-protection",
        "service.kubernetes.io/load-balancer-cleanup",
        "foregroundDeletion",
        "orphan",
        "batch.kubernetes.io/job-tracking",
        "customresourcecleanup.apiextensions.k8s.io",
    }
)

# Suffixes that Kubernetes generates: no vowels, nor digits that look like letters (apimachinery, util/rand).
_GENERATED = "[bcdfghjklmnpqrstvwxz2456789]{5}"
_TOKEN_VOLUME = re.compile(rf"kube-api-access-{_GENERATED}|.+-token-{_GENERATED}")
_TOKEN_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a directory

_TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 - a type
# ConfigMaps of which Kubernetes 1.34 refuses another value.
_OF_API_SERVER = frozenset(
    {
        ("kube-system", "extension-apiserver-authentication"),
        ("kube-system", "kube-apiserver-legacy-service-account-token-tracking"),
    }
)

# Reasons that others name.
REDACTED = "the values are not in Git: create the object by other means"
OWNED = "its owner creates it"


def _is_platform_finalizer(value: Any, _one: KubernetesObject) -> bool:
    return value in _PLATFORM_FINALIZERS


def _is_assigned_address(value: Any, _one: KubernetesObject) -> bool:
    return value not in ("None", ["None"], "", [])


def _has_generated_selector(_value: Any, one: KubernetesObject) -> bool:
    return mapping(mapping(one.data).get("spec")).get("manualSelector") is not True


def _is_token_volume(value: Any, _one: KubernetesObject) -> bool:
    volume = mapping(value)
    return ("projected" in volume or "secret" in volume) and bool(
        _TOKEN_VOLUME.fullmatch(text(volume.get("name")))
    )


def _is_token_mount(value: Any, _one: KubernetesObject) -> bool:
    mount = mapping(value)
    return mount.get("mountPath") == _TOKEN_DIRECTORY and bool(
        _TOKEN_VOLUME.fullmatch(text(mount.get("name")))
    )


def _is_token(_value: Any, one: KubernetesObject) -> bool:
    return mapping(one.data).get("type") == _TOKEN_TYPE


def _is_generated_reference(value: Any, one: KubernetesObject) -> bool:
    """Whether a ServiceAccount's reference names a Secret that a controller has generated for it."""
    account = re.escape(one.identity.name)
    name = text(mapping(value).get("name"))
    return bool(re.fullmatch(rf"{account}-(?:token|dockercfg)-{_GENERATED}", name))


def _is_aggregated(_value: Any, one: KubernetesObject) -> bool:
    return bool(mapping(one.data).get("aggregationRule"))


CUTS: tuple[Cut, ...] = (
    _cut(
        "*",
        "metadata.deletionTimestamp metadata.deletionGracePeriodSeconds",
        "the object was being deleted when it was dumped; the API server rejects or ignores them",
    ),
    _cut("*", "metadata.generateName", "the object has its name already"),
    _cut(
        "*",
        "metadata.ownerReferences",
        "the owner has another UID in another cluster, and objects of unknown owners are deleted",
    ),
    _cut(
        "*",
        "metadata.finalizers[*]",
        "Kubernetes adds its own finalizers again: "
        + ", ".join(f"`{name}`" for name in sorted(_PLATFORM_FINALIZERS)),
        which=_is_platform_finalizer,
    ),
    _cut(
        "Service.",
        "spec.clusterIP spec.clusterIPs",
        "the address can belong to another Service; a headless Service (`None`) keeps it",
        which=_is_assigned_address,
    ),
    _cut(
        "Service.",
        "spec.ports[*].nodePort spec.healthCheckNodePort",
        "the port can belong to another Service",
        unless=Option.KEEP_NODE_PORTS,
    ),
    _cut(
        "PersistentVolumeClaim.",
        "spec.volumeName",
        "the volume does not exist in an empty cluster",
        unless=Option.KEEP_VOLUMES,
    ),
    _cut(
        "PersistentVolumeClaim.",
        "metadata.annotations[pv.kubernetes.io/*]",
        "a claim that is marked as bound gets the phase `Lost` if its UID is not the one in the volume's "
        "`claimRef`",
    ),
    _cut(
        "PersistentVolumeClaim.",
        "metadata.annotations[volume.beta.kubernetes.io/storage-provisioner] "
        "metadata.annotations[volume.kubernetes.io/storage-provisioner] "
        "metadata.annotations[volume.kubernetes.io/selected-node]",
        "the controllers set them again; the node can be gone",
        unless=Option.KEEP_VOLUMES,
    ),
    _cut(
        "PersistentVolume.",
        "spec.claimRef.uid spec.claimRef.resourceVersion",
        "the claim has another UID in another cluster: without it, the volume waits for the claim by name",
    ),
    _cut(
        "Job.batch",
        "spec.selector "
        "metadata.labels[controller-uid] metadata.labels[batch.kubernetes.io/controller-uid] "
        "spec.template.metadata.labels[controller-uid] "
        "spec.template.metadata.labels[batch.kubernetes.io/controller-uid]",
        "they have the UID of the old Job; Kubernetes generates them, and rejects others, unless "
        "`manualSelector` is set",
        which=_has_generated_selector,
    ),
    _cut(
        "Pod.",
        "metadata.labels[controller-uid] metadata.labels[batch.kubernetes.io/controller-uid]",
        "they have the UID of the old Job, so the new Job would not select the pod",
    ),
    _cut("Pod.", "spec.nodeName", "the scheduler chooses the node; the old one can be gone"),
    _cut(
        "Pod.", "spec.priority", "Kubernetes computes it from `priorityClassName`, and rejects another value"
    ),
    _cut("Pod.", "spec.ephemeralContainers", "no pod can be created with them"),
    _cut(
        "Pod.",
        "spec.volumes[*]",
        "Kubernetes adds the token volume of the ServiceAccount",
        which=_is_token_volume,
    ),
    _cut(
        "Pod.",
        "spec.containers[*].volumeMounts[*] spec.initContainers[*].volumeMounts[*]",
        "Kubernetes mounts the token of the ServiceAccount",
        which=_is_token_mount,
    ),
    _cut(
        "Secret.",
        "data[token] data[ca.crt] data[namespace] metadata.annotations[kubernetes.io/service-account.uid]",
        f"Kubernetes fills a Secret of type `{_TOKEN_TYPE}` with a token of the new cluster",
        which=_is_token,
    ),
    _cut(
        "ServiceAccount.",
        "secrets[*] imagePullSecrets[*]",
        "the Secret is generated (`<account>-token-xxxxx`, `<account>-dockercfg-xxxxx`), and not restored",
        which=_is_generated_reference,
    ),
    _cut(
        "ClusterRole.rbac.authorization.k8s.io",
        "rules",
        "with an `aggregationRule`, a controller writes the rules",
        which=_is_aggregated,
    ),
)

KEPT: tuple[Keep, ...] = (
    _keep("*", "metadata.finalizers", "its controller could not clean up"),
    _keep(
        "Service.",
        "spec.clusterIP: None",
        "the names of the pods of a StatefulSet would not resolve",
    ),
    _keep("Service.", "spec.ipFamilies", "a dual-stack Service would become single-stack"),
    _keep("Service.", "spec.sessionAffinity", "clients would change their pod"),
    _keep("PersistentVolumeClaim.", "spec.volumeMode", "a block device would become a file system"),
    _keep("PersistentVolumeClaim.", "spec.dataSource", "the volume would be empty"),
    _keep("Pod. Job.batch", "spec.**.serviceAccountName", "the pod would lose its permissions"),
    _keep("Pod. Job.batch", "spec.**.securityContext", "the pod would run with other privileges"),
    _keep("Pod. Job.batch", "spec.**.restartPolicy", "a Job without it is invalid"),
    _keep(
        "*WebhookConfiguration.admissionregistration.k8s.io APIService.* CustomResourceDefinition.*",
        "**.caBundle",
        "the API server could not verify the webhook",
    ),
)


def _is_controlled(one: KubernetesObject, _known: Known) -> bool:
    return any(owner.get("controller") is True for owner in mappings(_metadata(one).get("ownerReferences")))


def _is_mirror_pod(one: KubernetesObject, _known: Known) -> bool:
    return bool(_annotation(one, "kubernetes.io/config.mirror"))


def _has_finished(one: KubernetesObject, _known: Known) -> bool:
    status = mapping(mapping(one.data).get("status"))
    conditions = mappings(status.get("conditions"))
    return text(status.get("phase")) in {"Succeeded", "Failed"} or any(
        condition.get("type") in {"Complete", "Failed"} and condition.get("status") == "True"
        for condition in conditions
    )


def _is_default_kubernetes(one: KubernetesObject, _known: Known) -> bool:
    return one.identity[2:] == ("default", "kubernetes")


def _belongs_to_service(one: KubernetesObject, known: Known) -> bool:
    service = _label(one, "kubernetes.io/service-name") or one.identity.name
    is_generated = _label(one, "endpointslice.kubernetes.io/managed-by").startswith("endpointslice")
    return is_generated or (one.identity.namespace, service) in known.services_with_selector


def _is_generated_token(one: KubernetesObject, _known: Known) -> bool:
    account = re.escape(_annotation(one, "kubernetes.io/service-account.name"))
    kind = text(mapping(one.data).get("type"))
    if kind == _TOKEN_TYPE:
        return bool(account and re.fullmatch(rf"{account}-token-{_GENERATED}", one.identity.name))
    return kind.startswith("kubernetes.io/dockercfg") and bool(
        _annotation(one, "openshift.io/token-secret.name")
    )


def _is_redacted(one: KubernetesObject, _known: Known) -> bool:
    waiting = [one.data]
    while waiting:
        value = waiting.pop()
        if is_redacted(value):
            return True
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


def _is_bootstrap(one: KubernetesObject, _known: Known) -> bool:
    return bool(_label(one, "kubernetes.io/bootstrapping"))


def _is_automatic_flow(one: KubernetesObject, _known: Known) -> bool:
    return _annotation(one, "apf.kubernetes.io/autoupdate-spec") == "true"


SKIPS: tuple[Skip, ...] = (
    _skip(
        "*",
        REDACTED,
        what="redacted values",
        when=_is_redacted,
        is_lost=True,
    ),
    _skip(
        "Event. Event.events.k8s.io Lease.coordination.k8s.io LeaseCandidate.coordination.k8s.io",
        "the state of running programs, without use after a restore",
    ),
    _skip(
        "Node. CSINode.storage.k8s.io ResourceSlice.resource.k8s.io CSIStorageCapacity.storage.k8s.io",
        "the node or its drivers create it",
    ),
    _skip(
        "VolumeAttachment.storage.k8s.io",
        "a controller creates it when a pod uses the volume",
    ),
    _skip("ControllerRevision.apps", "the StatefulSet or the DaemonSet creates it"),
    _skip("IPAddress.networking.k8s.io", "the API server creates it for each address of a Service"),
    _skip(
        "ServiceCIDR.networking.k8s.io",
        "the API server creates it",
        what="named `kubernetes`",
        when=lambda one, _known: one.identity.name == "kubernetes",
    ),
    _skip(
        "*Review.authentication.k8s.io *Review.authorization.k8s.io Binding. ComponentStatus. "
        "*.metrics.k8s.io *.custom.metrics.k8s.io *.external.metrics.k8s.io",
        "an answer of the API server, not a stored object",
    ),
    _skip("CertificateSigningRequest.certificates.k8s.io", "a request of the past; its certificate exists"),
    _skip(
        "StorageVersion.internal.apiserver.k8s.io StorageVersionMigration.*",
        "the API server creates it",
    ),
    _skip(
        "Service. Endpoints. EndpointSlice.*",
        "the API server creates it",
        what="`default/kubernetes`",
        when=_is_default_kubernetes,
    ),
    _skip(
        "Endpoints. EndpointSlice.discovery.k8s.io",
        "a controller creates it from the Service and its pods",
        what="of a Service with a selector",
        when=_belongs_to_service,
    ),
    _skip(
        "ConfigMap.",
        "a controller creates it in each namespace",
        what="`kube-root-ca.crt`, `openshift-service-ca.crt`",
        when=lambda one, _known: one.identity.name in {"kube-root-ca.crt", "openshift-service-ca.crt"},
    ),
    _skip(
        "ConfigMap.",
        "the API server writes it, with values of this cluster",
        what="`kube-system/extension-apiserver-authentication`, "
        "`kube-system/kube-apiserver-legacy-service-account-token-tracking`",
        when=lambda one, _known: one.identity[2:] in _OF_API_SERVER,
    ),
    _skip(
        "Secret.",
        "a token of the old cluster; a controller generated it",
        what="generated tokens",
        when=_is_generated_token,
    ),
    _skip("Pod.", "the kubelet creates it from a file on its node", what="mirror pods", when=_is_mirror_pod),
    _skip("Pod. Job.batch", "it would run again", what="finished", when=_has_finished),
    _skip(
        "PersistentVolume.",
        "the storage behind it belongs to the old cluster; claims get new volumes",
        unless=Option.KEEP_VOLUMES,
    ),
    _skip(
        "*.rbac.authorization.k8s.io",
        "the API server creates it",
        what="label `kubernetes.io/bootstrapping`",
        when=_is_bootstrap,
    ),
    _skip(
        "PriorityClass.scheduling.k8s.io",
        "the API server creates it",
        what="named `system-*`",
        when=lambda one, _known: one.identity.name.startswith("system-"),
    ),
    _skip(
        "APIService.apiregistration.k8s.io",
        "the API server creates it",
        what="label `kube-aggregator.kubernetes.io/automanaged`",
        when=lambda one, _known: bool(_label(one, "kube-aggregator.kubernetes.io/automanaged")),
    ),
    _skip(
        "FlowSchema.flowcontrol.apiserver.k8s.io PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io",
        "the API server creates it",
        what="annotation `apf.kubernetes.io/autoupdate-spec: true`",
        when=_is_automatic_flow,
    ),
    _skip(
        "*",
        OWNED,
        what="with a controller in `ownerReferences`",
        when=_is_controlled,
        unless=Option.INCLUDE_OWNED,
    ),
)

_R = TypeVar("_R", bound=Row)


@lru_cache(maxsize=1024)
def cuts_of(kind: str, group: str) -> tuple[Cut, ...]:
    """Return the rows of CUTS about this kind."""
    return _rows_of(CUTS, kind, group)


@lru_cache(maxsize=1024)
def skips_of(kind: str, group: str) -> tuple[Skip, ...]:
    """Return the rows of SKIPS about this kind."""
    return _rows_of(SKIPS, kind, group)


def _rows_of(rows: tuple[_R, ...], kind: str, group: str) -> tuple[_R, ...]:
    return tuple(row for row in rows if row.has_kind(kind, group))
