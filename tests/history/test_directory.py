"""A directory that appears as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.errors import FixConfiguration
from steps.history.directory import new_directory, require_new, write_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("exists", [True, False])
def test_directory_appears_when_the_block_ends(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "a/b"
    if exists:
        target.mkdir(parents=True)
    with new_directory(target) as made:
        write_file(made, "x/y", b"1")
        assert not (target / "x").exists()
    assert (target / "x/y").read_bytes() == b"1"
    assert [path.name for path in target.parent.iterdir()] == ["b"]
    assert target.stat().st_mode & 0o777 == 0o700


def test_directory_does_not_appear_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(FixConfiguration, match="no such file"), new_directory(tmp_path / "a/b") as made:
        (made / "x/y").mkdir()
    assert not list((tmp_path / "a").iterdir())


def test_directory_that_is_not_new_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for target, why in (
        (tmp_path, "is not empty"),
        (tmp_path / "file", "is not a"),
        (tmp_path / "link", "is not a"),
    ):
        with pytest.raises(FixConfiguration, match=why):
            require_new(target)


def test_link_to_an_empty_directory_keeps_pointing_at_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with new_directory(tmp_path / "link") as made:
        write_file(made, "x", b"1")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real/x").read_bytes() == b"1"


def test_file_is_never_replaced(tmp_path: Path) -> None:
    write_file(tmp_path, "a", b"1")
    with pytest.raises(FileExistsError):
        write_file(tmp_path, "a", b"2")
