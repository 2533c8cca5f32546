"""Row files: reading returns what was written, or raises Damaged."""

from __future__ import annotations

import json
import os
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.changes import ManifestRow
from steps.core.keys import printable
from steps.core.sorted_join import outer_join
from steps.errors import FixConfiguration
from steps.workdir.files import remove
from steps.workdir.rowfile import (
    Damaged,
    RowFile,
    decoder,
    join_lines,
    path_of,
    read_rows,
    write_rows,
)
from steps.workdir.rows import ManifestFooter, NoFooter, RowsHeader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Row(NamedTuple):
    path: bytes
    text: str
    number: int


HEADER = RowsHeader(identity="größe\n%")
FOOTER = ManifestFooter(
    quarantined={"too_large": 3},
    quarantined_sample=("a\tb", "%0A"),
    excluded=0,
    unchanged=0,
    new_objects=2,
    new_bytes=10,
    fetched=2,
    fetched_bytes=10,
    newest_object_at=datetime(2025, 7, 12, 22, 6, 58, tzinfo=UTC),
    cache_mismatches=0,
    non_md5_etags=0,
    unavailable=0,
    unavailable_sample=(),
    absences_proven=True,
)
ROWS = [Row(b"c/a", "etag", 3), Row(b"c/b\n\t%", "", -1), Row(b"c/\xff", "two words", 0)]

rows = st.lists(st.builds(Row, st.binary(), st.text(), st.integers()))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rowfile") / "rows"


def read(path: Path) -> tuple[RowsHeader, list[Row], ManifestFooter]:
    """Return the header, rows and footer of a file."""
    file = RowFile(path)
    return file.header(RowsHeader), list(file.rows(Row)), file.footer(ManifestFooter)


def write(path: Path) -> bytes:
    write_rows(path, HEADER, ROWS, lambda: FOOTER)
    return path.read_bytes()


def one_bit_flipped(content: bytes) -> Iterator[bytes]:
    for position in range(len(content)):
        for bit in range(8):
            flipped = bytes([content[position] ^ 1 << bit])
            yield content[:position] + flipped + content[position + 1 :]


@given(rows)
def test_rows_of_any_bytes_are_read_as_written(path: Path, given_rows: list[Row]) -> None:
    write_rows(path, HEADER, given_rows, lambda: FOOTER)
    assert read(path) == (HEADER, given_rows, FOOTER)


@given(rows)
def test_row_is_one_readable_line(path: Path, given_rows: list[Row]) -> None:
    write_rows(path, HEADER, given_rows)
    head, *lines, tail, nothing = path.read_bytes().split(b"\n")
    assert json.loads(head) == {"schema_version": 1, "identity": HEADER.identity}
    assert (len(lines), json.loads(tail)["rows"], nothing) == (len(given_rows), len(given_rows), b"")
    assert all(line.count(b"\t") == 2 for line in lines)
    assert not any(byte < 0x20 and byte != 0x09 for line in lines for byte in line)


def test_plain_names_are_not_escaped(path: Path) -> None:
    write_rows(path, HEADER, [ManifestRow("c/größe:*.yaml".encode(), "fetched", "ab", 3, "e-1")])
    assert path.read_bytes().split(b"\n")[1] == "fetched\tab\t3\te-1\tc/größe:*.yaml".encode()


def test_footer_is_computed_after_the_last_row(path: Path) -> None:
    seen: list[Row] = []

    def counted_rows() -> Iterator[Row]:
        for row in ROWS:
            seen.append(row)
            yield row

    write_rows(path, HEADER, counted_rows(), lambda: FOOTER.model_copy(update={"fetched": len(seen)}))
    assert RowFile(path).footer(ManifestFooter).fetched == len(ROWS)


def test_file_without_rows_is_valid(path: Path) -> None:
    write_rows(path, HEADER, [])
    assert list(read_rows(path, Row)) == []
    assert RowFile(path).footer(NoFooter) == NoFooter()


def test_longest_footer_of_a_manifest_is_read(path: Path) -> None:
    worst = printable("\U000e0001" * 256)
    footer = FOOTER.model_copy(update={"quarantined_sample": (worst,) * 20})
    write_rows(path, HEADER, ROWS, lambda: footer)
    assert read(path) == (HEADER, ROWS, footer)


def test_every_truncation_is_detected(path: Path) -> None:
    content = write(path)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(Damaged):
            read(path)


def test_appended_bytes_are_detected(path: Path) -> None:
    content = write(path)
    for more in (b"\n", b"x", b"\0", content, content.split(b"\n")[1] + b"\n"):
        path.write_bytes(content + more)
        with pytest.raises(Damaged):
            read(path)


def test_every_flipped_bit_is_detected(path: Path) -> None:
    content = write(path)
    for damaged in one_bit_flipped(content):
        path.write_bytes(damaged)
        with pytest.raises(Damaged):
            read(path)


@given(st.data())
def test_changed_byte_in_any_file_is_detected(path: Path, data: st.DataObject) -> None:
    write_rows(path, HEADER, data.draw(rows), lambda: FOOTER)
    content = path.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    changed = content[position] ^ data.draw(st.integers(1, 255))
    path.write_bytes(content[:position] + bytes([changed]) + content[position + 1 :])
    with pytest.raises(Damaged):
        read(path)


