"""Summarize what a run changed: objects by kind and namespace, images, permissions, Secrets.

Built from the changed files, and from the objects in those that were inspected. The process that inspects
them imports this module, so it does not import pydantic, which takes longer than most inspections.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from steps.core.git_objects import Change
from steps.core.keys import printable
from steps.kubernetes import changes as objects
from steps.kubernetes.categories import Category
from steps.kubernetes.changes import Level, Located
from steps.kubernetes.places import OTHERS, UNKNOWN, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from steps.kubernetes.changes import ObjectChange
    from steps.kubernetes.facts import Facts

# A part of the summary, with the names of the fields of its model in change_summary.py.
Fields = dict[str, Any]

_MAX_NAMES = 20
_MAX_IMAGES = 100
_MAX_SECURITY_CHANGES = 100
_ITEMS_PER_TURN = 10
_MAX_GRANTS = 20
_MAX_NOT_INSPECTED = 20
# Of grants and names of values in all changes together. sync-metadata.json and serve's pages contain them.
_MAX_LINE_CHARACTERS = 100_000
_MAX_TEXT_CHARACTERS = 300
_MAX_DISTINCT = 10_000

OVER_BUDGET = "too many changes for one inspection"


class Inspection(NamedTuple):
    """The objects of both versions of a file (none of a missing version), or why they are not known."""

    before: tuple[Facts, ...] = ()
    after: tuple[Facts, ...] = ()
    reason: str = ""


def summarize(
    changes: Iterable[tuple[bytes, Change]],
    inspections: Mapping[bytes, Inspection],
    reason: str = OVER_BUDGET,
) -> Fields:
    """Return the fields of the ChangeSummary of changed files, sorted by path ``<cluster>/<rest>``.

    ``reason`` is why files have no inspection.
    """
    summary = _Summary(reason)
    for cluster, files in groupby(changes, key=lambda file: file[0].partition(b"/")[0]):
        summary.add_cluster(cluster, files, inspections)
    return summary.result()


class _Summary:
    def __init__(self, reason: str) -> None:
        self._reason = reason
        self._objects: Counter[str] = Counter()
        self._kinds = _Counts()
        self._namespaces = _Counts()
        self._levels: Counter[str] = Counter()
        self._images: _First = _First(_MAX_IMAGES)
        self._security: _First = _First(_MAX_SECURITY_CHANGES)
        self._categories: Counter[Category] = Counter()
        self._turns: Counter[tuple[str, str, bool]] = Counter()
        self._metadata_only = 0
        self._inspected = 0
        self._not_inspected: _First = _First(_MAX_NOT_INSPECTED)

    def add_cluster(
        self, cluster: bytes, files: Iterable[tuple[bytes, Change]], inspections: Mapping[bytes, Inspection]
    ) -> None:
        """Add the changes of one cluster: files first, then the objects of those that are inspected."""
        before: list[Located] = []
        after: list[Located] = []
        modified: dict[str, Level] = {}
        for in_git, change in files:
            inspection = inspections.get(in_git)
            if inspection is None or inspection.reason:
                self._add_file(in_git, change, inspection.reason if inspection else self._reason)
                continue
            self._inspected += 1
            path = in_git.decode(errors="replace")
            before += (Located(path, facts) for facts in inspection.before)
            after += (Located(path, facts) for facts in inspection.after)
            if change == Change.MODIFIED:
                modified[path] = Level.FORMATTING
        roles = objects.roles_of(one.facts for one in after)
        for one in objects.compare(before, after):
            self._add_object(cluster.decode(errors="replace"), one, roles)
            if one.path in modified:
                modified[one.path] = max(modified[one.path], one.level)
        self._levels.update(level.name.lower() for level in modified.values())

    def _add_file(self, in_git: bytes, change: Change, reason: str) -> None:
        """Count a file whose objects are not known by what its path says."""
        place = place_of(in_git)
        self._add(place.kind, place.namespace, change)
        self._levels["not_inspected"] += change == Change.MODIFIED
        path = _printable(in_git)
        self._not_inspected.add((), {"path": path, "reason": reason})
        if place.category:
            fields = {"object": "", "path": path, "change": change, "category": place.category}
            self._add_security_change(fields)

    def _add_object(self, cluster: str, change: ObjectChange, roles: objects.Roles) -> None:
        kind, namespace = change.identity.kind, change.identity.namespace
        what = "volatile" if change.level == Level.VOLATILE else change.change
        in_path = place_of(change.path.encode()).namespace  # a hint, for objects without a namespace
        place = _truncate(f"{cluster}/{namespace}") if namespace else in_path
        self._add(_truncate(kind) or UNKNOWN, place, what)
        if change.level == Level.VOLATILE:
            return
        name = _object_name(change)
        for image in objects.images(change):
            found = {
                "object": name,
                "path": _truncate(change.path),
                "container": _truncate(image.container),
                "before": _truncate(image.before),
                "after": _truncate(image.after),
            }
            self._images.add((change.change == Change.ADDED, self._turn("images", change.path)), found)
        if (category := objects.category(change)) is None:
            return
        if change.level == Level.METADATA:
            self._metadata_only += 1
            return
        permissions, keys = objects.permissions(change, roles), objects.secret_keys(change)
        self._add_security_change(
            {
                "object": name,
                "path": _truncate(change.path),
                "change": change.change,
                "category": category,
                "is_sensitive": permissions.is_sensitive,
                "granted": _Lines.of(permissions.granted),
                "revoked": _Lines.of(permissions.revoked),
                "keys_added": _Lines.of(keys.added),
                "keys_removed": _Lines.of(keys.removed),
                "keys_changed": _Lines.of(keys.changed),
            }
        )

    def _add(self, kind: str, namespace: str, what: str) -> None:
        self._objects[what] += 1
        self._kinds.add(kind, what)
        self._namespaces.add(namespace, what)

    def _add_security_change(self, change: Fields) -> None:
        self._categories[change["category"]] += 1
        weight = _weight(change)
        turn = self._turn("security", change["path"], sensitive=not weight[0])
        self._security.add((weight[0], turn, *weight[1:]), change)

    def _turn(self, what: str, path: str, *, sensitive: bool = False) -> int:
        """Let clusters take turns, so that many changes of one do not push those of others off the list."""
        key = what, path.partition("/")[0], sensitive
        self._turns[key] += 1
        return self._turns[key] // _ITEMS_PER_TURN

    def result(self) -> Fields:
        """Return the summary: each list in the order of importance, then truncated."""
        return {
            "objects": _count(self._objects),
            "kinds": self._kinds.most(),
            "namespaces": self._namespaces.most(),
            "modified_files": dict(self._levels),
            "images": self._images.items,
            "more_images": self._images.more,
            "security_changes": _with_limited_lines(self._security.items),
            "more_security_changes": self._security.more,
            "security_categories": dict(sorted(self._categories.items())),
            "security_metadata_only": self._metadata_only,
            "inspected": self._inspected,
            "not_inspected": self._not_inspected.items,
            "more_not_inspected": self._not_inspected.more,
        }


class _First:
    """The first ``limit`` items by weight, in constant memory; equal ones in the order of their arrival."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._kept: list[tuple[tuple[int, ...], Fields]] = []

    def add(self, weight: tuple[int, ...], item: Fields) -> None:
        self._count += 1
        self._kept.append((weight, item))
        if len(self._kept) >= 10 * self._limit:
            self._truncate()

    def _truncate(self) -> None:
        self._kept = sorted(self._kept, key=lambda one: one[0])[: self._limit]

    @property
    def items(self) -> list[Fields]:
        self._truncate()
        return [item for _, item in self._kept]

    @property
    def more(self) -> int:
        """How many items are not among the first."""
        return max(0, self._count - self._limit)


