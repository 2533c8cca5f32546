"""The sections of a report about what changed: security-relevant changes, images, counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps.core.git_objects import Change
from steps.core.wording import plural
from steps.kubernetes.categories import Category
from steps.reporting.page import (
    Badge,
    Block,
    Code,
    Fold,
    Heading,
    Inline,
    Items,
    Paragraph,
    Parts,
    Table,
    Tone,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steps.kubernetes.change_summary import (
        ChangeSummary,
        Count,
        ImageChange,
        ModifiedFiles,
        SecurityChange,
    )

_CATEGORIES = {
    Category.RBAC: "RBAC",
    Category.SECRET: "Secret",
    Category.NETWORK_POLICY: "network policy",
    Category.WEBHOOK: "admission",
    Category.POD_SECURITY: "pod security",
    Category.CLOUD_IDENTITY: "cloud identity",
    Category.CUSTOM_RESOURCE_DEFINITION: "CRD",
}
# Items of a list that are shown at once; the others are folded.
_SHOWN = 10


def modified_words(files: ModifiedFiles) -> str:
    """Say how much the modified files matter, as in ``2 in substance, 9 only in volatile fields``.

    Empty if all of them changed in substance.
    """
    if files.total == files.substance:
        return ""
    parts = [
        f"{count:,} {words}"
        for count, words in (
            (files.substance, "in substance"),
            (files.metadata, "only in labels or annotations"),
            (files.volatile, "only in volatile fields"),
            (files.formatting, "only in formatting"),
            (files.not_inspected, "not inspected"),
        )
        if count
    ]
    return ", ".join(parts)


def important_changes(changes: ChangeSummary) -> Iterator[Block]:
    """Yield the sections about security-relevant changes and images."""
    if changes.security_changes or changes.security_metadata_only:
        yield Heading("Security-relevant changes")
        yield from _items([_security_change(one) for one in changes.security_changes])
        yield from more(changes.more_security_changes)
        if count := changes.security_metadata_only:
            objects = plural(count, "more security-relevant object")
            yield Paragraph((f"{objects} changed only in labels or annotations.",))
    if changes.images:
        yield Heading("Images")
        yield from _items([_image(one) for one in changes.images])
        yield from more(changes.more_images)


def counts_of_changes(changes: ChangeSummary) -> Iterator[Block]:
    """Yield the sections that count changes by kind and namespace, and name what was not inspected."""
    has_volatile = any(count.volatile for count in (*changes.kinds.values(), *changes.namespaces.values()))
    for noun, counts in (("Kind", changes.kinds), ("Namespace", changes.namespaces)):
        if counts:
            yield Heading(f"{noun}s")
            head = (noun, "New", "Modified", "Deleted", *(("Volatile",) if has_volatile else ()))
            rows = tuple(_counted(name, count, has_volatile=has_volatile) for name, count in counts.items())
            yield Table(head, rows)
    if changes.not_inspected:
        yield Heading("Not inspected")
        total = len(changes.not_inspected) + changes.more_not_inspected
        yield Paragraph((f"{plural(total, 'changed file')} not inspected for objects, images and grants.",))
        yield from _items([(Code(one.path), f": {one.reason}") for one in changes.not_inspected])
        yield from more(changes.more_not_inspected)


def _counted(name: str, count: Count, *, has_volatile: bool) -> tuple[Inline | int, ...]:
    volatile = (count.volatile,) if has_volatile else ()
    return (Code(name), count.added, count.modified, count.deleted, *volatile)


def _security_change(one: SecurityChange) -> Parts:
    tone = Tone.BAD if one.is_sensitive else Tone.WARN
    name = Code(one.object or one.path)
    change = "" if one.change == Change.MODIFIED and _details(one) else f" {one.change.word}"
    in_file = (" in ", Code(one.path)) if one.object else (" (not inspected)",)
    return (Badge(_CATEGORIES[one.category], tone), " ", name, change, *_details(one), *in_file)


def _details(one: SecurityChange) -> list[Inline]:
    words = (
        ("+ ", one.granted),
        ("- ", one.revoked),
        ("+ key ", one.keys_added),
        ("- key ", one.keys_removed),
        ("changed key ", one.keys_changed),
    )
    details: list[Inline] = []
    for word, texts in words:
        for text in texts:
            details += [f"{'; ' if details else ': '}{word}", Code(text)]
    return details


def _image(one: ImageChange) -> Parts:
    new = Code(one.after) if one.after else "none"
    images = (Code(one.before), " → ", new) if one.before else (new, " (new)")
    return (Code(one.object), ", container ", Code(one.container), ": ", *images, " in ", Code(one.path))


def _items(items: list[Parts]) -> Iterator[Block]:
    """Yield a list; a long one is folded after its first items."""
    if items:
        yield Items(tuple(items[:_SHOWN]))
    if len(items) > _SHOWN:
        yield Fold(f"{len(items) - _SHOWN:,} more", Items(tuple(items[_SHOWN:])))


def more(count: int) -> Iterator[Block]:
    """Yield the number of items that a list lacks."""
    if count > 0:
        yield Paragraph((f"… and {count:,} more.",))
