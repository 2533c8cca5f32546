"""Trees of the scratch repository, each read as one object, in one process of git.

Everybody who may push chooses them: a few hundred bytes of shared subtrees have millions of paths, and names
may have any length. So a tree is measured, each distinct subtree once, before its paths are read.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple

from steps.core.changes import TreeRow
from steps.core.git_objects import EMPTY_TREE, Mode, canonical_mode
from steps.core.keys import MAX_PATH_BYTES, printable_path
from steps.core.limits import GIT_LEVELS, GIT_PATH_BYTES, TREE_BYTES
from steps.core.operations import Operation
from steps.errors import SyncError, TryAgain

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from steps.clients.git.process import Git

_ENTRY = re.compile(rb"([0-7]{1,6}) ([^\0]*)\0(.{20})", re.DOTALL)
_CHUNK_BYTES = 1 << 20

_DAMAGED = "is damaged"
_TOO_LARGE = f"has a directory of more than {TREE_BYTES:,} bytes"
_TOO_LONG = f"has a path of more than {GIT_PATH_BYTES:,} bytes or {GIT_LEVELS} levels"


class DamagedTree(Exception):
    """A tree that no Git client writes, or that is over a limit: ``reason`` says why, ``path`` where."""

    def __init__(self, reason: str, path: bytes = b"") -> None:
        super().__init__(f"{reason} at {printable_path(path)}" if path else reason)
        self.reason = reason
        self.path = path[:GIT_PATH_BYTES]


class Size(NamedTuple):
    """What is below a tree: files, directories, the bytes of all paths, and the longest and deepest path."""

    files: int = 0
    directories: int = 0
    path_bytes: int = 0
    longest: int = 0
    levels: int = 0

    @property
    def objects(self) -> int:
        """The size as MAX_OBJECTS counts it, with the tree itself. No key has more than MAX_PATH_BYTES."""
        return max(self.files + self.directories + 1, self.path_bytes // MAX_PATH_BYTES)


class _Closed(Exception):
    """Ends the process of git, which waits for the next request."""


class Trees:
    """Reads trees, and remembers their sizes. ``close`` ends the process of git."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._running: AbstractContextManager[subprocess.Popen[bytes]] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._sizes: dict[str, Size | DamagedTree] = {}

    def close(self) -> None:
        """End the process of git."""
        running, self._running, self._process = self._running, None, None
        if running is not None:
            with contextlib.suppress(_Closed):
                running.__exit__(_Closed, _Closed(), None)

    def directory(self, commit: str, path: str) -> str:
        """Return the id of the tree at ``path`` ("a/b/") of a commit; that of an empty tree if there is none.

        Raises NotADirectoryError if a file, link or submodule is there or above, and DamagedTree.
        """
        tree = f"{commit}^{{tree}}"
        for name in path.encode().split(b"/")[:-1]:
            found = None
            for entry in self.entries(tree):  # all, because git-sync rewrites this tree
                found = entry if entry.path == name else found
            if found is None:
                return EMPTY_TREE
            if found.mode != Mode.TREE:
                raise NotADirectoryError
            tree = found.oid
        return tree

    def entries(self, tree: str) -> Iterator[TreeRow]:
        """Yield the entries of a tree, subdirectories included; paths are names. Raises DamagedTree.

        ``tree`` is an id, or another name of the tree that git understands.
        """
        raw = self._read(tree)
        end, last = 0, b""
        prefixes: list[bytes] = []  # earlier names of files with which the last name begins
        for match in _ENTRY.finditer(raw):
            if match.start() != end:
                break
            end = match.end()
            name, mode = match[2], canonical_mode(int(match[1], 8))
            # Git sorts a directory as if its name ended with a slash.
            order = name + b"/" if mode == Mode.TREE else name
            while prefixes and not name.startswith(prefixes[-1]):
                prefixes.pop()
            if order <= last or name in prefixes[-1:] or not _is_possible(name):
                raise DamagedTree(_DAMAGED, name)
            if mode != Mode.TREE:
                prefixes.append(name)
            last = order
            yield TreeRow(name, mode, match[3].hex())
        if end != len(raw):
            raise DamagedTree(_DAMAGED)

    def size(self, tree: str) -> Size:
        """Return the size of a tree, with all trees below. Raises DamagedTree."""
        waiting = [tree]
        while waiting:
            missing = self._add_size(waiting[-1])
            if missing:
                waiting += missing
            else:
                waiting.pop()
        found = self._sizes[tree]
        if isinstance(found, DamagedTree):
            raise DamagedTree(found.reason, found.path)
        return found

    def rows(self, tree: str, prefix: bytes) -> Iterator[TreeRow]:
        """Yield all files (links, submodules) of a tree in byte order; their paths begin with ``prefix``."""
        above: list[tuple[bytes, Iterator[TreeRow]]] = [(prefix, self.entries(tree))]
        while above:
            directory, entries = above[-1]
            for name, mode, oid in entries:
                path = directory + name
                if mode == Mode.TREE:
                    above.append((path + b"/", self.entries(oid)))
                    break
                yield TreeRow(path, mode, oid)
            else:
                above.pop()

    def _add_size(self, tree: str) -> set[str]:
        """Add the size of a tree, or return the subtrees whose sizes are not yet known."""
        if tree in self._sizes:
            return set()
        files = directories = path_bytes = longest = levels = 0
        missing = set[str]()
        try:
            for name, mode, oid in self.entries(tree):
                below = self._sizes.get(oid) if mode == Mode.TREE else _FILE
                if below is None:
                    missing.add(oid)
                elif isinstance(below, DamagedTree):
                    raise DamagedTree(below.reason, name + b"/" + below.path)
                else:
                    is_tree = mode == Mode.TREE
                    length = len(name) + is_tree
                    files += below.files
                    directories += below.directories + is_tree
                    path_bytes += below.path_bytes + length * below.files
                    longest = max(longest, length + below.longest)
                    levels = max(levels, 1 + below.levels)
            if missing:
                return missing
            if longest > GIT_PATH_BYTES or levels > GIT_LEVELS:
                raise DamagedTree(_TOO_LONG)
            self._sizes[tree] = Size(files, directories, path_bytes, longest, levels)
        except DamagedTree as problem:
            self._sizes[tree] = problem
        return set()

    def _read(self, tree: str) -> bytes:
        """Return the content of a tree. Raises DamagedTree if it is missing, no tree, or too large."""
        process = self._started()
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101 - both are pipes
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{tree}\n".encode())
            process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise self._failure()
        if line.endswith(b" missing\n"):
            raise DamagedTree(_DAMAGED)
        _, kind, size = line.split()
        left = int(size) + 1
        if kind == b"tree" and left <= TREE_BYTES:
            return process.stdout.read(left)[:-1]
        while left and (chunk := process.stdout.read(min(left, _CHUNK_BYTES))):
            left -= len(chunk)
        raise DamagedTree(_TOO_LARGE if kind == b"tree" else _DAMAGED)

    def _failure(self) -> SyncError:
        """Return why git has ended."""
        running, self._running, self._process = self._running, None, None
        try:
            if running is not None:
                running.__exit__(None, None, None)
        except SyncError as problem:
            return problem
        return TryAgain(Operation.GIT_COMMIT, "Failed to read the repository", "git cat-file has ended")

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._running = self._git.stream("cat-file", "--batch", stdin=True)
            self._process = self._running.__enter__()
        return self._process


_FILE = Size(files=1)


def _is_possible(name: bytes) -> bool:
    return name not in {b"", b".", b".."} and b"/" not in name and name.lower() != b".git"
