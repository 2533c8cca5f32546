"""Summary of what a run changed: kinds, namespaces, images, RBAC rules.

Computed from paths, and from the content of a bounded number of files. The summary contains nothing
from the content of a Secret. All text from files is made printable and truncated, because people read it.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from steps.core.git_objects import Change
from steps.core.keys import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from steps.core.changes import PlanRow
    from steps.kubernetes.objects import Grant, Resource

# How many changed files are inspected. Bounds time and transfer.
MAX_FILES = 500

_MAX_NAMES = 20
_MAX_IMAGES = 100
_MAX_SECURITY_CHANGES = 100
_MAX_RULES = 20
_MAX_KIND_CHARACTERS = 63
_MAX_PATH_CHARACTERS = 300
_MAX_DISTINCT = 10_000
_DEPTH_WITH_KIND = 3  # parts of a directory: cluster, namespace, kind
UNKNOWN = "unknown"
OTHERS = "others"


class SecurityCategory(StrEnum):
    """Why a change is security-relevant."""

    RBAC = "rbac"
    SECRET = "secret"  # noqa: S105 - a kind of resource
    NETWORK_POLICY = "network_policy"


_CATEGORIES = {
    "secret": SecurityCategory.SECRET,
    "networkpolicy": SecurityCategory.NETWORK_POLICY,
    "role": SecurityCategory.RBAC,
    "rolebinding": SecurityCategory.RBAC,
    "clusterrole": SecurityCategory.RBAC,
    "clusterrolebinding": SecurityCategory.RBAC,
}

# Built-in kinds without containers and rules. Their paths usually say everything that the report shows.
# The content of such a file is relevant only if it contains one of these words.
_RELEVANT_WORDS = re.compile(rb"\bimage\b|Role|\bSecret\b|NetworkPolicy|\\[xuU]")
_KINDS_WITHOUT_DETAILS = frozenset(
    [
        "configmap",
        "endpoint",
        "endpointslice",
        "event",
        "horizontalpodautoscaler",
        "ingress",
        "lease",
        "limitrange",
        "namespace",
        "node",
        "persistentvolume",
        "persistentvolumeclaim",
        "poddisruptionbudget",
        "priorityclass",
        "resourcequota",
        "service",
        "serviceaccount",
        "storageclass",
    ]
)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Count(_Model):
    """Numbers of new, modified and deleted files."""

    added: int = 0
    modified: int = 0
    deleted: int = 0

    @property
    def total(self) -> int:
        """The sum."""
        return self.added + self.modified + self.deleted


class ImageChange(_Model):
    """A container whose image changed; ``before`` or ``after`` is empty if there is none."""

    path: str
    container: str
    before: str
    after: str


class SecurityChange(_Model):
    """A change to RBAC, a Secret or a NetworkPolicy; for RBAC with the grants that it adds and removes."""

    path: str
    change: Change = Field(description="A new, M modified, D deleted")
    category: SecurityCategory
    granted: tuple[str, ...] = Field(default=(), description="RBAC: grants that the change adds")
    revoked: tuple[str, ...] = Field(default=(), description="RBAC: grants that the change removes")


class ChangeSummary(_Model):
    """What one run changed. Lists are truncated; the ``more_…`` fields count the rest."""

    kinds: dict[str, Count] = Field(default={}, description="the 20 kinds with the most changes")
    namespaces: dict[str, Count] = Field(default={}, description="the same for <cluster>/<namespace>")
    images: tuple[ImageChange, ...] = ()
    more_images: int = 0
    security_changes: tuple[SecurityChange, ...] = ()
    more_security_changes: int = 0
    inspected: int = Field(default=0, description="files whose content was inspected")
    not_inspected: int = Field(default=0, description="modified files whose content was not inspected")


class BlobChange(NamedTuple):
    """One changed file and its blob ids, "" if there is none; ``path`` is ``<cluster>/<rest>``."""

    path: bytes
    change: Change
    before: str
    after: str


class FileInspection(NamedTuple):
    """What one changed file contains, truncated. ``kind`` is "" if it contains no resource."""

    kind: str
    images: tuple[ImageChange, ...] = ()
    more_images: int = 0
    granted: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()


def compare_versions(path: bytes, before: Resource | None, after: Resource | None) -> FileInspection:
    """Compare two versions of a file; a version without a resource is None."""
    from steps.kubernetes.objects import MAX_GRANTS

    versions = [one for one in (after, before) if one is not None]
    if not versions:
        return FileInspection("")
    images = list(_image_changes(path, before.images if before else {}, after.images if after else {}))
    old, new = (one.grants if one else frozenset() for one in (before, after))
    truncated = any(one.grants_truncated for one in versions)
    note = (f"and more: only {MAX_GRANTS} grants of a file are compared",) if truncated else ()
    return FileInspection(
        printable(versions[0].kind, _MAX_KIND_CHARACTERS),
        tuple(images[:_MAX_IMAGES]),
        max(0, len(images) - _MAX_IMAGES),
        _describe_grants(new - old) + note,
        _describe_grants(old - new) + note,
    )


def files_to_inspect(changes: Iterable[BlobChange]) -> list[BlobChange]:
    """Choose the files to inspect: modified files, RBAC first; other files if the path names no kind.

    A Secret is never inspected.
    """
    chosen = (change for change in changes if _needs_inspection(change))
    return heapq.nsmallest(MAX_FILES, chosen, key=_rank)


def _needs_inspection(change: BlobChange) -> bool:
    place = _place(_directory(change.path))
    is_secret = place.category is SecurityCategory.SECRET
    return not is_secret and (change.change == Change.MODIFIED or place.kind == UNKNOWN)


def _rank(change: BlobChange) -> tuple[bool, bool, bool, bytes]:
    place = _place(_directory(change.path))
    is_rbac = place.category is SecurityCategory.RBAC
    return change.change != Change.MODIFIED, not is_rbac, place.has_no_details, change.path


def is_relevant(path: bytes, content: bytes) -> bool:
    """Whether a chosen file with this new content may contain more than its path says."""
    return not _place(_directory(path)).has_no_details or _RELEVANT_WORDS.search(content) is not None


def summarize(changes: Iterable[PlanRow], inspections: Mapping[bytes, FileInspection]) -> ChangeSummary:
    """Summarize a run's changes; ``inspections`` are those of the inspected files, by path."""
    kinds = _Counts()
    namespaces = _Counts()
    images: list[ImageChange] = []
    security_changes: list[SecurityChange] = []
    more_images = more_security_changes = modified_and_not_inspected = 0
    for path, change, _, _ in changes:
        place = _place(_directory(path))
        kind, category = place.kind, place.category
        inspection = inspections.get(path)
        if inspection is not None and inspection.kind:
            kind, category = inspection.kind, category_of(inspection.kind)
        kinds.add(kind, change)
        namespaces.add(place.namespace, change)
        modified_and_not_inspected += inspection is None and change == Change.MODIFIED
        if category and len(security_changes) < _MAX_SECURITY_CHANGES:
            security_changes.append(_security_change(path, change, category, inspection))
        elif category:
            more_security_changes += 1
        if inspection is not None and change == Change.MODIFIED:
            images += inspection.images
            more_images += inspection.more_images + max(0, len(images) - _MAX_IMAGES)
            del images[_MAX_IMAGES:]
    return ChangeSummary(
        kinds=kinds.most(),
        namespaces=namespaces.most(),
        images=tuple(images),
        more_images=more_images,
        security_changes=tuple(security_changes),
        more_security_changes=more_security_changes,
        inspected=len(inspections),
        not_inspected=modified_and_not_inspected,
    )