@given(st.binary(max_size=400))
def test_every_reader_rejects_a_file_that_is_not_a_row_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(Damaged):
        read_rows(path, Row)
    with pytest.raises(Damaged):
        RowFile(path).header(RowsHeader)
    with pytest.raises(Damaged):
        RowFile(path).footer(ManifestFooter)


def test_other_schema_version_or_document_is_damaged(path: Path) -> None:
    write_rows(path, HEADER, [])
    path.write_bytes(path.read_bytes().replace(b'"schema_version":1', b'"schema_version":2'))
    with pytest.raises(Damaged):
        RowFile(path).header(RowsHeader)
    write_rows(path, HEADER, [])
    with pytest.raises(Damaged):
        RowFile(path).footer(ManifestFooter)


def test_damaged_names_the_file_and_exits_40(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(FixConfiguration, match="rows: invalid Tail") as caught:
        read_rows(path, Row)
    assert (caught.value.operation, caught.value.exit) == ("setup_workdir", 40)


def test_missing_file_raises_file_not_found(tmp_path: Path) -> None:
    for reader in (lambda path: read_rows(path, Row), lambda path: RowFile(path).header(RowsHeader)):
        with pytest.raises(FileNotFoundError):
            reader(tmp_path / "missing")


def test_failing_writer_keeps_the_old_file(tmp_path: Path) -> None:
    def failing() -> Iterator[Row]:
        yield ROWS[0]
        raise ConnectionError

    path = tmp_path / "rows"
    with pytest.raises(ConnectionError):
        write_rows(path, HEADER, failing())
    assert list(tmp_path.iterdir()) == []
    before = write(path)
    with pytest.raises(ConnectionError):
        write_rows(path, HEADER, failing())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_directory_pipe_or_link_is_damaged_without_blocking(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    ways: dict[str, Callable[[Path], None]] = {"is a directory": os.mkdir, "not a regular file": os.mkfifo}
    for message, put in ways.items():
        put(path)
        for reader in (lambda: read_rows(path, Row), lambda: RowFile(path).header(RowsHeader)):
            with pytest.raises(Damaged, match=message):
                reader()
        remove(path)
    path.symlink_to("/dev/zero")
    with pytest.raises(Damaged, match="not a regular file"):
        read_rows(path, Row)
    (tmp_path / "file").touch()
    with pytest.raises(Damaged, match="not a directory"):
        read_rows(tmp_path / "file" / "rows", Row)


@pytest.mark.parametrize("line", [b"\n", b"a\tb\n", b"\xff\t3\tc\n", b"text\tno number\tc\n"])
def test_malformed_row_with_a_valid_checksum_is_damaged(line: bytes, path: Path) -> None:
    header = HEADER.model_dump_json().encode() + b"\n"
    crc = zlib.crc32(b"[1, {}]", zlib.crc32(header + line))
    path.write_bytes(header + line + b'{"rows":1,"crc32":%d,"footer":{}}\n' % crc)
    with pytest.raises(Damaged, match="invalid Row"):
        list(read_rows(path, Row))


# -- encoded rows ---------------------------------------------------------------------------------

by_path = st.dictionaries(st.binary(max_size=3), st.text(max_size=2), max_size=6).map(
    lambda found: [Row(path, found[path], len(path)) for path in sorted(found)]
)


@given(by_path, by_path)
def test_encoded_rows_are_joined_like_decoded_ones(path: Path, left: list[Row], right: list[Row]) -> None:
    other = path.with_name("other")
    write_rows(path, HEADER, left)
    write_rows(other, HEADER, right)
    decode = decoder(Row)
    joined = [(a and decode(a), b and decode(b)) for a, b in join_lines(RowFile(path), RowFile(other))]
    assert joined == list(outer_join(left, right))
    for a, b in join_lines(RowFile(path), RowFile(other)):
        assert a is None or b is None or path_of(a) == path_of(b)


@given(rows)
def test_encoded_rows_are_written_unchanged(path: Path, given_rows: list[Row]) -> None:
    other = path.with_name("other")
    write_rows(path, HEADER, given_rows)
    write_rows(other, HEADER, RowFile(path).lines())
    assert other.read_bytes() == path.read_bytes()
    assert len(RowFile(other)) == len(given_rows)


# -- one verification, one opening for each pass --------------------------------------------------


def test_row_file_rejects_a_file_that_is_replaced_after_it_was_verified(path: Path) -> None:
    write_rows(path, HEADER, ROWS)
    file = RowFile(path)
    assert len(list(file.rows(Row))) == len(file) == len(ROWS)
    write_rows(path, HEADER, ROWS[:1])
    with pytest.raises(Damaged, match="has changed since it was verified"):
        list(file.rows(Row))


def test_sparse_file_with_a_correct_footer_is_rejected_without_reading_it(path: Path) -> None:
    write_rows(path, HEADER, ROWS)
    content = path.read_bytes()
    footer = content.splitlines(keepends=True)[-1]
    with path.open("r+b") as file:
        file.truncate(200 << 30)  # checksumming it would take minutes
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + footer)
    with pytest.raises(Damaged, match="does not match its checksum"):
        RowFile(path)


def test_file_with_more_lines_than_its_footer_counts_is_rejected(path: Path) -> None:
    write_rows(path, HEADER, ROWS)
    head, *_, footer = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(head + b"\n" * (3 << 20) + footer)
    with pytest.raises(Damaged, match="does not match its checksum"):
        RowFile(path)
