"""Decides about one object: skip it, or write it without some fields and with other namespaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steps.kubernetes.restoration.fields import emptied_parents, find_fields, with_values, without_fields
from steps.kubernetes.restoration.namespaces import mapped_fields
from steps.kubernetes.restoration.rules import cuts_of, skips_of
from steps.kubernetes.volatile import BUILT_IN_SET, volatile_paths

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from steps.kubernetes.objects import KubernetesObject
    from steps.kubernetes.restoration.fields import FieldPath
    from steps.kubernetes.restoration.rules import Known, Option

VOLATILE = "controllers write it all the time"


@dataclass(frozen=True)
class Skipped:
    """Why an object is not written. ``is_lost``: nothing creates it again."""

    why: str
    is_lost: bool = False


@dataclass(frozen=True)
class Restored:
    """What changes in an object that is written: the removed fields with the reason, the new values."""

    removed: Mapping[FieldPath, str]
    replaced: Mapping[FieldPath, str]

    def applied_to(self, data: Any) -> Any:
        """Return the data that is written."""
        return without_fields(with_values(data, self.replaced), self.removed)


def decide(
    one: KubernetesObject, known: Known, options: Collection[Option], namespaces: Mapping[str, str]
) -> Skipped | Restored:
    """Return what becomes of an object. ``namespaces`` maps old names to new ones."""
    if (skipped := _skipped(one, known, options)) is not None:
        return skipped
    reasons = _removed_fields(one, options)
    removed = emptied_parents(one.data, reasons)
    below = _reasons_below(reasons)
    why = {path: reasons.get(path) or below[path] for path in sorted(removed, key=str)}
    replaced = mapped_fields(one, namespaces)
    return Restored(why, {path: value for path, value in replaced.items() if path not in removed})


def _skipped(one: KubernetesObject, known: Known, options: Collection[Option]) -> Skipped | None:
    for row in skips_of(one.identity.kind, one.identity.group):
        if row.unless not in options and row.when(one, known):
            return Skipped(row.why, row.is_lost)
    return Skipped(VOLATILE) if BUILT_IN_SET.is_volatile(one) else None


def _removed_fields(one: KubernetesObject, options: Collection[Option]) -> dict[FieldPath, str]:
    found = {path: VOLATILE for pattern in volatile_paths(one) for path, _ in find_fields(one.data, pattern)}
    for row in cuts_of(one.identity.kind, one.identity.group):
        if row.unless in options:
            continue
        for pattern in row.fields:
            for path, value in find_fields(one.data, pattern):
                if row.which(value, one):
                    found.setdefault(path, row.why)
    return found


def _reasons_below(reasons: Mapping[FieldPath, str]) -> dict[FieldPath, str]:
    """Return the reason of each mapping and list from which a field is removed: that of the first field."""
    below: dict[FieldPath, str] = {}
    for field, why in reasons.items():
        for depth in range(1, len(field)):
            below.setdefault(field[:depth], why)
    return below
