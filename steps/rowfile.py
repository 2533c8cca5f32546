"""Row files: one line per object, streamed in and out, never whole in memory.

A file is a header line (JSON), the rows (fields separated by tabs, the path last, control characters
and "%" percent-encoded), and a footer line (JSON: the number of rows, a CRC-32 of everything before
it, and what the writer adds). It appears under its name only when it is complete.
"""

from __future__ import annotations

import json
import re
import zlib
from functools import cache
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar, get_type_hints
from urllib.parse import unquote_to_bytes

from pydantic import ValidationError

from steps.contracts import Document, NoFooter
from steps.errors import FixConfiguration
from steps.volume import atomic_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

R = TypeVar("R", bound=NamedTuple)
D = TypeVar("D", bound=Document)

_UNSAFE = re.compile(rb"[\x00-\x20%\x7f]")
_FOOTER_LIMIT = 64 * 1024


class Damaged(FixConfiguration):
    """The file is not what its writer left: cut, altered, or of another version."""

    def __init__(self, error: str) -> None:
        super().__init__("setup_workdir", "Failed to read the working directory", error)


class _Tail(Document):
    rows: int
    crc32: int
    footer: dict[str, Any]

    def checksum(self, crc: int) -> int:
        """Continue the CRC of what comes before over the rest of the footer."""
        return zlib.crc32(json.dumps([self.rows, self.footer], sort_keys=True).encode(), crc)


def write_rows(
    path: Path,
    header: Document,
    rows: Iterable[NamedTuple],
    footer: Callable[[], Document] = NoFooter,
) -> None:
    """Write a row file; ``footer`` is asked once all rows have been consumed."""
    with atomic_file(path) as out:
        count = 0
        line = header.model_dump_json().encode() + b"\n"
        out.write(line)
        crc = zlib.crc32(line)
        for row in rows:
            line = _encode(row)
            out.write(line)
            crc = zlib.crc32(line, crc)
            count += 1
        tail = _Tail(rows=count, crc32=0, footer=footer().model_dump(mode="json"))
        tail = tail.model_copy(update={"crc32": tail.checksum(crc)})
        out.write(tail.model_dump_json().encode() + b"\n")


def read_rows(path: Path, row_type: type[R]) -> Iterator[R]:
    """Return the rows, once the whole file is known to be intact. Raises Damaged if it is not."""
    return _rows(path, _tail(path).rows, row_type)


def _rows(path: Path, count: int, row_type: type[R]) -> Iterator[R]:
    decode = _decoder(row_type)
    with path.open("rb") as lines:
        lines.readline()
        for line in islice(lines, count):
            yield decode(line)


def read_header(path: Path, kind: type[D]) -> D:
    """Return the header document."""
    with path.open("rb") as lines:
        return _document(path, lines.readline(), kind)


def read_footer(path: Path, kind: type[D]) -> D:
    """Return what the writer added to the footer. Raises Damaged as above."""
    return _document(path, json.dumps(_tail(path).footer).encode(), kind)


def _tail(path: Path) -> _Tail:
    """Return the footer of a file that is intact."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _FOOTER_LIMIT))
        line = file.read().rstrip(b"\n").rpartition(b"\n")[2]
        tail = _document(path, line, _Tail)
        file.seek(0)
        if tail.checksum(_crc32(file, size - len(line) - 1)) != tail.crc32:
            raise Damaged(f"{path.name}: the content does not match its checksum")
    return tail


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
    return b"\t".join([*(_escape(str(field).encode()) for field in fields), _escape(path)]) + b"\n"


def _escape(field: bytes) -> bytes:
    if _UNSAFE.search(field) is None:
        return field
    return _UNSAFE.sub(lambda found: b"%%%02X" % found.group()[0], field)


@cache
def _decoder(row_type: type[R]) -> Callable[[bytes], R]:
    hints = get_type_hints(row_type)
    types = [hints[name] for name in row_type._fields[1:]]

    def decode(line: bytes) -> R:
        *fields, path = line.rstrip(b"\n").split(b"\t")
        values = [
            int(field) if kind is int else _unescape(field).decode()
            for field, kind in zip(fields, types, strict=True)
        ]
        return row_type._make([_unescape(path), *values])

    return decode


def _unescape(field: bytes) -> bytes:
    return unquote_to_bytes(field) if b"%" in field else field
