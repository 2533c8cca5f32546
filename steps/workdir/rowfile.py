"""Row files: one line per object, read and written as streams, never entirely in memory.

A file is a header line (JSON), the rows (fields separated by tabs, the path last, control characters
and "%" percent-encoded), and a footer line (JSON: the number of rows, a CRC-32 of everything before
it, and the writer's data). A file gets its name only when it is complete.

Baselines, listings and manifests are compared without decoding most of their rows. This module is the
only one that knows how their lines are built:

    baseline   mode    oid  size  etag  path
    listing    reason       size  etag  path
    manifest   state   oid  size  etag  path
"""

from __future__ import annotations

import errno
import json
import os
import re
import zlib
from functools import cache
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar, get_type_hints
from urllib.parse import unquote_to_bytes

from pydantic import NonNegativeInt, ValidationError

from steps.contracts import Document
from steps.core.changes import EXCLUDED_SECRET, FETCHED, OMITTED, REWRITTEN, UNCHANGED
from steps.core.git_objects import Mode as GitMode
from steps.core.keys import Reason
from steps.core.operations import Operation
from steps.errors import FixConfiguration
from steps.workdir.files import atomic_file, open_plain
from steps.workdir.rows import NoFooter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

R = TypeVar("R", bound=NamedTuple)
D = TypeVar("D", bound=Document)

_UNSAFE = re.compile(rb"[\x00-\x20%\x7f]")
_SAFE = _UNSAFE.sub(b"", bytes(range(256)))
# The path is a directory or a pipe, or a parent of it is a file.
_NO_FILE = {errno.EISDIR, errno.EINVAL, errno.ENOTDIR}
_HEADER_LIMIT = _FOOTER_LIMIT = 64 * 1024
# Longer than any line: a path of Git has at most 4,096 bytes, and an ETag at most a response's headers.
_CHUNK = 1 << 20


class Damaged(FixConfiguration):
    """The file is not as its writer wrote it: it is cut, altered, or of another version."""

    def __init__(self, error: str, path: Path | None = None) -> None:
        data = {} if path is None else {"path": str(path)}
        super().__init__(Operation.SETUP_WORKDIR, "Failed to read the working directory", error, **data)


class _Tail(Document):
    rows: NonNegativeInt
    crc32: int
    footer: dict[str, Any]

    def checksum(self, crc: int) -> int:
        """Continue the CRC of what comes before over the rest of the footer."""
        return zlib.crc32(json.dumps([self.rows, self.footer], sort_keys=True).encode(), crc)


def write_rows(
    path: Path,
    header: Document,
    rows: Iterable[NamedTuple | bytes],
    footer: Callable[[], Document] = NoFooter,
) -> None:
    """Write a row file; ``footer`` is called after the last row.

    A row of bytes is a line of another row file, and is written unchanged.
    """
    with atomic_file(path) as out:
        count = 0
        line = header.model_dump_json().encode() + b"\n"
        out.write(line)
        crc = zlib.crc32(line)
        for row in rows:
            line = row if isinstance(row, bytes) else _encode(row)
            out.write(line)
            crc = zlib.crc32(line, crc)
            count += 1
        tail = _Tail(rows=count, crc32=0, footer=footer().model_dump(mode="json"))
        tail = tail.model_copy(update={"crc32": tail.checksum(crc)})
        out.write(tail.model_dump_json().encode() + b"\n")


