"""Read Kubernetes resources from YAML, for the report.

Anyone who can write to the bucket chooses the content. Therefore tags construct nothing, aliases are not
expanded (a few lines of them can expand to gigabytes), and unreadable content counts as "no resource".
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

# The C parser is many times faster, but PyYAML can be built without it.
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

# Larger than nearly every resource; takes at most a second to parse.
MAX_BYTES = 512 * 1024

# No resource is nested this deeply, and parse time grows with the square of the depth.
_MAX_DEPTH = 200

# Per file. Rules multiply: a few lines can grant billions of verb and resource pairs.
MAX_GRANTS = 5000

_MAX_TEXT_CHARACTERS = 100

# No resource has directives, and parse time grows with the square of their number.
_DIRECTIVE = re.compile(rb"(?:^|[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9])(?:\xef\xbb\xbf)*%")

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_SECRET = "Secret"  # noqa: S105 - the kind's name
_ROLE_KINDS = frozenset({"Role", "ClusterRole"})
_BINDING_KINDS = frozenset({"RoleBinding", "ClusterRoleBinding"})


class Grant(NamedTuple):
    """A verb for a resource, or a role for a subject."""

    what: str
    scope: str


@dataclass(frozen=True)
class Resource:
    """The relevant parts of one file: ``images`` by container name, and RBAC grants."""

    kind: str
    images: Mapping[str, str] = field(default_factory=dict)
    grants: frozenset[Grant] = frozenset()
    grants_truncated: bool = False


def is_readable(content: bytes) -> bool:
    """Whether the parser can read ``content`` with bounded time and memory."""
    return len(content) <= MAX_BYTES and not (b"%" in content and _DIRECTIVE.search(content))


def read_resource(content: bytes) -> Resource | None:
    """Return the resource in ``content``, None if there is none. The first of several names the kind."""
    if not is_readable(content):
        return None
    try:
        # Decode here: the directive check does not recognize UTF-16.
        found = [one for document in _documents(content.decode()) for one in _unpack_list(document)]
    except (yaml.YAMLError, UnicodeError, RecursionError):
        return None
    if not found:
        return None
    images: dict[str, str] = {}
    for one in found:
        if _text(one.get("kind")) != _SECRET:
            images.update(_images(one))
    grants = list(islice(chain.from_iterable(map(_grants, found)), MAX_GRANTS + 1))
    return Resource(
        _text(found[0].get("kind")), images, frozenset(grants[:MAX_GRANTS]), len(grants) > MAX_GRANTS
    )


def _documents(content: str) -> Iterator[Any]:
    """Yield the documents as mappings, lists and strings; an alias becomes the string ``*name``."""
    stack: list[Any] = []
    keys: list[Any] = []
    for event in yaml.parse(content, Loader=_Loader):
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(stack) >= _MAX_DEPTH:
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


def _unpack_list(document: Any) -> Iterator[dict[str, Any]]:
    """The resources in a document: the items of a List, or the document itself."""
    if isinstance(document, dict):
        if _text(document.get("kind")).endswith("List") and "items" in document:
            yield from _mappings(document["items"])
        else:
            yield document


def _images(resource: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and image of every container, at any depth of the resource."""
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
    if kind in _ROLE_KINDS:
        for rule in _mappings(resource.get("rules")):
            yield from _rule_grants(rule)
    if kind in _BINDING_KINDS:
        yield from _binding_grants(resource)


def _rule_grants(rule: dict[str, Any]) -> Iterator[Grant]:
    """Yield every verb of a rule with every resource, as in ``get`` and ``apps/deployments``."""
    groups, resources, verbs, urls = (
        [_truncate(text) for text in _texts(rule.get(name))]
        for name in ("apiGroups", "resources", "verbs", "nonResourceURLs")
    )
    names = _texts(rule.get("resourceNames"))
    only = f" ({_truncate(', '.join(sorted(names)))})" if names else ""
    for verb, group, one in product(verbs, groups or [""], resources):
        yield Grant(verb, f"{group}/{one}{only}" if group else f"{one}{only}")
    for verb, url in product(verbs, urls):
        yield Grant(verb, url)


def _binding_grants(binding: dict[str, Any]) -> Iterator[Grant]:
    """Yield the role for each subject, as in ``ClusterRole admin`` and ``ServiceAccount ci/deployer``."""
    role = binding.get("roleRef")
    what = _truncate(f"{_text(role.get('kind'))} {_text(role.get('name'))}") if isinstance(role, dict) else ""
    for subject in _mappings(binding.get("subjects")):
        name = "/".join(filter(None, (_text(subject.get("namespace")), _text(subject.get("name")))))
        yield Grant(what, _truncate(f"{_text(subject.get('kind'))} {name}"))


def _truncate(text: str) -> str:
    """Truncate ``text``; different texts stay different."""
    if len(text) <= _MAX_TEXT_CHARACTERS:
        return text
    whole = sha256(text.encode(errors="backslashreplace")).hexdigest()
    return f"{text[:_MAX_TEXT_CHARACTERS]}… (sha256 {whole[:12]})"


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
