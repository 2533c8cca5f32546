"""What happened to an object, in the words of people: ``main: cart:1.4 → cart:1.5``, ``replicas 2 → 3``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steps.core.git_objects import Change
from steps.core.keys import printable
from steps.kubernetes import changes
from steps.kubernetes.changes import Level
from steps.kubernetes.data import is_redacted, mapping, mappings, text
from steps.kubernetes.volatile import BUILT_IN_SET, RuleSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steps.kubernetes.changes import ObjectChange, Roles
    from steps.kubernetes.normal import Visible
    from steps.kubernetes.objects import KubernetesObject

_MAX_DETAILS = 12
_MAX_FIELDS = 6
_MAX_CHARACTERS = 200
_MAX_FIELD_DEPTH = 8
# Other details describe these fields.
_DETAILED = frozenset({"image", "env", "rules", "subjects", "roleRef"})


def details(  # noqa: PLR0913 - the versions, and how to read them
    change: ObjectChange,
    before: Visible | None,
    after: Visible | None,
    roles: Roles,
    rules: RuleSet = BUILT_IN_SET,
    *,
    unknown: frozenset[str] = frozenset(),
) -> list[str]:
    """Return what happened, most important first. The facts in ``change`` are those of the visible data.

    ``unknown`` are values that may be the same, see ``not_comparable``.
    """
    found: list[str] = []
    if change.change == Change.ADDED:
        found.append("created")
    elif change.change == Change.DELETED:
        found.append("deleted")
    elif change.level == Level.VOLATILE:
        return ["volatile fields"]
    rights = changes.permissions(change, roles)
    found += [f"gained {line}" for line in rights.granted]
    if change.change != Change.DELETED:
        found += [f"lost {line}" for line in rights.revoked]
    found += [_image(one) for one in changes.images(change)]
    if change.change == Change.MODIFIED:
        keys = changes.secret_keys(change)
        found += [f"value {name} added" for name in keys.added]
        found += [f"value {name} removed" for name in keys.removed]
        found += [
            f"value {name} not comparable: redacted by other rules"
            if name in unknown
            else f"value {name} changed"
            for name in keys.changed
        ]
        if before is not None and after is not None:
            old, new = rules.without_volatile_fields(before), rules.without_volatile_fields(after)
            found += _fields(old, new, change)
    return _limited(found)


def not_comparable(
    before: KubernetesObject | None, after: KubernetesObject | None, *, has_other_rules: bool
) -> frozenset[str]:
    """Return the names of a Secret's values that may be equal although their texts differ.

    A redacted value is a digest with SECRETS_KEY. The hash of the rules depends on this key, too.
    """
    old, new = _redacted(before), _redacted(after)
    return old | new if has_other_rules else old ^ new


def _redacted(one: KubernetesObject | None) -> frozenset[str]:
    data = mapping(one.data) if one else {}
    values = (pair for name in ("data", "stringData") for pair in mapping(data.get(name)).items())
    return frozenset(key for key, value in values if is_redacted(value))


def _limited(found: list[str]) -> list[str]:
    more = len(found) - _MAX_DETAILS
    shown = [printable(line, _MAX_CHARACTERS) for line in found[:_MAX_DETAILS]]
    return [*shown, f"and {more:,} more"] if more > 0 else shown


def _image(one: changes.Image) -> str:
    if not one.before:
        return f"{one.container}: {one.after}"
    return f"{one.container}: {one.before} → {one.after}" if one.after else f"{one.container} removed"


def _fields(before: Any, after: Any, change: ObjectChange) -> Iterator[str]:
    """Yield replicas, variables, and the paths of other fields that differ."""
    old, new = mapping(mapping(before).get("spec")), mapping(mapping(after).get("spec"))
    if old.get("replicas") != new.get("replicas"):
        yield f"replicas {old.get('replicas')} → {new.get('replicas')}"
    yield from _variables(before, after)
    if change.facts.category == "secret":
        return
    if change.level == Level.METADATA:
        ours, theirs = (mapping(mapping(one).get("metadata")) for one in (before, after))
        names = dict.fromkeys(_differing(ours, theirs, "", 1))
        yield f"changed {', '.join(list(names)[:_MAX_FIELDS])}" if names else "changed metadata"
        return
    paths = [path for path in dict.fromkeys(_differing(before, after, "", 0)) if path != "spec.replicas"]
    if paths:
        more = f" and {len(paths) - _MAX_FIELDS:,} more" if len(paths) > _MAX_FIELDS else ""
        yield f"changed {', '.join(paths[:_MAX_FIELDS])}{more}"


def _differing(before: Any, after: Any, path: str, depth: int) -> Iterator[str]:
    """Yield the paths of fields that differ, without those that other details describe."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict) and depth < _MAX_FIELD_DEPTH:
        for key in sorted(before.keys() | after.keys()):
            if key not in _DETAILED:
                inner = f"{path}.{key}" if path else key
                yield from _differing(before.get(key), after.get(key), inner, depth + 1)
        return
    both_lists = isinstance(before, list) and isinstance(after, list) and len(before) == len(after)
    if both_lists and depth < _MAX_FIELD_DEPTH and all(isinstance(one, dict) for one in (*before, *after)):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            name = text(new.get("name")) or str(number)
            yield from _differing(old, new, f"{path}[{name}]", depth + 1)
        return
    yield path or "everything"


def _variables(before: Any, after: Any) -> Iterator[str]:
    """Yield the names of environment variables that differ, by container; no values."""
    old, new = dict(_environments(before)), dict(_environments(after))
    for name in sorted(old.keys() & new.keys()):
        ours, theirs = old[name], new[name]
        signs = [
            *(f"+{key}" for key in sorted(theirs.keys() - ours.keys())),
            *(f"-{key}" for key in sorted(ours.keys() - theirs.keys())),
            *(f"~{key}" for key in sorted(ours.keys() & theirs.keys()) if ours[key] != theirs[key]),
        ]
        if signs:
            yield f"env of {name}: {' '.join(signs)}"


def _environments(data: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the containers of all pod templates, with their variables by name."""
    waiting = [data]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            variables = mappings(node.get("env"))
            if variables and text(node.get("name")):
                yield node["name"], {text(one.get("name")): one for one in variables}