# The order of categories within changes that are equally sensitive.
_ORDER = tuple(Category)


def _weight(change: Fields) -> tuple[int, ...]:
    """Rank changes: sensitive grants, other grants, changes that are not inspected, the rest, deletions."""
    return (
        not change.get("is_sensitive"),
        not (change["granted"].first if "granted" in change else ()),
        bool(change["object"]),
        change["change"] == Change.DELETED,
        _ORDER.index(change["category"]),
    )


class _Counts:
    """Changes by name. Bucket writers choose the names, so their number is bounded; the rest share one."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, name: str, what: str) -> None:
        if name not in self._counts and len(self._counts) >= _MAX_DISTINCT:
            name = OTHERS
        self._counts[name][what] += 1

    def most(self) -> dict[str, Fields]:
        """The names with the most changes."""
        ordered = heapq.nsmallest(
            _MAX_NAMES, self._counts, key=lambda name: (-self._counts[name].total(), name)
        )
        return {name: _count(self._counts[name]) for name in ordered}


def _count(counts: Counter[str]) -> Fields:
    return {
        "added": counts[Change.ADDED],
        "modified": counts[Change.MODIFIED],
        "deleted": counts[Change.DELETED],
        "volatile": counts["volatile"],
    }


def _object_name(change: ObjectChange) -> str:
    identity = change.identity
    place = f"{identity.namespace}/{identity.name}" if identity.namespace else identity.name
    return _truncate(f"{identity.kind} {place}".strip())


class _Lines(NamedTuple):
    """The first lines of a list, printable, and the number of the others."""

    first: list[str]
    more: int

    @classmethod
    def of(cls, lines: tuple[str, ...]) -> _Lines:
        return cls([_truncate(line) for line in lines[:_MAX_GRANTS]], max(0, len(lines) - _MAX_GRANTS))

    def within(self, characters: int) -> list[str]:
        """Return the lines that fit into so many characters, and a line for the rest."""
        ends = accumulate(map(len, self.first))
        kept = [line for line, end in zip(self.first, ends, strict=True) if end <= characters]
        more = self.more + len(self.first) - len(kept)
        return [*kept, *((f"and {more:,} more",) if more else ())]


def _with_limited_lines(changes: list[Fields]) -> list[Fields]:
    """Limit the text of all changes together: the first, which matter most, keep their lines."""
    left = _MAX_LINE_CHARACTERS
    limited = []
    for change in changes:
        fields = {}
        for name, value in change.items():
            fields[name] = value.within(left) if isinstance(value, _Lines) else value
            if isinstance(value, _Lines):
                left -= sum(map(len, fields[name]))
        limited.append(fields)
    return limited


def _truncate(text: str) -> str:
    return printable(text, _MAX_TEXT_CHARACTERS)


def _printable(path: bytes) -> str:
    return _truncate(path.decode(errors="replace"))
