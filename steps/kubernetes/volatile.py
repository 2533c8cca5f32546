"""Volatile fields: what controllers change in objects all the time.

A rule names kinds, fields that are volatile (``drop``), and fields that are not (``keep``). ``omit`` means
that the whole object is volatile. The last rule that says something about a field or an object decides.
apiVersion, kind, name and namespace are never volatile, and neither is a document without a kind.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from steps.kubernetes.data import mapping, text
from steps.kubernetes.fields import EVERY_ITEM, Fields, Path, Treatment, edited, parse_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from steps.kubernetes.objects import KubernetesObject

_PROTECTED: frozenset[Path] = frozenset(
    {("apiVersion",), ("kind",), ("metadata",), ("metadata", "name"), ("metadata", "namespace")}
)


class Rule(NamedTuple):
    """What is volatile in objects of these kinds whose labels match the globs of ``labels``.

    ``kinds`` are globs: ``Kind`` of any group, ``Kind.group``, or ``Kind.`` of the core group. ``secret``
    are fields that SECRETS redacts or excludes.
    """

    kinds: tuple[str, ...]
    drop: tuple[Path, ...] = ()
    keep: tuple[Path, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    omit: bool | None = None
    secret: tuple[Path, ...] = ()

    @classmethod
    def of(cls, values: Sequence[Any]) -> Rule:
        """Return the rule that was written as JSON."""
        kinds, drop, keep, labels, omit, secret = values
        drop, keep, labels, secret = (tuple(map(tuple, inner)) for inner in (drop, keep, labels, secret))
        return cls(tuple(kinds), drop, keep, labels, omit, secret)

    def has_kind(self, kind: str, group: str) -> bool:
        """Whether the rule is about this kind."""
        names = (kind, f"{kind}.{group}")
        return any(fnmatchcase(name, pattern) for pattern in self.kinds for name in names)


def parse_volatile(written: str) -> Path:
    """Parse the path of a field that can be dropped. Raises ValueError."""
    path = parse_path(written)
    if path in _PROTECTED or path[0] is EVERY_ITEM:
        raise ValueError(f"{written}: this field cannot be dropped")
    return path


def _rule(*kinds: str, drop: tuple[str, ...] = (), labels: str = "", omit: bool | None = None) -> Rule:
    key, _, pattern = labels.partition("=")
    conditions = ((key, pattern),) if labels else ()
    return Rule(kinds, tuple(map(parse_volatile, drop)), labels=conditions, omit=omit)


# Each field is written by a controller of Kubernetes or of the named project. Measured on public backup
# histories: they are 77 to 99 % of all changes.
BUILT_IN: tuple[Rule, ...] = (
    _rule(
        "*",
        drop=(
            "status",
            "metadata.managedFields",
            "metadata.resourceVersion",
            "metadata.uid",
            "metadata.generation",
            "metadata.creationTimestamp",
            "metadata.selfLink",
            "metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]",
            # Rancher: the order of this list changes at each reconciliation.
            "metadata.annotations[field.cattle.io/publicEndpoints]",
            "metadata.annotations[cattle.io/timestamp]",
            # Leader election of client-go before Leases (until Kubernetes 1.20).
            "metadata.annotations[control-plane.alpha.kubernetes.io/leader]",
        ),
    ),
    _rule("Deployment.*", "ReplicaSet.*", drop=("metadata.annotations[deployment.kubernetes.io/revision]",)),
    _rule("DaemonSet.*", drop=("metadata.annotations[deprecated.daemonset.template.generation]",)),
    _rule(
        "Lease.coordination.k8s.io",
        drop=("spec.renewTime", "spec.acquireTime", "spec.holderIdentity", "spec.leaseTransitions"),
    ),
    _rule(
        "Endpoints",
        "EndpointSlice.discovery.k8s.io",
        drop=("metadata.annotations[endpoints.kubernetes.io/last-change-trigger-time]",),
    ),
    # Generated from Services and Pods. Endpoints of Services without a selector have another label or none.
    _rule(
        "EndpointSlice.discovery.k8s.io",
        labels="endpointslice.kubernetes.io/managed-by=endpointslice*controller.k8s.io",
        omit=True,
    ),
    _rule(
        "Endpoints.",
        labels="endpoints.kubernetes.io/managed-by=endpoint-controller",
        omit=True,
    ),
    _rule("Event.", "Event.events.k8s.io", omit=True),
)


_UNTOUCHED = Treatment(Fields())

# Treatments that are kept: clusters have hundreds of kinds, but a hostile file has as many as it likes.
_MOST_KINDS = 1024

# Longer than a kind (63 characters) and its group (253).
_MAX_KIND_CHARACTERS = 320


class RuleSet:
    """The rules in their order; the last one that says something decides."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._treatments: dict[tuple[str, str], Treatment | None] = {}

    def treatment(self, one: KubernetesObject) -> Treatment:
        """Return what is volatile in this object."""
        if not one.identity.kind:
            return _UNTOUCHED
        known = self.by_kind(one.identity.kind, one.identity.group)
        return self._by_labels(one) if known is None else known

    def by_kind(self, kind: str, group: str) -> Treatment | None:
        """Return what is volatile in objects of a kind; None if it depends on their labels."""
        try:
            return self._treatments[kind, group]
        except KeyError:
            matching = [rule for rule in self.rules if rule.has_kind(kind, group)]
            known = None if any(rule.labels for rule in matching) else _treatment(matching)
            if len(self._treatments) >= _MOST_KINDS:
                self._treatments.clear()
            if len(kind) + len(group) <= _MAX_KIND_CHARACTERS:
                self._treatments[kind, group] = known
            return known

    def is_volatile(self, one: KubernetesObject) -> bool:
        """Whether the whole object is volatile."""
        return self.treatment(one).omit

    def without_volatile_fields(self, one: KubernetesObject) -> Any:
        """Return the data without the volatile fields, and without mappings that they empty."""
        return edited(one.data, self.treatment(one).fields)

    def _by_labels(self, one: KubernetesObject) -> Treatment:
        labels = mapping(mapping(mapping(one.data).get("metadata")).get("labels"))
        return _treatment(
            rule
            for rule in self.rules
            if rule.has_kind(one.identity.kind, one.identity.group)
            and all(key in labels and fnmatchcase(text(labels[key]), glob) for key, glob in rule.labels)
        )


def _treatment(rules: Iterable[Rule]) -> Treatment:
    fields, omit = Fields(), False
    for rule in rules:
        for path in rule.drop:
            fields.drop(path)
        for path in rule.keep:
            fields.keep(path)
        omit = omit if rule.omit is None else rule.omit
    return Treatment(fields, omit)


BUILT_IN_SET = RuleSet(BUILT_IN)


def volatile_paths(one: KubernetesObject) -> tuple[Path, ...]:
    """Return the fields that the built-in rules call volatile in this object, whether it has them or not."""
    return tuple(BUILT_IN_SET.treatment(one).fields.dropped())
