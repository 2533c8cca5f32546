"""What the change summary must know about one version of an object; small, and without values of Secrets."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from steps.kubernetes import rbac
from steps.kubernetes.categories import Category, category_of
from steps.kubernetes.data import mapping, text
from steps.kubernetes.objects import Unreadable
from steps.kubernetes.plain import objects_of_file
from steps.kubernetes.volatile import BUILT_IN_SET, RuleSet
from steps.kubernetes.workloads import Container, Pods, pods_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from steps.kubernetes.objects import Identity, KubernetesObject


# Labels and annotations that give an object permissions.
_CLOUD_IDENTITIES = frozenset(
    {
        "eks.amazonaws.com/role-arn",
        "iam.gke.io/gcp-service-account",
        "azure.workload.identity/client-id",
        "iam.amazonaws.com/role",
    }
)
# A ClusterRole with such a label adds its rules to another one, such as view.
_AGGREGATION_LABEL = "rbac.authorization.k8s.io/aggregate-to-"
_POD_SECURITY_LABEL = "pod-security.kubernetes.io/enforce"


class Access(NamedTuple):
    """What an object gives its pods or its service account beyond RBAC, as in ``hostNetwork``."""

    category: Category
    what: str


class Facts(NamedTuple):
    """One version of an object.

    ``digest`` is of all its data, ``substance`` of the data without volatile fields, and ``body`` of the
    substance without metadata. ``secret_keys`` are the digests of a Secret's values.
    """

    identity: Identity
    digest: bytes
    substance: bytes
    body: bytes
    is_volatile: bool = False
    category: Category | None = None
    containers: tuple[Container, ...] = ()
    access: frozenset[Access] = frozenset()
    grants: frozenset[rbac.Grant] = frozenset()
    has_more_grants: bool = False
    binding: rbac.Binding | None = None
    secret_keys: Mapping[str, bytes] = {}

    @property
    def rights(self) -> tuple[object, ...]:
        """What the object gives to identities, and the values of a Secret."""
        return self.access, self.grants, self.has_more_grants, self.binding, self.secret_keys

    @property
    def size(self) -> int:
        """How many parts the facts have, as a measure of memory."""
        subjects = len(self.binding.subjects) if self.binding else 0
        parts = (self.containers, self.access, self.grants, self.secret_keys)
        return 1 + subjects + sum(map(len, parts))


def facts_of_file(content: bytes, limit: int, rules: RuleSet = BUILT_IN_SET) -> tuple[Facts, ...] | str:
    """Return the facts of the objects in a file, or why they are not known; ``limit`` bounds their size."""
    found: list[Facts] = []
    size = 0
    try:
        for one in objects_of_file(content):
            found.append(facts_of(one, rules))
            size += found[-1].size
            if size > limit:
                return "has too many containers, grants and values"
        return tuple(found)
    except Unreadable as problem:
        return str(problem)
    except Exception as bug:  # noqa: BLE001 - one file must not hide the changes of the others
        return f"git-sync failed to read it ({type(bug).__name__})"


def facts_of(one: KubernetesObject, rules: RuleSet = BUILT_IN_SET) -> Facts:
    """Return the facts of an object; the rules say what is volatile."""
    identity, data = one.identity, one.data
    substance = rules.without_volatile_fields(one)
    category = category_of(identity)
    grants, has_more = rbac.grants_of(data) if rbac.is_role(identity) else (frozenset(), False)
    is_secret = category is Category.SECRET
    pods = Pods((), frozenset()) if is_secret or not isinstance(data, dict) else pods_of(substance)
    return Facts(
        identity,
        *_digests(data, substance),
        rules.is_volatile(one),
        category,
        pods.containers,
        frozenset() if is_secret else _access(data, identity, pods.node_access),
        grants,
        has_more,
        rbac.binding_of(data) if rbac.is_binding(identity) else None,
        _secret_keys(data) if is_secret else {},
    )


def _access(data: Any, identity: Identity, node_access: frozenset[str]) -> frozenset[Access]:
    metadata = mapping(mapping(data).get("metadata"))
    annotations, labels = mapping(metadata.get("annotations")), mapping(metadata.get("labels"))
    found = {Access(Category.POD_SECURITY, what) for what in node_access}
    for key in _CLOUD_IDENTITIES & annotations.keys():
        found.add(Access(Category.CLOUD_IDENTITY, f"{key}: {annotations[key]}"))
    for key in labels if identity.kind == "ClusterRole" else ():
        if key.startswith(_AGGREGATION_LABEL):
            found.add(Access(Category.RBAC, f"{key}: {labels[key]}"))
    if identity[:2] == ("", "PersistentVolume"):
        spec = mapping(mapping(data).get("spec"))
        for source in ("hostPath", "local"):
            if path := text(mapping(spec.get(source)).get("path")):
                found.add(Access(Category.POD_SECURITY, f"{source} {path}"))
    if identity.kind == "Namespace" and _POD_SECURITY_LABEL in labels:
        found.add(Access(Category.POD_SECURITY, f"{_POD_SECURITY_LABEL}: {labels[_POD_SECURITY_LABEL]}"))
    return frozenset(found)


def _secret_keys(data: Any) -> dict[str, bytes]:
    fields = mapping(data)
    return {
        key: _digest(value)
        for name in ("data", "stringData")
        for key, value in mapping(fields.get(name)).items()
    }


# json.dumps with these options makes a new encoder for each call.
_written = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _digests(data: Any, substance: Any) -> tuple[bytes, bytes, bytes]:
    """Return the digests of the data, of its substance, and of the substance without metadata.

    Data and substance share most fields, which are written once.
    """
    if not isinstance(data, dict) or not isinstance(substance, dict):
        digest = _digest(substance)
        return _digest(data), digest, digest
    body = _written({key: value for key, value in substance.items() if key != "metadata"})
    metadata = {key: value for key, value in substance.items() if key == "metadata"}
    # With the body, these fields are all the data.
    rest = {
        key: value
        for key, value in data.items()
        if key == "metadata" or key not in substance or substance[key] is not value
    }
    return _digest_of(body + _written(rest)), _digest_of(body + _written(metadata)), _digest_of(body)


def _digest(data: Any) -> bytes:
    return _digest_of(_written(data))


def _digest_of(written: str) -> bytes:
    return blake2b(written.encode(errors="surrogatepass"), digest_size=16).digest()
