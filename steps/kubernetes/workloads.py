"""What the pod templates of an object run: images, and access to the node."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from steps.kubernetes.data import mapping, mappings, text, texts
from steps.kubernetes.objects import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
# Sidecars of Argo Workflows and Tekton, steps of Tekton. Steps of Argo Workflows may contain templates.
_OTHER_LISTS = ("sidecars", "steps")
# Argo Workflows: one container, named by the template around it. Tekton: the defaults of the steps.
_SINGLE_CONTAINERS = ("container", "script", "stepTemplate")
# A workflow of Argo has the volumes and the host network of its pods beside the templates.
_KEYS = frozenset({*_CONTAINER_LISTS, *_OTHER_LISTS, *_SINGLE_CONTAINERS, "templates", "volumes"})
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")

# Per object. A file of 512 KiB has room for about 30,000 containers; no object has a hundred.
_MAX_CONTAINERS = 1000

# The path is part of each container's identity.
_MAX_PLACE_CHARACTERS = 2000


class Container(NamedTuple):
    """A container: its place in the object, as in ``spec.template.spec.containers[web]``, and its image."""

    place: str
    name: str
    image: str


class Pods(NamedTuple):
    """What the pod templates of an object contain; ``node_access`` is text as in ``hostNetwork``."""

    containers: tuple[Container, ...]
    node_access: frozenset[str]


def pods_of(data: Any) -> Pods:
    """Return what the pod templates contain, at any depth of an object. Raises Unreadable at a limit."""
    containers: list[Container] = []
    access: set[str] = set()
    waiting: list[tuple[str, Any]] = [("", data)]
    while waiting:
        place, node = waiting.pop()
        if len(place) > _MAX_PLACE_CHARACTERS:
            raise Unreadable("has a field whose path is too long")
        if isinstance(node, list):
            base = place.removesuffix(".")
            for number, item in enumerate(node):
                if isinstance(item, dict | list):
                    name = text(mapping(item).get("name")) or str(number)
                    waiting.append((f"{base}[{name}].", item))
            continue
        if not _KEYS.isdisjoint(node):
            containers += _containers(place, node)
            access.update(_node_access(node))
            if max(len(containers), len(access)) > _MAX_CONTAINERS:
                raise Unreadable(f"has more than {_MAX_CONTAINERS:,} containers in one object")
        waiting += [
            (f"{place}{key}.", value)
            for key, value in node.items()
            # A list of containers is read above, and contains no other pod template.
            if isinstance(value, dict) or (isinstance(value, list) and key not in _CONTAINER_LISTS)
        ]
    return Pods(tuple(containers), frozenset(access))


def _containers(place: str, node: dict[str, Any]) -> Iterator[Container]:
    for key in (*_CONTAINER_LISTS, *_OTHER_LISTS):
        for number, container in enumerate(mappings(node.get(key))):
            name = text(container.get("name")) or str(number)
            if image := text(container.get("image")):
                yield Container(f"{place}{key}[{name}]", name, image)
    for key in _SINGLE_CONTAINERS:
        container = mapping(node.get(key))
        if image := text(container.get("image")):
            yield Container(f"{place}{key}", text(node.get("name")) or key, image)
    for number, volume in enumerate(mappings(node.get("volumes"))):
        name = text(volume.get("name")) or str(number)
        if image := text(mapping(volume.get("image")).get("reference")):
            yield Container(f"{place}volumes[{name}]", name, image)


def _node_access(node: dict[str, Any]) -> Iterator[str]:
    lists = [mappings(node.get(key)) for key in (*_CONTAINER_LISTS, *_OTHER_LISTS)]
    singles = [mapping(node.get(key)) | {"name": node.get("name") or key} for key in _SINGLE_CONTAINERS]
    if _is_host_process(node):
        yield "hostProcess"
    yield from (key for key in _HOST_NAMESPACES if node.get(key) is True)
    for volume in mappings(node.get("volumes")):
        if path := text(mapping(volume.get("hostPath")).get("path")):
            yield f"hostPath {path}"
    for container in chain(singles, *lists):
        name, context = text(container.get("name")), mapping(container.get("securityContext"))
        if context.get("privileged") is True:
            yield f"privileged container {name}"
        if _is_host_process(container):
            yield f"hostProcess of container {name}"
        added = texts(mapping(context.get("capabilities")).get("add"))
        yield from (f"capability {capability} of container {name}" for capability in added)


def _is_host_process(node: dict[str, Any]) -> bool:
    """Whether a pod or a container of Windows runs as a process of its node."""
    context = mapping(node.get("securityContext"))
    return mapping(context.get("windowsOptions")).get("hostProcess") is True
