"""WORK_DIR: presence means complete, one run at a time, and nothing outside it is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from steps.contracts import LastSuccess, RowsHeader
from steps.errors import FixConfiguration, TryAgain
from steps.workdir.volume import ObjectDirectory, Volume, atomic_file, read_document, remove, write_document

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE_CLUSTERS = ["a b", "system:admin", "..a", "%2F", "größe", "*", "-rf", "lock", ".git-sync-tmp-x"]


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    made = Volume(tmp_path / "workspace")
    made.set_up()
    return made


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


# -- files that are there whole or not at all -------------------------------------------------


def test_a_file_appears_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "file"
    with atomic_file(path) as out:
        out.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert names(path.parent) == {"file"}


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_leaves_the_old_file_and_no_litter(
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


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    path = tmp_path / "file"
    path.symlink_to(target)
    with atomic_file(path) as out:
        out.write(b"new")
    assert (target.read_bytes(), path.read_bytes(), path.is_symlink()) == (b"precious", b"new", False)


def test_a_document_is_read_as_it_was_written(tmp_path: Path) -> None:
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
def test_a_damaged_document_is_named_with_what_to_do(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_bytes(content)
    with pytest.raises(
        FixConfiguration, match=r"d\.json is damaged or of another version .*remove it"
    ) as caught:
        read_document(path, RowsHeader)
    assert caught.value.operation == "setup_workdir"


def test_a_time_without_a_zone_is_no_valid_document(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text('{"run_id": "r", "at": "2025-07-12T22:06:58"}')
    with pytest.raises(FixConfiguration):
        read_document(path, LastSuccess)


def test_a_missing_document_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_document(tmp_path / "d.json", RowsHeader)


def test_a_pipe_is_no_document_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "d.json")
    with pytest.raises(OSError, match="no plain file"):
        read_document(tmp_path / "d.json", RowsHeader)


# -- the directory ----------------------------------------------------------------------------


def test_setting_up_makes_the_directories_and_may_be_repeated(tmp_path: Path) -> None:
    volume = Volume(tmp_path / "not" / "there")
    volume.set_up()
    (volume.objects / "kept").write_bytes(b"x")
    volume.set_up()
    assert names(volume.root) == {".git-sync", "clusterbackup"}
    assert names(volume.objects) == {"kept"}


@pytest.mark.parametrize("ours", [".git-sync", "clusterbackup"])
@pytest.mark.parametrize("planted", ["link", "file"])
def test_a_planted_link_or_file_in_place_of_our_directory_is_replaced(
    planted: str, ours: str, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    root = tmp_path / "workspace"
    root.mkdir()
    if planted == "link":
        (root / ours).symlink_to(elsewhere)
    else:
        (root / ours).write_bytes(b"x")
    Volume(root).set_up()
    assert (root / ours).is_dir()
    assert not (root / ours).is_symlink()
    assert names(elsewhere) == set()


@pytest.mark.parametrize("root", ["file", "file/below", "link"])
def test_a_directory_that_cannot_be_had_is_the_operators_to_mend(root: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "at" / "all")
    with pytest.raises(FixConfiguration) as caught:
        Volume(tmp_path / root).set_up()
    assert (caught.value.operation, caught.value.message) == (
        "setup_workdir",
        "Failed to create working directory",
    )
    assert caught.value.error.endswith(f": {tmp_path / root}")


@pytest.mark.parametrize("cluster", HOSTILE_CLUSTERS)
def test_a_clusters_files_lie_under_its_own_name(cluster: str, volume: Volume) -> None:
    files = volume.run("r")
    for place in (files.baseline, files.listing, files.manifest, files.failure, volume.cache):
        write_document(place(cluster), RowsHeader(identity=cluster))
        assert place(cluster).name == cluster
        assert read_document(place(cluster), RowsHeader).identity == cluster


# -- one run at a time ------------------------------------------------------------------------


def test_a_second_run_is_told_who_holds_the_directory_and_may_try_again(volume: Volume) -> None:
    for _ in range(2):
        with (
            volume.locked(),
            pytest.raises(TryAgain, match=f"locked by process {os.getpid()}: "),
            volume.locked(),
        ):
            pass


def test_an_error_releases_the_directory(volume: Volume) -> None:
    with pytest.raises(ZeroDivisionError), volume.locked():
        raise ZeroDivisionError
    with volume.locked():
        pass


def test_death_releases_the_directory(volume: Volume) -> None:
    holding = (
        "import pathlib, sys; from steps.volume import Volume\n"
        "with Volume(pathlib.Path(sys.argv[1])).locked(): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(volume.root)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(TryAgain, match=f"locked by process {holder.pid}: "), volume.locked():
            pass
        holder.kill()
    with volume.locked():
        pass


def test_the_lock_is_not_written_through_a_planted_link(volume: Volume, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (volume.root / ".git-sync" / "lock").symlink_to(target)
    with volume.locked():
        pass
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir])
def test_what_is_no_plain_file_in_place_of_the_lock_is_replaced(
    put: Callable[[Path], None], volume: Volume
) -> None:
    lock = volume.root / ".git-sync" / "lock"
    put(lock)
    with volume.locked():
        assert lock.read_text() == str(os.getpid())


# -- runs -------------------------------------------------------------------------------------


def make_runs(volume: Volume, *run_ids: str) -> None:
    """Make runs, each last worked on a second after the one before."""
    for second, run_id in enumerate(run_ids, start=1_000_000_000):
        write_document(volume.run(run_id).run, RowsHeader(identity=run_id))
        os.utime(volume.run(run_id).root, (second, second))


def test_without_a_run_the_operator_is_told_to_discover(volume: Volume) -> None:
    with pytest.raises(FixConfiguration, match="call `git-sync discover` first"):
        volume.newest_run()


def test_the_newest_run_is_the_one_last_worked_on_whatever_its_name(volume: Volume) -> None:
    make_runs(volume, "c", "a", "b")
    assert volume.newest_run() == "b"


@pytest.mark.parametrize(
    ("runs", "kept"), [("", ""), ("a", "a"), ("ba", "ba"), ("cab", "ab"), ("zabc", "bc"), ("edcba", "ba")]
)
def test_with_the_new_run_the_three_newest_are_kept(runs: str, kept: str, volume: Volume) -> None:
    make_runs(volume, *runs)
    volume.prune()
    assert [run_id for run_id in runs if volume.run(run_id).root.exists()] == list(kept)


def test_what_a_killed_run_left_half_written_is_removed_once_it_is_old(volume: Volume) -> None:
    directories = (volume.root, volume.cache("x").parent, volume.cache("x").parent.parent)
    for directory in directories:
        for name, age in (("forsaken", 3700), ("underway", 60)):
            (half := directory / f".git-sync-tmp-{name}").write_bytes(b"half")
            os.utime(half, (time.time() - age, time.time() - age))
    write_document(volume.cache(".git-sync-tmp-x"), RowsHeader(identity="a cluster's"))
    volume.prune()
    left = [path.name for directory in directories for path in directory.glob(".git-sync-tmp-*")]
    assert sorted(left) == [".git-sync-tmp-underway"] * 3 + [".git-sync-tmp-x"]


# -- removing and placing ---------------------------------------------------------------------


def test_whatever_is_there_is_removed_but_never_what_a_link_points_to(tmp_path: Path) -> None:
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


def placed(objects: ObjectDirectory, path: bytes, content: bytes) -> Path:
    target = Path(os.fsdecode(objects.place(path)))
    target.write_bytes(content)
    return target


def test_an_object_lies_at_its_own_path_whatever_its_bytes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    objects = ObjectDirectory(root)
    for path in (b"c/ns/x.yaml", b"c/ns/y.yaml", b"c/n\xff/a b", "größe/%2F".encode(), b"c2/x"):
        placed(objects, path, path)
    found = {
        os.fsencode(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
    assert found == {path: path for path in found}
    assert len(found) == 5


def test_a_file_in_the_way_of_a_directory_is_replaced(tmp_path: Path) -> None:
    placed(ObjectDirectory(tmp_path), b"c/a", b"old")
    placed(ObjectDirectory(tmp_path), b"c/a/b/d", b"new")
    assert (tmp_path / "c/a/b/d").read_bytes() == b"new"


@pytest.mark.parametrize("link", ["c", "c/a", "c/a/b"])
def test_no_link_leads_out_of_the_directory(link: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside)
    placed(ObjectDirectory(root), b"c/a/b/x", b"new")
    assert names(outside) == set()
    assert (root / "c/a/b/x").read_bytes() == b"new"


def test_of_very_many_directories_only_some_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steps.workdir.volume._MOST_KNOWN", 5)
    objects = ObjectDirectory(tmp_path)
    for number in range(20):
        placed(objects, b"c/%d/x/y" % (number % 7), b"content")
        assert len(objects._real) <= 5
    assert names(tmp_path / "c") == {str(number) for number in range(7)}
