"""Namespaces that the bucket no longer contains although their cluster is there.

A namespace is the directory ``<cluster>/<namespace>/``. All functions read ascending paths once, in
constant memory: the paths of a namespace follow each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from steps.core.sorted_join import Lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# A namespace with fewer files may lose them in everyday work.
FEWEST_FILES = 5


class NamespaceVanished(StrEnum):
    """What to do with a namespace that the bucket no longer contains (NAMESPACE_VANISHED)."""

    REPORT = "report"
    REFUSE = "refuse"
    KEEP = "keep"


@dataclass(frozen=True)
class VanishedNamespace:
    """A vanished namespace in the result of a run; ``name`` is printable.

    ``files`` is the number of its files in Git before the run, which ``deleted`` them or not.
    """

    name: str
    files: int
    deleted: bool

    @property
    def fate(self) -> str:
        """What the run did with the files, in a word."""
        return "deleted" if self.deleted else "kept"


class Vanished(NamedTuple):
    """A namespace without any object; ``prefix`` is its path with a slash at the end."""

    prefix: bytes
    files: int

    @property
    def name(self) -> bytes:
        return self.prefix.split(b"/")[1]


def vanished_namespaces(paths: Iterable[tuple[bytes, bool]]) -> Iterator[Vanished]:
    """Yield the vanished namespaces of a cluster; the paths are all of Git and of the listing.

    Each comes with whether the run would delete it. If any other path is in a namespace, it has not vanished.
    """
    for prefix, group in groupby(paths, key=lambda path: namespace_of(path[0])):
        files = 0
        if prefix:
            for _, is_missing in group:
                if not is_missing:
                    break
                files += 1
            else:
                if files >= FEWEST_FILES:
                    yield Vanished(prefix, files)


def namespace_of(path: bytes) -> bytes:
    """Return ``<cluster>/<namespace>/``, or nothing for a path in no namespace."""
    parts = path.split(b"/", 2)
    return b"/".join((*parts[:2], b"")) if len(parts) > 2 else b""  # noqa: PLR2004 - cluster, namespace, rest


def keeps_namespaces(vanished: Iterator[Vanished]) -> Callable[[bytes], bool]:
    """Return a predicate for ascending paths: whether the path is in one of the vanished namespaces."""
    lookup = Lookup(vanished, lambda lost: lost.prefix)
    return lambda path: lookup.find(namespace_of(path)) is not None
