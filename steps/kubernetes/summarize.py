"""Summarize what a run changed: objects by kind and namespace, images, permissions, Secrets.

Built from the changed files, and from the objects in those that were inspected.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from itertools import groupby
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from steps.core.git_objects import Change
from steps.core.keys import printable
from steps.kubernetes import changes as objects
from steps.kubernetes.categories import Category
from steps.kubernetes.change_summary import (
    ChangeSummary,
    Count,
    ImageChange,
    ModifiedFiles,
    NotInspected,
    SecurityChange,
)
from steps.kubernetes.changes import Level, Located
from steps.kubernetes.places import OTHERS, UNKNOWN, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from steps.core.changes import PlanRow
    from steps.kubernetes.changes import ObjectChange
    from steps.kubernetes.facts import Facts

T = TypeVar("T")

_MAX_NAMES = 20
_MAX_IMAGES = 100
_MAX_SECURITY_CHANGES = 100
_ITEMS_PER_TURN = 10
_MAX_GRANTS = 20
_MAX_NOT_INSPECTED = 20
_MAX_TEXT_CHARACTERS = 300
_MAX_DISTINCT = 10_000

OVER_BUDGET = "too many changes for one inspection"


class Inspection(NamedTuple):
    """The objects of both versions of a file (none of a missing version), or why they are not known."""

    before: tuple[Facts, ...] = ()
    after: tuple[Facts, ...] = ()
    reason: str = ""


def summarize(
    changes: Iterable[PlanRow], inspections: Mapping[bytes, Inspection], reason: str = OVER_BUDGET
) -> ChangeSummary:
    """Summarize a run's changes, sorted by path; ``reason`` is why files have no inspection."""
    summary = _Summary(reason)
    for cluster, rows in groupby(changes, key=lambda row: row.path.partition(b"/")[0]):
        summary.add_cluster(cluster, rows, inspections)
    return summary.result()


class _Summary:
    def __init__(self, reason: str) -> None:
        self._reason = reason
        self._objects: Counter[str] = Counter()
        self._kinds = _Counts()
        self._namespaces = _Counts()
        self._levels: Counter[str] = Counter()
        self._images: _First[ImageChange] = _First(_MAX_IMAGES)
        self._security: _First[SecurityChange] = _First(_MAX_SECURITY_CHANGES)
        self._categories: Counter[Category] = Counter()
        self._turns: Counter[tuple[str, str, bool]] = Counter()
        self._metadata_only = 0
        self._inspected = 0
        self._not_inspected: _First[NotInspected] = _First(_MAX_NOT_INSPECTED)

    def add_cluster(
        self, cluster: bytes, rows: Iterable[PlanRow], inspections: Mapping[bytes, Inspection]
    ) -> None:
        """Add the changes of one cluster: files first, then the objects of those that are inspected."""
        before: list[Located] = []
        after: list[Located] = []
        modified: dict[str, Level] = {}
        for row in rows:
            inspection = inspections.get(row.path)
            if inspection is None or inspection.reason:
                self._add_file(row, inspection.reason if inspection else self._reason)
                continue
            self._inspected += 1
            path = row.path.decode(errors="replace")
            before += (Located(path, facts) for facts in inspection.before)
            after += (Located(path, facts) for facts in inspection.after)
            if row.change == Change.MODIFIED:
                modified[path] = Level.FORMATTING
        roles = objects.roles_of(one.facts for one in after)
        for change in objects.compare(before, after):
            self._add_object(cluster.decode(errors="replace"), change, roles)
            if change.path in modified:
                modified[change.path] = max(modified[change.path], change.level)
        self._levels.update(level.name.lower() for level in modified.values())

    def _add_file(self, row: PlanRow, reason: str) -> None:
        """Count a file whose objects are not known by what its path says."""
        place = place_of(row.path)
        self._add(place.kind, place.namespace, row.change)
        self._levels["not_inspected"] += row.change == Change.MODIFIED
        path = _printable(row.path)
        self._not_inspected.add((), NotInspected(path=path, reason=reason))
        if place.category:
            change = SecurityChange(object="", path=path, change=row.change, category=place.category)
            self._add_security_change(change)

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
            found = ImageChange(
                object=name,
                path=_truncate(change.path),
                container=_truncate(image.container),
                before=_truncate(image.before),
                after=_truncate(image.after),
            )
            self._images.add((change.change == Change.ADDED, self._turn("images", change.path)), found)
        if (category := objects.category(change)) is None:
            return
        if change.level == Level.METADATA:
            self._metadata_only += 1
            return
        permissions, keys = objects.permissions(change, roles), objects.secret_keys(change)
        found_change = SecurityChange(
            object=name,
            path=_truncate(change.path),
            change=change.change,
            category=category,
            is_sensitive=permissions.is_sensitive,
            granted=_limited(permissions.granted),
            revoked=_limited(permissions.revoked),
            keys_added=_limited(keys.added),
            keys_removed=_limited(keys.removed),
            keys_changed=_limited(keys.changed),
        )
        self._add_security_change(found_change)

    def _add(self, kind: str, namespace: str, what: str) -> None:
        self._objects[what] += 1
        self._kinds.add(kind, what)
        self._namespaces.add(namespace, what)

    def _add_security_change(self, change: SecurityChange) -> None:
        self._categories[change.category] += 1
        weight = _weight(change)
        turn = self._turn("security", change.path, sensitive=change.is_sensitive)
        self._security.add((weight[0], turn, *weight[1:]), change)

    def _turn(self, what: str, path: str, *, sensitive: bool = False) -> int:
        """Let clusters take turns, so that many changes of one do not push those of others off the list."""
        key = what, path.partition("/")[0], sensitive
        self._turns[key] += 1
        return self._turns[key] // _ITEMS_PER_TURN

    def result(self) -> ChangeSummary:
        """Return the summary: each list in the order of importance, then truncated."""
        return ChangeSummary(
            objects=_count(self._objects),
            kinds=self._kinds.most(),
            namespaces=self._namespaces.most(),
            modified_files=ModifiedFiles(**self._levels),
            images=self._images.items,
            more_images=self._images.more,
            security_changes=self._security.items,
            more_security_changes=self._security.more,
            security_categories=dict(sorted(self._categories.items())),
            security_metadata_only=self._metadata_only,
            inspected=self._inspected,
            not_inspected=self._not_inspected.items,
            more_not_inspected=self._not_inspected.more,
        )


