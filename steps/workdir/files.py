"""File primitives: files that appear complete or not at all, and directories that no link leads out of.

WORK_DIR may be shared, full, or prepared by someone else. So nothing here writes through a link, waits
for a pipe, or replaces part of a file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from steps.contracts import Document
from steps.core.operations import Operation
from steps.errors import FixConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

D = TypeVar("D", bound=Document)

# How the name of a file begins while it is being written.
TEMPORARY_PREFIX = ".git-sync-tmp-"

# A larger document would not fit into memory. It is cut here, and so found damaged.
_MAX_DOCUMENT_BYTES = 128 * 1024 * 1024

# Directories already checked are remembered, up to this number: there may be as many as objects.
_MAX_REMEMBERED_DIRECTORIES = 10_000


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name complete, or not at all. OSErrors name ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Unlike mkstemp, this leaves the permissions to the umask.
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with naming(path), os.fdopen(os.open(temporary, flags, 0o666), "wb") as out:
            yield out
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def naming(path: Path | bytes) -> Iterator[None]:
    """Name ``path`` in OSErrors of the block that name no file, as those of write() and close()."""
    try:
        yield
    except OSError as problem:
        if problem.filename is None:
            problem.filename = path
        raise


def open_plain(path: Path | bytes) -> BinaryIO:
    """Open a regular file for reading. Raises OSError for a directory, a pipe or a device.

    Opening or reading one of these might block, or never end.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return os.fdopen(handle, "rb")


def write_document(path: Path, document: Document) -> None:
    """Write a JSON document, complete or not at all."""
    with atomic_file(path) as out:
        out.write(document.model_dump_json(indent=2).encode() + b"\n")
        out.flush()
        os.fsync(out.fileno())  # row files have a checksum instead


def read_document(path: Path, kind: type[D]) -> D:
    """Read a JSON document. Raises FileNotFoundError, or FixConfiguration if it is damaged."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size  # because read() allocates what it is asked for
        return parse_document(file.read(min(size, _MAX_DOCUMENT_BYTES)), kind, str(path))


def parse_document(content: bytes, kind: type[D], where: str) -> D:
    """Return the JSON document. Raises FixConfiguration, which names ``where``, if it is damaged."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        raise FixConfiguration(
            Operation.SETUP_WORKDIR,
            "Failed to read the working directory",
            f"{where} is damaged or of another version ({first['msg']}): restore or remove it",
            path=where,
        ) from problem


def make_real_directory(directory: Path) -> None:
    """Make sure that ``directory`` is a directory: replace a file or a link of this name."""
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        directory.unlink()
    directory.mkdir(exist_ok=True)


def remove(path: Path) -> None:
    """Remove the file or directory at ``path``, if there is one. Removes a link, never its target."""
    if path.is_dir() and not path.is_symlink():
        _remove_directory(path)
    else:
        path.unlink(missing_ok=True)


_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _remove_directory(top: Path) -> None:
    """Remove a directory of any depth with two descriptors, in constant stack.

    shutil.rmtree recurses (until Python 3.12.4, gh-89727), and needs a descriptor for each level. This moves
    directories up to ``top`` instead until none is left. It opens every directory without following a link.
    """
    handle = os.open(top, _DIRECTORY)
    try:
        while directories := _unlink_files(handle):
            for name in directories:
                _empty(name, handle)
                os.rmdir(name, dir_fd=handle)
    finally:
        os.close(handle)
    os.rmdir(top)


def _empty(name: str, top: int) -> None:
    """Empty the directory ``name`` in ``top``: remove its files, and move its directories to ``top``."""
    handle = os.open(name, _DIRECTORY, dir_fd=top)
    try:
        for inner in _unlink_files(handle):
            try:
                os.rmdir(inner, dir_fd=handle)
            except OSError:  # not empty
                os.rename(inner, secrets.token_hex(8), src_dir_fd=handle, dst_dir_fd=top)
    finally:
        os.close(handle)


def _unlink_files(directory: int) -> list[str]:
    """Remove everything in an open directory except directories; return their names."""
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if not is_directory:
            os.unlink(name, dir_fd=directory)
    return [name for name, is_directory in found if is_directory]


class ObjectDirectory:
    """A directory tree of objects at their own paths. No link in it leads out of it.

    A file in the place of a directory is replaced: the last writer decides.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)
        self._checked: set[bytes] = set()

    def place(self, path: bytes) -> bytes:
        """Make the directories above ``path`` and return where to write its bytes."""
        target = os.path.join(self._root, path)
        self._make(os.path.dirname(target))
        return target

    def _make(self, directory: bytes) -> None:
        if directory in self._checked:
            return
        if len(directory) > len(self._root):
            self._make(os.path.dirname(directory))
            try:
                os.mkdir(directory)
            except FileExistsError:
                if os.path.islink(directory) or not os.path.isdir(directory):
                    os.unlink(directory)
                    os.mkdir(directory)
        else:
            os.makedirs(directory, exist_ok=True)
        if len(self._checked) >= _MAX_REMEMBERED_DIRECTORIES:
            self._checked.clear()
        self._checked.add(directory)