class _Place(NamedTuple):
    """What a directory name, ``<cluster>/<namespace>/<kind>``, says about its files."""

    namespace: str
    kind: str
    category: SecurityCategory | None
    has_no_details: bool


def _directory(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


@lru_cache(maxsize=1024)  # changes are sorted by path
def _place(directory: bytes) -> _Place:
    parts = directory.decode(errors="replace").split("/")
    kind = printable(parts[-1], _MAX_KIND_CHARACTERS) if len(parts) >= _DEPTH_WITH_KIND else UNKNOWN
    namespace = printable("/".join(parts[:2]), _MAX_PATH_CHARACTERS)
    return _Place(namespace, kind, category_of(kind), not _KINDS_WITHOUT_DETAILS.isdisjoint(_spellings(kind)))


class _Counts:
    """Changes by name. Bucket writers choose the names, so their number is bounded; the rest share one."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def add(self, name: str, change: str) -> None:
        if name not in self._counts and len(self._counts) >= _MAX_DISTINCT:
            name = OTHERS
        self._counts.setdefault(name, Counter())[change] += 1

    def most(self) -> dict[str, Count]:
        """The names with the most changes."""
        ordered = heapq.nsmallest(
            _MAX_NAMES, self._counts, key=lambda name: (-self._counts[name].total(), name)
        )
        return {
            name: Count(
                added=count[Change.ADDED], modified=count[Change.MODIFIED], deleted=count[Change.DELETED]
            )
            for name, count in ((name, self._counts[name]) for name in ordered)
        }


def category_of(kind: str) -> SecurityCategory | None:
    """The category of a kind, in any spelling; None if it is not security-relevant."""
    return next((_CATEGORIES[name] for name in _spellings(kind) if name in _CATEGORIES), None)


def _spellings(kind: str) -> list[str]:
    """The possible singular names of a kind, for example of ``networkpolicies.networking.k8s.io``."""
    plain = kind.lower().partition(".")[0]
    return [plain, re.sub(r"ies$", "y", plain), plain.removesuffix("es"), plain.removesuffix("s")]


def _security_change(
    path: bytes, change: Change, category: SecurityCategory, inspection: FileInspection | None
) -> SecurityChange:
    granted, revoked = (inspection.granted, inspection.revoked) if inspection is not None else ((), ())
    return SecurityChange(
        path=_printable(path), change=change, category=category, granted=granted, revoked=revoked
    )


def _image_changes(path: bytes, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[ImageChange]:
    for container in sorted(before.keys() | after.keys()):
        old, new = before.get(container, ""), after.get(container, "")
        if old != new:
            yield ImageChange(
                path=_printable(path),
                container=printable(container),
                before=printable(old),
                after=printable(new),
            )


def _describe_grants(grants: Iterable[Grant]) -> tuple[str, ...]:
    """One line per verb or role, as in ``patch for apps/deployments, pods``."""
    scopes: dict[str, list[str]] = defaultdict(list)
    for what, scope in sorted(grants):
        scopes[what].append(scope)
    lines = [
        printable(f"{what} for {', '.join(named)}", _MAX_PATH_CHARACTERS) for what, named in scopes.items()
    ]
    more = len(lines) - _MAX_RULES
    return tuple(lines[:_MAX_RULES] + ([f"and {more} more"] if more > 0 else []))


def _printable(path: bytes) -> str:
    return printable(path.decode(errors="replace"), _MAX_PATH_CHARACTERS)