class _First(Generic[T]):
    """The first ``limit`` items by weight, in constant memory; equal ones in the order of their arrival."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._kept: list[tuple[tuple[int, ...], T]] = []

    def add(self, weight: tuple[int, ...], item: T) -> None:
        self._count += 1
        self._kept.append((weight, item))
        if len(self._kept) >= 10 * self._limit:
            self._truncate()

    def _truncate(self) -> None:
        self._kept = sorted(self._kept, key=lambda one: one[0])[: self._limit]

    @property
    def items(self) -> tuple[T, ...]:
        self._truncate()
        return tuple(item for _, item in self._kept)

    @property
    def more(self) -> int:
        """How many items are not among the first."""
        return max(0, self._count - self._limit)


# The order of categories within changes that are equally sensitive.
_ORDER = tuple(Category)


def _weight(change: SecurityChange) -> tuple[int, ...]:
    """Rank changes: sensitive grants, other grants, changes that are not inspected, the rest, deletions."""
    return (
        not change.is_sensitive,
        not change.granted,
        bool(change.object),
        change.change == Change.DELETED,
        _ORDER.index(change.category),
    )


class _Counts:
    """Changes by name. Bucket writers choose the names, so their number is bounded; the rest share one."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, name: str, what: str) -> None:
        if name not in self._counts and len(self._counts) >= _MAX_DISTINCT:
            name = OTHERS
        self._counts[name][what] += 1

    def most(self) -> dict[str, Count]:
        """The names with the most changes."""
        ordered = heapq.nsmallest(
            _MAX_NAMES, self._counts, key=lambda name: (-self._counts[name].total(), name)
        )
        return {name: _count(self._counts[name]) for name in ordered}


def _count(counts: Counter[str]) -> Count:
    return Count(
        added=counts[Change.ADDED],
        modified=counts[Change.MODIFIED],
        deleted=counts[Change.DELETED],
        volatile=counts["volatile"],
    )


def _object_name(change: ObjectChange) -> str:
    identity = change.identity
    place = f"{identity.namespace}/{identity.name}" if identity.namespace else identity.name
    return _truncate(f"{identity.kind} {place}".strip())


def _limited(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Make the lines printable; limit their number, with a line for the rest."""
    more = len(lines) - _MAX_GRANTS
    return (*map(_truncate, lines[:_MAX_GRANTS]), *((f"and {more:,} more",) if more > 0 else ()))


def _truncate(text: str) -> str:
    return printable(text, _MAX_TEXT_CHARACTERS)


def _printable(path: bytes) -> str:
    return _truncate(path.decode(errors="replace"))
