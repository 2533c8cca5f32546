"""What a run changed, in words that an operator thinks in: kinds, namespaces, images, rules.

Computed from paths, and for a bounded number of files from their content. Of a Secret's content
nothing is told, and whatever comes out of files is escaped and cut, for it is shown to people.
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

# How many changed files are looked into: what bounds the time and the transfer.
MOST_FILES = 500

_MOST_NAMES = 20
_MOST_IMAGES = 100
_MOST_MARKED = 100
_MOST_RULES = 20
_KIND_CHARACTERS = 63
_PATH_CHARACTERS = 300
_MOST_DISTINCT = 10_000
_DEPTH_WITH_KIND = 3  # parts of a directory: cluster, namespace, kind
UNKNOWN = "unknown"
OTHERS = "others"


class Mark(StrEnum):
    """Why a change deserves a second look."""

    RBAC = "rbac"
    SECRET = "secret"  # noqa: S105 - a kind of resource
    NETWORK_POLICY = "network_policy"


_MARKS = {
    "secret": Mark.SECRET,
    "networkpolicy": Mark.NETWORK_POLICY,
    "role": Mark.RBAC,
    "rolebinding": Mark.RBAC,
    "clusterrole": Mark.RBAC,
    "clusterrolebinding": Mark.RBAC,
}

# Kubernetes' own kinds without containers and rules: mostly all that a report says of them stands in their
# paths, and in a file that claims to be one a word like these is worth a second look.
_TELLING = re.compile(rb"\bimage\b|Role|\bSecret\b|NetworkPolicy|\\[xuU]")
_BARE = frozenset(
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
    """Files that are new, modified and deleted."""

    added: int = 0
    modified: int = 0
    deleted: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.added + self.modified + self.deleted


class ImageChange(_Model):
    """A container with another image; empty before or after where there was or is none."""

    path: str
    container: str
    before: str
    after: str


class MarkedChange(_Model):
    """A change of RBAC, a Secret or a NetworkPolicy; of RBAC with what is granted more and less."""

    path: str
    change: Change = Field(description="A new, M modified, D deleted")
    mark: Mark
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class ChangeSummary(_Model):
    """The digest of one run. Lists are cut; the ``more`` fields say by how much."""

    kinds: dict[str, Count] = Field(default={}, description="the 20 with the most changes")
    namespaces: dict[str, Count] = Field(default={}, description="the same, as <cluster>/<namespace>")
    images: tuple[ImageChange, ...] = ()
    more_images: int = 0
    marked: tuple[MarkedChange, ...] = ()
    more_marked: int = 0
    inspected: int = Field(default=0, description="files whose content was looked into")
    not_inspected: int = Field(default=0, description="modified files whose content was not")


class BlobChange(NamedTuple):
    """One changed file with its blobs' ids, "" for none; ``path`` is ``<cluster>/<rest>``."""

    path: bytes
    change: Change
    before: str
    after: str


class FileInspection(NamedTuple):
    """What was found in one changed file, cut: many of these are kept. ``kind`` is "" for no resource."""

    kind: str
    images: tuple[ImageChange, ...] = ()
    more_images: int = 0
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def compared(path: bytes, before: Resource | None, after: Resource | None) -> FileInspection:
    """Return what has changed between two versions of a file; None where there is no resource."""
    from steps.kubernetes.objects import MOST_GRANTS

    versions = [one for one in (after, before) if one is not None]
    if not versions:
        return FileInspection("")
    images = list(_image_changes(path, before.images if before else {}, after.images if after else {}))
    old, new = (one.grants if one else frozenset() for one in (before, after))
    rest = (f"and more: only {MOST_GRANTS} grants of a file are compared",)
    note = rest if any(one.grants_more for one in versions) else ()
    return FileInspection(
        printable(versions[0].kind, _KIND_CHARACTERS),
        tuple(images[:_MOST_IMAGES]),
        max(0, len(images) - _MOST_IMAGES),
        _logged(new - old) + note,
        _logged(old - new) + note,
    )


def files_to_inspect(changes: Iterable[BlobChange]) -> list[BlobChange]:
    """Choose the files to look into: modified ones, RBAC first; others where the path names no kind.

    A Secret is none of them.
    """
    worth = (change for change in changes if _is_worth_a_look(change))
    return heapq.nsmallest(MOST_FILES, worth, key=_rank)


def _is_worth_a_look(change: BlobChange) -> bool:
    place = _place(_directory(change.path))
    return place.mark is not Mark.SECRET and (change.change == Change.MODIFIED or place.kind == UNKNOWN)


def _rank(change: BlobChange) -> tuple[bool, bool, bool, bytes]:
    place = _place(_directory(change.path))
    return change.change != Change.MODIFIED, place.mark is not Mark.RBAC, place.is_bare, change.path


