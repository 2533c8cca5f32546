"""The id that Git gives to a tree of plain files, computed from their paths and blob ids.

A tree's id is the SHA-1 of its entries, which contain the ids of its subtrees. Paths in byte order
give the entries of each directory in the order that Git requires (it sorts a directory as if its name
ended with a slash), so that only the directories above the current path are in memory.
"""

from __future__ import annotations

import hashlib

from steps.core.git_objects import Mode, tree_header

_FILE = Mode.FILE.encode()


class TreeId:
    """Computes a tree's id from its files, added by path in ascending order; ``str()`` returns the id."""

    def __init__(self) -> None:
        self._names: list[bytes] = []
        self._entries: list[bytearray] = [bytearray()]
        self._directory = b""

    def add(self, path: bytes, oid: str) -> None:
        """Add the next plain file with the id of its blob."""
        directory, _, name = path.rpartition(b"/")
        if directory != self._directory:
            self._enter(directory)
        self._entries[-1] += b"%b %b\0%b" % (_FILE, name, bytes.fromhex(oid))

    def __str__(self) -> str:
        self._enter(b"")
        return _hashed(self._entries[0]).hex()

    def _enter(self, directory: bytes) -> None:
        names = directory.split(b"/") if directory else []
        shared = 0
        while names[shared : shared + 1] == self._names[shared : shared + 1] != []:
            shared += 1
        while len(self._names) > shared:
            subtree = _hashed(self._entries.pop())
            self._entries[-1] += b"40000 %b\0%b" % (self._names.pop(), subtree)
        for name in names[shared:]:
            self._names.append(name)
            self._entries.append(bytearray())
        self._directory = directory


def _hashed(entries: bytearray) -> bytes:
    return hashlib.sha1(tree_header(len(entries)) + entries, usedforsecurity=False).digest()