class RowFile:
    """A complete row file. Its checksum is verified once, here; each pass over the rows opens it again.

    A step may have a thousand row files, so none stays open between passes. A pass raises Damaged if the
    file was replaced or changed since it was verified. Raises FileNotFoundError and Damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _opened(path) as file:
            self._version = _version(file)
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _FOOTER_LIMIT))
            line = file.read().rstrip(b"\n").rpartition(b"\n")[2]
            self._tail = _document(path, line, _Tail)
            file.seek(0)
            if self._tail.checksum(_crc32(file, size - len(line) - 1, self._tail.rows)) != self._tail.crc32:
                raise Damaged(f"{path.name}: the content does not match its checksum", path)
            file.seek(0)
            self._header = file.readline(_HEADER_LIMIT)

    def __len__(self) -> int:
        """The number of rows."""
        return self._tail.rows

    def header(self, kind: type[D]) -> D:
        """Return the header. Raises Damaged if it is not of this kind."""
        return _document(self._path, self._header, kind)

    def footer(self, kind: type[D]) -> D:
        """Return the writer's data in the footer. Raises Damaged if it is not of this kind."""
        return _document(self._path, json.dumps(self._tail.footer).encode(), kind)

    def rows(self, row_type: type[R]) -> Iterator[R]:
        """Return the rows, decoded."""
        return map(decoder(row_type), self.lines())

    def lines(self) -> Iterator[bytes]:
        """Yield the rows as lines: cheaper where only a few of them have to be decoded."""
        with _opened(self._path) as lines:
            if _version(lines) != self._version:
                raise Damaged(f"{self._path.name}: the file has changed since it was verified", self._path)
            lines.readline()
            yield from islice(lines, len(self))

    def ascending_lines(self) -> Iterator[bytes]:
        """Yield the lines. Raises Damaged if they are out of order: a join would miss files."""
        last = None
        for line in self.lines():
            this = path_of(line)
            if last is not None and this <= last:
                raise Damaged(f"{self._path.name}: rows are out of order", self._path)
            last = this
            yield line


def read_rows(path: Path, row_type: type[R]) -> Iterator[R]:
    """Return the rows of a file that is read once. Raises FileNotFoundError and Damaged."""
    return RowFile(path).rows(row_type)


def join_lines(left: RowFile, right: RowFile) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Pair the lines of two files by path, ascending; None where one file lacks the path."""
    lefts, rights = left.ascending_lines(), right.ascending_lines()
    a, b = next(lefts, None), next(rights, None)
    while a is not None and b is not None:
        # Nearly always the paths are equal, and comparing them needs no decoding.
        order = 0 if a[a.rfind(b"\t") :] == b[b.rfind(b"\t") :] else -1 if path_of(a) < path_of(b) else 1
        yield a if order <= 0 else None, b if order >= 0 else None
        if order <= 0:
            a = next(lefts, None)
        if order >= 0:
            b = next(rights, None)
    while a is not None:
        yield a, None
        a = next(lefts, None)
    while b is not None:
        yield None, b
        b = next(rights, None)


def path_of(line: bytes) -> bytes:
    """Return the path of a line."""
    return unquote_to_bytes(line[line.rfind(b"\t") + 1 : -1])


_PLAIN_FILE = f"{GitMode.FILE}\t".encode()
_UNCHANGED = f"{UNCHANGED}\t".encode()
_ACCEPTED = (_UNCHANGED, f"{FETCHED}\t".encode(), REWRITTEN.encode())
_OMITTED = f"{OMITTED}\t".encode()
_EXCLUDED_SECRET = f"{EXCLUDED_SECRET}\t".encode()
_UNREADABLE = f"{Reason.SECRET_UNREADABLE.value}\t".encode()


def is_same_object(baseline: bytes, listed: bytes) -> bool:
    """Whether Git has the content of a listed object that is not quarantined: same size, same ETag.

    Without an ETag the answer is no.
    """
    known = baseline.split(b"\t", 2)[2]
    return baseline.startswith(_PLAIN_FILE) and listed == b"\t" + known and b"\t\t" not in known


def blob_id(baseline: bytes) -> str:
    """Return the blob id in a line of a baseline."""
    return baseline.split(b"\t", 2)[1].decode()


def written_blob(baseline: bytes) -> str:
    """Return the blob id in a line of a baseline if this policy has written the blob; otherwise ""."""
    mode, oid, size, _ = baseline.split(b"\t", 3)
    return oid.decode() if mode + b"\t" == _PLAIN_FILE and size != b"-1" else ""


def unchanged_line(baseline: bytes) -> bytes:
    """Return the manifest's line of an unchanged object, given its line in the baseline."""
    return _UNCHANGED + baseline[len(_PLAIN_FILE) :]


