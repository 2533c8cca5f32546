"""Reading Kubernetes resources out of YAML, for what a report says of them.

The content is whatever the bucket's writers chose, so nothing is constructed by tags, aliases are not
expanded (a few lines of them can stand for gigabytes), and what cannot be read is no resource.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain, islice, product
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The parser in C is many times as fast; PyYAML can be built without it.
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

# Larger than nearly every resource, and read in a second at worst.
MOST_BYTES = 512 * 1024

# No resource is nested so deep, and the parser takes the square of the depth in time.
_DEEPEST = 200

# Of one file; rules multiply: a few lines of them can grant billions of single things.
MOST_GRANTS = 5000

_TEXT_CHARACTERS = 100

# No resource has directives, and of thousands the parser takes the square in time.
_DIRECTIVE = re.compile(rb"(?:^|[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9])(?:\xef\xbb\xbf)*%")

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_SECRET = "Secret"  # noqa: S105 - the kind's name
_RULED = frozenset({"Role", "ClusterRole"})
_BOUND = frozenset({"RoleBinding", "ClusterRoleBinding"})


class Grant(NamedTuple):
    """A verb for a resource, or a role for a subject."""

    what: str
    scope: str


@dataclass(frozen=True)
class Resource:
    """What is of interest in one file: ``images`` by container, and what RBAC grants for what."""

    kind: str
    images: Mapping[str, str] = field(default_factory=dict)
    grants: frozenset[Grant] = frozenset()
    grants_more: bool = False


def is_readable(content: bytes) -> bool:
    """Whether the parser can be trusted with ``content``, in time and memory."""
    return len(content) <= MOST_BYTES and not (b"%" in content and _DIRECTIVE.search(content))


def read_resource(content: bytes) -> Resource | None:
    """Return the resource in ``content``, None if it is none. The first of several names the kind."""
    if not is_readable(content):
        return None
    try:
        # Decoded here, for in UTF-16 a directive would look different.
        found = [one for document in _documents(content.decode()) for one in _unpacked(document)]
    except (yaml.YAMLError, UnicodeError, RecursionError):
        return None
    if not found:
        return None
    images: dict[str, str] = {}
    for one in found:
        if _text(one.get("kind")) != _SECRET:
            images.update(_images(one))
    grants = list(islice(chain.from_iterable(map(_grants, found)), MOST_GRANTS + 1))
    return Resource(
        _text(found[0].get("kind")), images, frozenset(grants[:MOST_GRANTS]), len(grants) > MOST_GRANTS
    )


def _documents(content: str) -> Iterator[Any]:
    """Yield the documents as mappings, lists and texts; an alias stands as its own name."""
    stack: list[Any] = []
    keys: list[Any] = []
    for event in yaml.parse(content, Loader=_Loader):
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(stack) >= _DEEPEST:
                raise yaml.YAMLError("too deep")
            opened: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            stack.append(opened)
            keys.append(None)
            continue
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            value = stack.pop()
            keys.pop()
        elif isinstance(event, yaml.ScalarEvent):
            value = event.value
        elif isinstance(event, yaml.AliasEvent):
            value = f"*{event.anchor}"
        else:
            continue
        if not stack:
            yield value
        elif isinstance(stack[-1], list):
            stack[-1].append(value)
        elif keys[-1] is None:
            keys[-1] = (value if isinstance(value, str) else "",)
        else:
            stack[-1][keys[-1][0]] = value
            keys[-1] = None


def _unpacked(document: Any) -> Iterator[dict[str, Any]]:
    """The document's resources: those of a List, or itself."""
    if isinstance(document, dict):
        if _text(document.get("kind")).endswith("List") and "items" in document:
            yield from _mappings(document["items"])
        else:
            yield document


def _images(resource: Any) -> Iterator[tuple[str, str]]:
    """Every container's name and image, wherever the containers stand in a resource."""
    waiting = [resource]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            for name in _CONTAINERS:
                for container in _mappings(node.get(name)):
                    if image := _text(container.get("image")):
                        yield _text(container.get("name")), image
            waiting.extend(node.values())


def _grants(resource: dict[str, Any]) -> Iterator[Grant]:
    kind = _text(resource.get("kind"))
    if kind in _RULED:
        for rule in _mappings(resource.get("rules")):
            yield from _granted(rule)
    if kind in _BOUND:
        yield from _bound(resource)


def _granted(rule: dict[str, Any]) -> Iterator[Grant]:
    """Every verb of a role's rule with every resource, as in ``get`` and ``apps/deployments``."""
    groups, resources, verbs, urls = (
        [_short(text) for text in _texts(rule.get(name))]
        for name in ("apiGroups", "resources", "verbs", "nonResourceURLs")
    )
    names = _texts(rule.get("resourceNames"))
    only = f" ({_short(', '.join(sorted(names)))})" if names else ""
    for verb, group, one in product(verbs, groups or [""], resources):
        yield Grant(verb, f"{group}/{one}{only}" if group else f"{one}{only}")
    for verb, url in product(verbs, urls):
        yield Grant(verb, url)


def _bound(binding: dict[str, Any]) -> Iterator[Grant]:
    """The role for each subject, as in ``ClusterRole admin`` and ``ServiceAccount ci/deployer``."""
    role = binding.get("roleRef")
    what = _short(f"{_text(role.get('kind'))} {_text(role.get('name'))}") if isinstance(role, dict) else ""
    for subject in _mappings(binding.get("subjects")):
        name = "/".join(filter(None, (_text(subject.get("namespace")), _text(subject.get("name")))))
        yield Grant(what, _short(f"{_text(subject.get('kind'))} {name}"))


def _short(text: str) -> str:
    """Cut ``text``, before it is multiplied; texts that differ stay different."""
    if len(text) <= _TEXT_CHARACTERS:
        return text
    whole = sha256(text.encode(errors="backslashreplace")).hexdigest()
    return f"{text[:_TEXT_CHARACTERS]}… (sha256 {whole[:12]})"


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
