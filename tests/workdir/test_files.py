"""File primitives: complete or absent, never through a link, never blocked by a pipe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from steps.contracts import LastSuccess
from steps.errors import FixConfiguration
from steps.workdir.files import (
    ObjectDirectory,
    atomic_file,
    naming,
    open_plain,
    read_document,
    remove,
    write_document,
)
from steps.workdir.rows import RowsHeader
from tests.support.deep import deep


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


# -- writing and reading -----------------------------------------------------------------------


def test_atomic_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "file"
    with atomic_file(path) as out:
        out.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert names(path.parent) == {"file"}


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
def test_atomic_file_keeps_the_old_file_when_interrupted(
    tmp_path: Path, interruption: type[BaseException]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write() -> None:
        with atomic_file(path) as out:
            out.write(b"half")
            raise interruption

    with pytest.raises(interruption):
        write()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"file"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_naming_adds_the_path_to_an_error_of_write(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device") as caught, naming(tmp_path / "x"):
        Path("/dev/full").write_bytes(b"x")
    assert caught.value.filename == tmp_path / "x"


def test_naming_keeps_the_path_of_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, naming(tmp_path / "x"):
        (tmp_path / "y").read_bytes()
    assert caught.value.filename == str(tmp_path / "y")


def test_atomic_file_replaces_a_link_and_keeps_its_target(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    path = tmp_path / "file"
    path.symlink_to(target)
    with atomic_file(path) as out:
        out.write(b"new")
    assert (target.read_bytes(), path.read_bytes(), path.is_symlink()) == (b"precious", b"new", False)


def test_document_round_trip(tmp_path: Path) -> None:
    document = RowsHeader(identity="größe \u2028 \\")
    write_document(tmp_path / "d.json", document)
    assert read_document(tmp_path / "d.json", RowsHeader) == document


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"schema_version": 2, "identity": "x"}',
        b'{"schema_version": 1, "identity": "x", "more": 1}',
        b'{"schema_version": 1, "identity": 5}',
    ],
)
def test_read_document_names_a_damaged_file_and_what_to_do(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_bytes(content)
    with pytest.raises(
        FixConfiguration, match=r"d\.json is damaged or of another version .*remove it"
    ) as caught:
        read_document(path, RowsHeader)
    assert caught.value.operation == "setup_workdir"


def test_read_document_rejects_a_time_without_zone(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text('{"run_id": "r", "at": "2025-07-12T22:06:58"}')
    with pytest.raises(FixConfiguration):
        read_document(path, LastSuccess)


def test_read_document_raises_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_document(tmp_path / "d.json", RowsHeader)


def test_read_document_does_not_block_on_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "d.json")
    with pytest.raises(OSError, match="not a regular file"):
        read_document(tmp_path / "d.json", RowsHeader)


@pytest.mark.parametrize("path", ["pipe", "directory", "device"])
def test_open_plain_rejects_everything_but_regular_files(path: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        open_plain(tmp_path / path)
    with open_plain(tmp_path / "file") as file:
        assert file.read() == b"content"


# -- removing and placing ---------------------------------------------------------------------


def test_remove_removes_files_directories_and_links_but_no_link_target(tmp_path: Path) -> None:
    directory = tmp_path / "directory"
    (directory / "below").mkdir(parents=True)
    (directory / "below" / "file").write_bytes(b"x")
    for name, target in (
        ("to-directory", directory),
        ("to-file", directory / "below/file"),
        ("broken", "gone"),
    ):
        link = tmp_path / name
        link.symlink_to(target)
        remove(link)
        assert not link.is_symlink()
    assert (directory / "below" / "file").read_bytes() == b"x"
    remove(directory / "below" / "file")
    assert names(directory / "below") == set()
    remove(directory)
    remove(tmp_path / "never-there")
    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", ["d", "n" * 255])
def test_remove_removes_directories_of_any_depth(name: str, tmp_path: Path) -> None:
    with deep(tmp_path / "deep", name=name):
        remove(tmp_path / "deep")
        assert names(tmp_path) == set()


def test_remove_removes_wide_trees_and_keeps_targets_of_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "below").mkdir(parents=True)
    for number in range(300):
        folder = tmp_path / "top" / str(number % 7) / str(number % 11) / "same"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(b"x")
        (folder / f"link-{number}").symlink_to(outside)
        (folder / f"empty-{number}").mkdir(0o555)
    os.mkfifo(tmp_path / "top" / "pipe")
    remove(tmp_path / "top")
    assert names(tmp_path) == {"outside"}
    assert names(outside) == {"below"}


def placed(objects: ObjectDirectory, path: bytes, content: bytes) -> Path:
    target = Path(os.fsdecode(objects.place(path)))
    target.write_bytes(content)
    return target


def test_object_directory_places_any_bytes_at_their_own_path(tmp_path: Path) -> None:
    root = tmp_path / "root"
    objects = ObjectDirectory(root)
    for path in (b"c/ns/x.yaml", b"c/ns/y.yaml", b"c/n\xff/a b", "größe/%2F".encode(), b"c2/x"):
        placed(objects, path, path)
    found = {
        os.fsencode(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
    assert found == {path: path for path in found}
    assert len(found) == 5


def test_object_directory_replaces_a_file_in_the_place_of_a_directory(tmp_path: Path) -> None:
    placed(ObjectDirectory(tmp_path), b"c/a", b"old")
    placed(ObjectDirectory(tmp_path), b"c/a/b/d", b"new")
    assert (tmp_path / "c/a/b/d").read_bytes() == b"new"


@pytest.mark.parametrize("link", ["c", "c/a", "c/a/b"])
def test_object_directory_replaces_links(link: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside)
    placed(ObjectDirectory(root), b"c/a/b/x", b"new")
    assert names(outside) == set()
    assert (root / "c/a/b/x").read_bytes() == b"new"


def test_object_directory_remembers_a_bounded_number_of_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steps.workdir.files._MAX_REMEMBERED_DIRECTORIES", 5)
    objects = ObjectDirectory(tmp_path)
    for number in range(20):
        placed(objects, b"c/%d/x/y" % (number % 7), b"content")
        assert len(objects._checked) <= 5
    assert names(tmp_path / "c") == {str(number) for number in range(7)}
