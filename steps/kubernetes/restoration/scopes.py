"""Whether an object without metadata.namespace can belong to the namespace that a directory names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps.kubernetes.data import mapping, text
from steps.kubernetes.restoration.namespaces import NAMESPACE
from steps.kubernetes.restoration.stages import is_built_in

if TYPE_CHECKING:
    from steps.kubernetes.objects import Identity, KubernetesObject


class Scopes:
    """The namespaces of a cluster, and the kinds that its CRDs define, from all objects of the backup."""

    def __init__(self) -> None:
        self._namespaces: set[str] = set()
        self._scopes: dict[tuple[str, str], str] = {}

    def add(self, one: KubernetesObject) -> None:
        """Note what an object says."""
        identity = one.identity
        self._namespaces.add(identity.namespace)
        if (identity.group, identity.kind) == ("", "Namespace"):
            self._namespaces.add(identity.name)
        if identity.kind == "CustomResourceDefinition":
            spec = mapping(mapping(one.data).get("spec"))
            kind = text(mapping(spec.get("names")).get("kind"))
            self._scopes[text(spec.get("group")), kind] = text(spec.get("scope"))

    def may_have(self, identity: Identity, namespace: str) -> bool:
        """Whether the object can belong to this namespace.

        Of kinds that no CRD defines, only if something else names the namespace.
        """
        if not NAMESPACE.fullmatch(namespace):
            return False
        scope = self._scopes.get((identity.group, identity.kind))
        if scope is not None:
            return scope == "Namespaced"
        return is_built_in(identity.group) or namespace in self._namespaces
