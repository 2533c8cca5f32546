"""A directory of downloaded objects, read as a Git tree: the baseline of download-only mode."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from typing import TYPE_CHECKING

from steps.core.changes import TreeRow
from steps.core.git_objects import Change, blob_header
from steps.core.git_objects import Mode as GitMode
from steps.workdir.files import ObjectDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from steps.core.changes import PlanRow


def local_tree(root: Path, *, max_bytes: int) -> Iterator[TreeRow]:
    """Yield every file below ``root`` with its blob id, by path in byte order, as ls-tree would.

    A file larger than ``max_bytes`` was not written by git-sync, and is not read.
    """
    yield from _walk(os.fsencode(root), b"", max_bytes)


def _walk(directory: bytes, prefix: bytes, max_bytes: int) -> Iterator[TreeRow]:
    with os.scandir(directory) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    for name, is_directory in sorted(entries, key=lambda entry: entry[0] + b"/" * entry[1]):
        path = os.path.join(directory, name)
        if is_directory:
            yield from _walk(path, prefix + name + b"/", max_bytes)
            continue
        known = os.lstat(path)
        if stat.S_ISREG(known.st_mode):
            yield TreeRow(prefix + name, GitMode.FILE, _blob_id(path) if known.st_size <= max_bytes else "")
        else:
            yield TreeRow(prefix + name, GitMode.LINK, "")


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
                    shutil.rmtree(target)  # empty directories: no file below it was kept
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
