"""A directory of downloaded objects, read as a Git tree: the baseline of download-only mode."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from steps.core.changes import TreeRow
from steps.core.git_objects import Change, blob_header
from steps.core.git_objects import Mode as GitMode
from steps.workdir.files import ObjectDirectory, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from steps.core.changes import PlanRow


def local_tree(root: Path, *, max_bytes: int) -> Iterator[TreeRow]:
    """Yield every file below ``root`` with its blob id, by path in byte order, as ls-tree would.

    A file larger than ``max_bytes`` was not written by git-sync, and is not read.
    """
    top = os.fsencode(root)
    waiting = _entries(top, b"")  # in reverse order. A recursion would end at about 1,000 levels.
    while waiting:
        name = waiting.pop()
        path = os.path.join(top, name)
        if name.endswith(b"/"):
            waiting += _entries(top, name)
            continue
        known = os.lstat(path)
        if stat.S_ISREG(known.st_mode):
            yield TreeRow(name, GitMode.FILE, _blob_id(path) if known.st_size <= max_bytes else "")
        else:
            yield TreeRow(name, GitMode.LINK, "")


def _entries(top: bytes, directory: bytes) -> list[bytes]:
    """Return the paths of a directory's entries below ``top``, in reverse order; "/" ends a directory."""
    with os.scandir(os.path.join(top, directory)) as found:
        names = (entry.name + b"/" * entry.is_dir(follow_symlinks=False) for entry in found)
        return sorted((directory + name for name in names), reverse=True)


def _blob_id(path: bytes) -> str:
    """Hash a file as Git does: a header with its size, and the content."""
    with open(path, "rb") as file:
        digest = hashlib.sha1(blob_header(os.fstat(file.fileno()).st_size), usedforsecurity=False)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def apply_locally(root: Path, staging: Path, changes: Callable[[], Iterable[PlanRow]]) -> None:
    """Apply ``changes`` to the directory: the deletions, then a rename of every staged file.

    If it is killed and repeated, the result is the same.
    """
    below = os.fsencode(root)
    for change in changes():
        if change.change == Change.DELETED:
            _unlink(below, change.path)
    directory = ObjectDirectory(root)
    for change in changes():
        if change.change != Change.DELETED:
            target = directory.place(change.path)
            staged = os.path.join(os.fsencode(staging), change.path)
            if os.path.lexists(staged):
                if os.path.isdir(target) and not os.path.islink(target):
                    remove(Path(os.fsdecode(target)))  # empty directories: no file below it was kept
                os.replace(staged, target)
            elif not os.path.lexists(target):  # an earlier attempt may have moved it
                raise FileNotFoundError(errno.ENOENT, "a downloaded object is missing", os.fsdecode(staged))


def _unlink(root: bytes, path: bytes) -> None:
    """Remove a file, and its directories that are empty then."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
        os.unlink(os.path.join(root, path))
    parent = os.path.dirname(path)
    with contextlib.suppress(OSError):
        while parent:
            os.rmdir(os.path.join(root, parent))
            parent = os.path.dirname(parent)
