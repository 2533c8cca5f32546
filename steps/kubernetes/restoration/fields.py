"""Fields of an object by their path: find them, remove them, replace their values.

A path names the keys and the positions from the top of the object: ``("spec", "ports", 0, "nodePort")``.
"""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from steps.kubernetes.fields import EVERY_ITEM

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from steps.kubernetes.fields import Path

FieldPath = tuple[str | int, ...]


def find_fields(data: Any, pattern: Path, above: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    """Yield path and value of each field that matches; a key with ``*`` is a glob."""
    if not pattern:
        yield above, data
        return
    step, rest = pattern[0], pattern[1:]
    if step is EVERY_ITEM:
        for position, item in enumerate(data if isinstance(data, list) else ()):
            yield from find_fields(item, rest, (*above, position))
    elif isinstance(data, dict):
        keys: Iterable[str] = [key for key in data if fnmatchcase(key, step)] if "*" in step else (step,)
        for key in keys:
            if key in data:
                yield from find_fields(data[key], rest, (*above, key))


def value_at(data: Any, path: FieldPath) -> Any:
    """Return the value of a field that exists."""
    for step in path:
        data = data[step]
    return data


def without_fields(data: Any, paths: Collection[FieldPath]) -> Any:
    """Return a copy of the data without these fields."""
    return _without(data, _tree(dict.fromkeys(paths)))


# A key of no object: keys are text, positions are not negative.
_END = -1


def _tree(values: Mapping[FieldPath, Any]) -> Mapping[str | int, Any]:
    """Return nested mappings by the steps of the paths; the value of a path is below ``_END``."""
    tree: dict[str | int, Any] = {}
    for path, value in values.items():
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node[_END] = value
    return tree


def _without(data: Any, tree: Mapping[str | int, Any]) -> Any:
    if not tree:
        return data
    if isinstance(data, dict):
        kept = ((key, value, tree.get(key, {})) for key, value in data.items())
        return {key: _without(value, below) for key, value, below in kept if _END not in below}
    rows = ((value, tree.get(position, {})) for position, value in enumerate(data))
    return [_without(value, below) for value, below in rows if _END not in below]


def with_values(data: Any, values: Mapping[FieldPath, str]) -> Any:
    """Return a copy of the data in which these fields have other values; the last key can be new."""
    return _with_values(data, _tree(values)) if values else data


def _with_values(data: Any, tree: Mapping[str | int, Any]) -> Any:
    if _END in tree:
        return tree[_END]
    changed: Any = dict(data) if isinstance(data, dict) else list(data)
    for step, below in tree.items():
        changed[step] = _with_values(data.get(step) if isinstance(data, dict) else data[step], below)
    return changed


def emptied_parents(data: Any, paths: Iterable[FieldPath]) -> set[FieldPath]:
    """Return the fields to remove: a mapping or a list instead of its fields, if nothing else is in it."""
    removed = set(paths)
    for length in range(max(map(len, removed), default=0), 1, -1):
        children = Counter(path[:-1] for path in removed if len(path) == length)
        removed.update(parent for parent, count in children.items() if count == len(value_at(data, parent)))
    return {path for path in removed if not any(path[:depth] in removed for depth in range(1, len(path)))}
