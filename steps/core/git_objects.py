"""What Git calls things: modes of tree entries, kinds of changes, headers of objects.

Sources: git-fast-import(1), git-diff-tree(1) ("raw output format"), Git's object format.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

# The id of a tree without entries. Git knows it, even if no repository has it.
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


class Mode(StrEnum):
    """Mode of a tree entry, as ls-tree and fast-import write it."""

    FILE = "100644"
    LINK = "120000"
    EXECUTABLE = "100755"
    TREE = "040000"
    SUBMODULE = "160000"


_KINDS = {0o040000: Mode.TREE, 0o120000: Mode.LINK}


def canonical_mode(mode: int) -> Mode:
    """Return the mode as which Git reads an entry (cache.h: canon_mode)."""
    kind = mode & 0o170000
    if kind == 0o100000:  # noqa: PLR2004 - S_IFREG
        return Mode.EXECUTABLE if mode & 0o100 else Mode.FILE
    return _KINDS.get(kind, Mode.SUBMODULE)


class Change(StrEnum):
    """How a file differs between two trees; the letters are those of ``git diff --name-status``."""

    ADDED = "A"
    MODIFIED = "M"
    DELETED = "D"

    @property
    def word(self) -> str:
        """The user's word for it, as in the commit message."""
        return _WORDS[self]


class BlobChange(NamedTuple):
    """A changed file and its blob ids, "" if there is none."""

    path: bytes
    change: Change
    before: str
    after: str


_WORDS = {Change.ADDED: "new", Change.MODIFIED: "modified", Change.DELETED: "deleted"}


def blob_header(size: int) -> bytes:
    """Return what Git hashes before a blob's ``size`` bytes."""
    return b"blob %d\0" % size


def tree_header(size: int) -> bytes:
    """Return what Git hashes before a tree's ``size`` bytes."""
    return b"tree %d\0" % size