def is_unchanged_line(manifest: bytes) -> bool:
    """Whether a manifest's line is that of an unchanged object."""
    return manifest.startswith(_UNCHANGED)


def accepted_lines(manifest: RowFile, *, refused: bool = False) -> Iterator[bytes]:
    """Yield a manifest's accepted objects as lines of a baseline, and the files that Git keeps.

    Git keeps a file that the same policy has written if its object becomes unreadable; if the guard has
    ``refused`` the deletions, also if the rules omit it. Such a line has no ETag, so it matches no object.
    """
    kept = (_UNREADABLE, _OMITTED) if refused else (_UNREADABLE,)
    for line in manifest.lines():
        if line.startswith(_ACCEPTED):
            yield _PLAIN_FILE + line[line.index(b"\t") + 1 :]
        elif line.startswith(kept) and (oid := line.split(b"\t", 2)[1]):
            yield _PLAIN_FILE + oid + b"\t0\t" + line[line.rindex(b"\t") :]


def omitted_lines(manifest: RowFile) -> Iterator[bytes]:
    """Yield a manifest's omitted objects as lines of a listing."""
    for line in manifest.lines():
        if line.startswith((_OMITTED, _EXCLUDED_SECRET)):
            yield b"\t" + line.split(b"\t", 2)[2]


def _opened(path: Path) -> IO[bytes]:
    try:
        return open_plain(path)
    except OSError as problem:
        if problem.errno in _NO_FILE:
            raise Damaged(f"{path.name}: {(problem.strerror or '').lower()}", path) from problem
        raise


def _version(file: IO[bytes]) -> tuple[int, ...]:
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _crc32(file: IO[bytes], length: int, rows: int) -> int:
    """Return the CRC of the next bytes; stop early where they cannot be so many rows and a header.

    A sparse file of 20 GiB would take minutes to read to its end.
    """
    crc = lines = 0
    while length > 0 and (chunk := file.read(min(length, _CHUNK))):
        found = chunk.count(b"\n")
        lines += found
        if not found or lines > rows + 1:
            break
        crc = zlib.crc32(chunk, crc)
        length -= len(chunk)
    return crc


def _document(path: Path, line: bytes, kind: type[D]) -> D:
    try:
        return kind.model_validate_json(line)
    except ValidationError as problem:
        raise Damaged(f"{path.name}: invalid {kind.__name__.strip('_')}", path) from problem


def _encode(row: NamedTuple) -> bytes:
    path, *fields = row
    line = b"%s\t%s\n" % ("\t".join(map(str, fields)).encode(), path)
    # Nearly always only the separators remain, and nothing has to be escaped.
    if len(line.translate(None, _SAFE)) == len(row):
        return line
    return b"\t".join([*(_escape(str(field).encode()) for field in fields), _escape(path)]) + b"\n"


def _escape(field: bytes) -> bytes:
    return _UNSAFE.sub(lambda found: b"%%%02X" % found.group()[0], field)


@cache
def decoder(row_type: type[R]) -> Callable[[bytes], R]:
    """Return a function that decodes a line to a row. It raises Damaged."""
    hints = get_type_hints(row_type)
    types = [hints[name] for name in row_type._fields[1:]]
    converted = [(at, kind) for at, kind in enumerate(types) if kind is not str]

    def decode(line: bytes) -> R:
        try:
            head, _, path = line[:-1].rpartition(b"\t")
            fields: list[Any] = head.decode().split("\t")
            if b"%" in line:
                path = unquote_to_bytes(path)
                fields = [unquote_to_bytes(field).decode() for field in fields]
            for at, kind in converted:
                fields[at] = kind(fields[at])
            return row_type._make([path, *fields])
        except (ValueError, TypeError, IndexError) as problem:
            raise Damaged(f"invalid {row_type.__name__}") from problem

    return decode
