"""What restore warns about: facts that show only when all objects are known."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steps.core.keys import printable
from steps.core.wording import plural
from steps.history.restore_manifest import Named
from steps.kubernetes.data import mapping, mappings, text
from steps.kubernetes.restoration.fields import value_at
from steps.kubernetes.restoration.namespaces import dns_names
from steps.kubernetes.restoration.rules import OWNED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from steps.kubernetes.objects import Identity, KubernetesObject
    from steps.kubernetes.restoration.decide import Restored, Skipped

_SAMPLE = 5


@dataclass
class Notes:
    """Collects facts about the objects of a cluster."""

    namespaces: Mapping[str, str]
    _seen: set[Named] = field(default_factory=set)
    _owners: dict[Named, Named] = field(default_factory=dict)  # with the first object that it owns
    _dns: Counter[str] = field(default_factory=Counter)
    _first_dns: dict[str, Named] = field(default_factory=dict)
    _of_cluster: list[Named] = field(default_factory=list)
    _given: list[Named] = field(default_factory=list)
    _node_ports: list[str] = field(default_factory=list)
    _made: list[str] = field(default_factory=list)
    _written_namespaces: set[str] = field(default_factory=set)

    def saw(self, one: KubernetesObject) -> None:
        """Note that the backup has an object, whether it is selected or not."""
        self._seen.add(_named(one.identity))

    def skipped(self, one: KubernetesObject, skipped: Skipped) -> None:
        """Note an object that is not written."""
        if skipped.why != OWNED:
            return
        metadata = mapping(mapping(one.data).get("metadata"))
        for owner in mappings(metadata.get("ownerReferences")):
            if owner.get("controller") is True:
                name = Named(text(owner.get("kind")), one.identity.namespace, text(owner.get("name")))
                self._owners.setdefault(name, _named(one.identity))

    def wrote(self, one: KubernetesObject, decision: Restored, content: bytes) -> None:
        """Note a written object."""
        identity = one.identity
        self._written_namespaces.add(identity.name if identity.kind == "Namespace" else identity.namespace)
        ports = [path for path in decision.removed if path[-1] in {"nodePort", "healthCheckNodePort"}]
        if ports:
            values = ", ".join(str(value_at(one.data, path)) for path in ports)
            self._node_ports.append(f"{_named(identity)} {values}")
        if not self.namespaces:
            return
        if not identity.namespace and identity.kind != "Namespace":
            self._of_cluster.append(_named(identity))
        for name in dns_names(content.decode(errors="replace"), self.namespaces):
            self._dns[name] += 1
            self._first_dns.setdefault(name, _named(identity))

    def gave_namespace(self, identity: Identity) -> None:
        """Note an object whose namespace is only in the path of its file."""
        self._given.append(_named(identity))

    def made_namespace(self, name: str) -> None:
        """Note a namespace that the backup does not contain."""
        self._made.append(name)

    def warnings(self) -> Iterator[str]:
        """Yield what the user should know."""
        named = (owner for owner in self._owners if owner not in self._seen)
        if unknown := [owner for owner in named if owner._replace(namespace="") not in self._seen]:
            yield (
                f"the backup lacks {plural(len(unknown), 'owner')} of skipped objects, as {unknown[0]} "
                f"of {self._owners[unknown[0]]}; --include-owned restores such objects"
            )
        if self._node_ports:
            yield f"node ports are not restored: {_sample(self._node_ports)}; --keep-node-ports keeps them"
        if self._made:
            yield (
                f"the backup has no object of {plural(len(self._made), 'namespace')}, "
                f"which git-sync adds without labels: {_sample(self._made)}"
            )
        if self._given:
            yield (
                f"{plural(len(self._given), 'object')} without metadata.namespace got the namespace "
                f"that the path of the file names: {_sample(self._given)}"
            )
        yield from self._warnings_of_mapping()

    def _warnings_of_mapping(self) -> Iterator[str]:
        for old in self.namespaces:
            if old not in self._written_namespaces:
                yield f"--map-namespace {old}: no restored object is in this namespace"
        if self._of_cluster:
            yield (
                f"--map-namespace does not rename {plural(len(self._of_cluster), 'object')} "
                f"without a namespace, which can replace those of the original: {_sample(self._of_cluster)}"
            )
        for name, count in sorted(self._dns.items()):
            yield (
                f"the text of {plural(count, 'object')} contains {name}, which names Services of the old "
                f"namespace, as {self._first_dns[name]}"
            )


def _named(identity: Identity) -> Named:
    return Named(identity.kind, identity.namespace, identity.name)


def _sample(names: list[Named] | list[str]) -> str:
    shown = ", ".join(printable(str(name)) for name in names[:_SAMPLE])
    return f"{shown}, …" if len(names) > _SAMPLE else shown
