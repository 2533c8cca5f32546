"""Row files: one line per object, streamed in and out, never whole in memory.

A file is a header line (JSON), the rows (fields separated by tabs, the path last, control characters
and "%" percent-encoded), and a footer line (JSON: the number of rows, a CRC-32 of everything before
it, and what the writer adds). It appears under its name only when it is complete.
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

from steps.contracts import Document, NoFooter
from steps.core.operations import Operation
from steps.errors import FixConfiguration
from steps.workdir.files import atomic_file, open_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

R = TypeVar("R", bound=NamedTuple)
D = TypeVar("D", bound=Document)

_UNSAFE = re.compile(rb"[\x00-\x20%\x7f]")
_SAFE = _UNSAFE.sub(b"", bytes(range(256)))
# A directory, a pipe, or a file where a directory should be above it.
_NO_FILE = {errno.EISDIR, errno.EINVAL, errno.ENOTDIR}
_HEADER_LIMIT = _FOOTER_LIMIT = 64 * 1024


class Damaged(FixConfiguration):
    """The file is not what its writer left: cut, altered, or of another version."""

    def __init__(self, error: str) -> None:
        super().__init__(Operation.SETUP_WORKDIR, "Failed to read the working directory", error)


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
    """Write a row file; ``footer`` is asked once all rows have been consumed.

    Bytes are a row that is encoded already, as it stands in another row file.
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


def read_rows(path: Path, row_type: type[R]) -> Iterator[R]:
    """Return the rows, once the whole file is known to be intact. Raises Damaged if it is not."""
    return map(decoder(row_type), read_lines(path))


def read_lines(path: Path) -> Iterator[bytes]:
    """Return the rows undecoded, likewise: where few of them matter, the others then cost little."""
    return _lines(path, _tail(path).rows)


def _lines(path: Path, count: int) -> Iterator[bytes]:
    with _opened(path) as lines:
        lines.readline()
        yield from islice(lines, count)


def join_lines(left: Path, right: Path) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Pair the undecoded rows of two files by path, ascending; None where one has no such path."""
    lefts, rights = _ascending(left), _ascending(right)
    a, b = next(lefts, None), next(rights, None)
    while a is not None and b is not None:
        # Nearly always it is the same path, and need not be decoded to know.
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


def _ascending(path: Path) -> Iterator[bytes]:
    """Return the undecoded rows; Damaged where they are out of order: files would seem to be gone."""
    last = None
    for line in read_lines(path):
        this = path_of(line)
        if last is not None and this <= last:
            raise Damaged(f"{path.name}: rows are out of order")
        last = this
        yield line


def path_of(line: bytes) -> bytes:
    """Return the path of an undecoded row."""
    return unquote_to_bytes(line[line.rfind(b"\t") + 1 : -1])


def count_rows(path: Path) -> int:
    """Return the number of rows of an intact file. Raises Damaged as above."""
    return _tail(path).rows


def read_header(path: Path, kind: type[D]) -> D:
    """Return the header document."""
    with _opened(path) as lines:
        return _document(path, lines.readline(_HEADER_LIMIT), kind)


def read_footer(path: Path, kind: type[D]) -> D:
    """Return what the writer added to the footer. Raises Damaged as above."""
    return _document(path, json.dumps(_tail(path).footer).encode(), kind)


def _tail(path: Path) -> _Tail:
    """Return the footer of a file that is intact."""
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _FOOTER_LIMIT))
        line = file.read().rstrip(b"\n").rpartition(b"\n")[2]
        tail = _document(path, line, _Tail)
        file.seek(0)
        if tail.checksum(_crc32(file, size - len(line) - 1)) != tail.crc32:
            raise Damaged(f"{path.name}: the content does not match its checksum")
    return tail


def _opened(path: Path) -> IO[bytes]:
    try:
        return open_plain(path)
    except OSError as problem:
        if problem.errno in _NO_FILE:
            raise Damaged(f"{path.name}: {(problem.strerror or '').lower()}") from problem
        raise


def _crc32(file: IO[bytes], length: int) -> int:
    crc = 0
    while length > 0 and (chunk := file.read(min(length, 1 << 20))):
        crc = zlib.crc32(chunk, crc)
        length -= len(chunk)
    return crc


def _document(path: Path, line: bytes, kind: type[D]) -> D:
    try:
        return kind.model_validate_json(line)
    except ValidationError as problem:
        raise Damaged(f"{path.name}: no valid {kind.__name__.strip('_')}") from problem


def _encode(row: NamedTuple) -> bytes:
    path, *fields = row
    line = b"%s\t%s\n" % ("\t".join(map(str, fields)).encode(), path)
    # Nearly always only the separators are left, and nothing has to be spelt out.
    if len(line.translate(None, _SAFE)) == len(row):
        return line
    return b"\t".join([*(_escape(str(field).encode()) for field in fields), _escape(path)]) + b"\n"


def _escape(field: bytes) -> bytes:
    return _UNSAFE.sub(lambda found: b"%%%02X" % found.group()[0], field)


@cache
def decoder(row_type: type[R]) -> Callable[[bytes], R]:
    """Return the function that makes a row of a line's text."""
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
            raise Damaged(f"a row: no valid {row_type.__name__}") from problem

    return decode
