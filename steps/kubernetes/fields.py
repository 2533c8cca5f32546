"""Fields of an object: their paths, and what becomes of each of them.

``edited`` says what the object's data is afterwards. ``steps.kubernetes.rewrite`` cuts the same fields out
of the source text; one function decides both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

# A step of a field's path is a key, or every item of a list.
EVERY_ITEM = None
Path = tuple[str | None, ...]

# The same, or one item of a list by its index.
Steps = tuple[str | int | None, ...]

_DROPPED: Any = object()


def parse_path(written: str) -> Path:
    """Parse ``metadata.annotations[example.com/a].b`` or ``items[*].c``. Raises ValueError."""
    steps: list[str | None] = []
    rest = written
    while rest:
        if rest.startswith("["):
            key, closed, rest = rest[1:].partition("]")
            if not closed or not key:
                raise ValueError(f'{written}: "[" needs a key and "]"')
            steps.append(EVERY_ITEM if key == "*" else key)
        else:
            ends = [at for at in (rest.find("."), rest.find("[")) if at >= 0]
            end = min(ends, default=len(rest))
            if not end:
                raise ValueError(f"{written}: a key is empty")
            steps.append(rest[:end])
            rest = rest[end:]
        if rest.startswith("."):
            rest = rest[1:]
            if not rest:
                raise ValueError(f"{written}: a key is empty")
    if not steps:
        raise ValueError("a path is empty")
    return tuple(steps)


def written_path(path: Steps) -> str:
    """Write a path as ``parse_path`` reads it; the index of an item is in brackets."""
    written = ""
    for step in path:
        if step is EVERY_ITEM:
            written += "[*]"
        elif isinstance(step, int) or "." in step or "[" in step:
            written += f"[{step}]"
        else:
            written += f".{step}" if written else step
    return written


class Fields:
    """A tree of fields: which are dropped, and which get another text. The last call decides about a field.

    ``drops`` is about the field and all fields below it, except ``children``.
    """

    __slots__ = ("children", "drops", "replacement")

    def __init__(self, *, drops: bool = False, replacement: str | None = None) -> None:
        self.drops = drops
        self.replacement = replacement
        self.children: dict[str | int | None, Fields] = {}

    def drop(self, path: Steps) -> None:
        """Remove the field."""
        self._set(path, Fields(drops=True))

    def keep(self, path: Steps) -> None:
        """Keep the field and everything below it."""
        self._set(path, Fields())

    def replace(self, path: Steps, replacement: str) -> None:
        """Replace the field's value by a text."""
        self._set(path, Fields(replacement=replacement))

    def dropped(self, above: Path = ()) -> Iterator[Path]:
        """Yield the paths of the dropped fields that no index is part of."""
        for step, child in self.children.items():
            if not isinstance(step, int):
                if child.drops:
                    yield (*above, step)
                yield from child.dropped((*above, step))

    def copy(self) -> Fields:
        """Return a tree that can be changed alone."""
        other = Fields(drops=self.drops, replacement=self.replacement)
        other.children = {step: child.copy() for step, child in self.children.items()}
        return other

    def without(self, step: str) -> Fields:
        """Return the tree without one of its children."""
        if step not in self.children:
            return self
        other = Fields(drops=self.drops)
        other.children = {key: child for key, child in self.children.items() if key != step}
        return other

    def _set(self, path: Steps, fields: Fields) -> None:
        above = self
        for step in path[:-1]:
            if step not in above.children:
                if above.drops == fields.drops and fields.replacement is None:
                    return  # it is so already
                above.children[step] = Fields(drops=above.drops)
            above = above.children[step]
        if above.drops == fields.drops and fields.replacement is None:
            above.children.pop(path[-1], None)
        else:
            above.children[path[-1]] = fields


class Treatment(NamedTuple):
    """What becomes of an object: all of it is omitted, or some of its fields change."""

    fields: Fields
    omit: bool = False


class Edits(Protocol):
    """Receives what ``edited`` changes, by the mapping or list that contains it."""

    def remove(self, container: Any, keys: list[Any]) -> None:
        """Remove these keys or indices; others remain."""

    def replace(self, container: Any, key: Any, value: Any) -> None:
        """Replace a value by a text, an empty mapping or an empty list."""


def edited(data: Any, fields: Fields, edits: Edits | None = None) -> Any:
    """Return the data afterwards; the same object if nothing changes.

    A mapping that is empty because of that is dropped as well; as an item of a list, it stays.
    """
    if not fields.children:
        return data
    if isinstance(data, dict):
        return _edited_mapping(data, fields, edits)
    if isinstance(data, list):
        return _edited_list(data, fields, edits)
    return _DROPPED if fields.drops else data


def _edited_mapping(data: dict[str, Any], fields: Fields, edits: Edits | None) -> Any:
    removed: list[str] = []
    changed: dict[str, Any] = {}
    children = fields.children
    for key in list(data) if fields.drops else [key for key in children if key in data]:
        assert isinstance(key, str)  # noqa: S101 - keys of the data
        child = children.get(key)
        value = data[key]
        new = _DROPPED if child is None else _value(value, child, edits)
        if new is value:
            continue
        if new is _DROPPED or new == {}:
            removed.append(key)
        else:
            changed[key] = new
    if not removed and not changed:
        return data
    if len(removed) == len(data):
        return {}
    if edits is not None:
        if removed:
            edits.remove(data, removed)
        for key, new in changed.items():
            _note(edits, data, key, new)
    gone = set(removed)
    return {key: changed.get(key, value) for key, value in data.items() if key not in gone}


def _edited_list(data: list[Any], fields: Fields, edits: Edits | None) -> Any:
    every = fields.children.get(EVERY_ITEM)
    result: list[Any] = []
    removed: list[int] = []
    changed: dict[int, Any] = {}
    for index, item in enumerate(data):
        child = fields.children.get(index, every)
        new = (_DROPPED if fields.drops else item) if child is None else _value(item, child, edits)
        if new is _DROPPED:
            removed.append(index)
            continue
        if new is not item:
            changed[index] = new
        result.append(new)
    if not removed and not changed:
        return data
    if result and edits is not None:
        if removed:
            edits.remove(data, removed)
        for index, new in changed.items():
            _note(edits, data, index, new)
    return result


def _value(value: Any, fields: Fields, edits: Edits | None) -> Any:
    if fields.replacement is not None:
        return fields.replacement
    if not fields.children:
        return _DROPPED if fields.drops else value
    return edited(value, fields, edits)


def _note(edits: Edits, container: Any, key: Any, new: Any) -> None:
    """Note a changed value. Changes inside a mapping or list are noted there, unless it is empty now."""
    if isinstance(new, str) or not new:
        edits.replace(container, key, new)