def is_relevant(path: bytes, content: bytes) -> bool:
    """Whether a chosen file, of which this is the new content, may tell more than its path does."""
    return not _place(_directory(path)).is_bare or _TELLING.search(content) is not None


def digest(changes: Iterable[PlanRow], looked: Mapping[bytes, FileInspection]) -> ChangeSummary:
    """Sum up a run's changes, with what was found in those files that were looked into."""
    kinds = _Counts()
    namespaces = _Counts()
    images: list[ImageChange] = []
    marked: list[MarkedChange] = []
    more_images = more_marked = modified_and_not_inspected = 0
    for path, change, _, _ in changes:
        place = _place(_directory(path))
        kind, mark = place.kind, place.mark
        found = looked.get(path)
        if found is not None and found.kind:
            kind, mark = found.kind, mark_of(found.kind)
        kinds.add(kind, change)
        namespaces.add(place.namespace, change)
        modified_and_not_inspected += found is None and change == Change.MODIFIED
        if mark and len(marked) < _MOST_MARKED:
            marked.append(_marked(path, change, mark, found))
        elif mark:
            more_marked += 1
        if found is not None and change == Change.MODIFIED:
            images += found.images
            more_images += found.more_images + max(0, len(images) - _MOST_IMAGES)
            del images[_MOST_IMAGES:]
    return ChangeSummary(
        kinds=kinds.most(),
        namespaces=namespaces.most(),
        images=tuple(images),
        more_images=more_images,
        marked=tuple(marked),
        more_marked=more_marked,
        inspected=len(looked),
        not_inspected=modified_and_not_inspected,
    )


class _Place(NamedTuple):
    """What a directory, ``<cluster>/<namespace>/<kind>``, says of the files in it."""

    namespace: str
    kind: str
    mark: Mark | None
    is_bare: bool


def _directory(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


@lru_cache(maxsize=1024)  # the files of a directory come one after another
def _place(directory: bytes) -> _Place:
    parts = directory.decode(errors="replace").split("/")
    kind = printable(parts[-1], _KIND_CHARACTERS) if len(parts) >= _DEPTH_WITH_KIND else UNKNOWN
    namespace = printable("/".join(parts[:2]), _PATH_CHARACTERS)
    return _Place(namespace, kind, mark_of(kind), not _BARE.isdisjoint(_spellings(kind)))


class _Counts:
    """Changes by name. Beyond many names, which somebody may have made up, the rest share one."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def add(self, name: str, change: str) -> None:
        if name not in self._counts and len(self._counts) >= _MOST_DISTINCT:
            name = OTHERS
        self._counts.setdefault(name, Counter())[change] += 1

    def most(self) -> dict[str, Count]:
        """The names with the most changes."""
        ordered = heapq.nsmallest(
            _MOST_NAMES, self._counts, key=lambda name: (-self._counts[name].total(), name)
        )
        return {
            name: Count(
                added=count[Change.ADDED], modified=count[Change.MODIFIED], deleted=count[Change.DELETED]
            )
            for name, count in ((name, self._counts[name]) for name in ordered)
        }


def mark_of(kind: str) -> Mark | None:
    """The mark of a kind, however it is spelt."""
    return next((_MARKS[name] for name in _spellings(kind) if name in _MARKS), None)


def _spellings(kind: str) -> list[str]:
    """The names that a kind may have in the singular, as of ``networkpolicies.networking.k8s.io``."""
    plain = kind.lower().partition(".")[0]
    return [plain, re.sub(r"ies$", "y", plain), plain.removesuffix("es"), plain.removesuffix("s")]


def _marked(path: bytes, change: Change, mark: Mark, found: FileInspection | None) -> MarkedChange:
    gained, lost = (found.gained, found.lost) if found is not None else ((), ())
    return MarkedChange(path=_shown(path), change=change, mark=mark, gained=gained, lost=lost)


def _image_changes(path: bytes, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[ImageChange]:
    for container in sorted(before.keys() | after.keys()):
        old, new = before.get(container, ""), after.get(container, "")
        if old != new:
            yield ImageChange(
                path=_shown(path), container=printable(container), before=printable(old), after=printable(new)
            )


def _logged(grants: Iterable[Grant]) -> tuple[str, ...]:
    """One line for each thing granted, as in ``patch for apps/deployments, pods``."""
    scopes: dict[str, list[str]] = defaultdict(list)
    for what, scope in sorted(grants):
        scopes[what].append(scope)
    lines = [printable(f"{what} for {', '.join(named)}", _PATH_CHARACTERS) for what, named in scopes.items()]
    more = len(lines) - _MOST_RULES
    return tuple(lines[:_MOST_RULES] + ([f"and {more} more"] if more > 0 else []))


def _shown(path: bytes) -> str:
    return printable(path.decode(errors="replace"), _PATH_CHARACTERS)
