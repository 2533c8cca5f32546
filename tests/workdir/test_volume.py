"""WORK_DIR: where files are, one run at a time, and nothing outside it is touched."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from steps.errors import FixConfiguration, TryAgain
from steps.workdir.files import read_document, write_document
from steps.workdir.rows import RowsHeader
from steps.workdir.volume import Volume
from tests.support.deep import deep

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


# -- the directory ----------------------------------------------------------------------------


def test_set_up_makes_the_directories_and_can_be_repeated(tmp_path: Path) -> None:
    volume = Volume(tmp_path / "not" / "there")
    volume.set_up()
    (volume.objects / "kept").write_bytes(b"x")
    volume.set_up()
    assert names(volume.root) == {".git-sync", "clusterbackup"}
    assert names(volume.objects) == {"kept"}


@pytest.mark.parametrize("ours", [".git-sync", "clusterbackup"])
@pytest.mark.parametrize("planted", ["link", "file"])
def test_set_up_replaces_a_link_or_file_in_the_place_of_a_directory(
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
def test_set_up_fails_with_the_path_where_no_directory_can_be_made(root: str, tmp_path: Path) -> None:
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
def test_files_of_a_cluster_have_its_name(cluster: str, volume: Volume) -> None:
    files = volume.files("r")
    for place in (files.baseline, files.listing, files.manifest, files.failure, volume.cache):
        write_document(place(cluster), RowsHeader(identity=cluster))
        assert place(cluster).name == cluster
        assert read_document(place(cluster), RowsHeader).identity == cluster


# -- one run at a time ------------------------------------------------------------------------


def test_lock_names_its_holder_to_a_second_run(volume: Volume) -> None:
    for _ in range(2):
        with (
            volume.locked(),
            pytest.raises(TryAgain, match="locked by another process: ") as raised,
            volume.locked(),
        ):
            pass
        assert raised.value.data == {"path": str(volume.root), "process": str(os.getpid())}


def test_lock_is_released_by_an_error(volume: Volume) -> None:
    with pytest.raises(ZeroDivisionError), volume.locked():
        raise ZeroDivisionError
    with volume.locked():
        pass


def test_lock_is_released_by_a_kill(volume: Volume) -> None:
    locking = (
        "import pathlib, sys; from steps.workdir.volume import Volume\n"
        "with Volume(pathlib.Path(sys.argv[1])).locked(): print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", locking, str(volume.root)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(TryAgain) as raised, volume.locked():
            pass
        assert raised.value.data["process"] == str(holder.pid)
        holder.kill()
    with volume.locked():
        pass


def test_lock_is_not_written_through_a_link(volume: Volume, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (volume.root / ".git-sync" / "lock").symlink_to(target)
    with volume.locked():
        pass
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir])
def test_lock_replaces_a_pipe_or_directory_of_its_name(put: Callable[[Path], None], volume: Volume) -> None:
    lock = volume.root / ".git-sync" / "lock"
    put(lock)
    with volume.locked():
        assert lock.read_text() == str(os.getpid())


# -- runs -------------------------------------------------------------------------------------


def make_runs(volume: Volume, *run_ids: str) -> None:
    """Make runs, each last worked on a second after the one before."""
    for second, run_id in enumerate(run_ids, start=1_000_000_000):
        write_document(volume.files(run_id).run_document, RowsHeader(identity=run_id))
        os.utime(volume.files(run_id).root, (second, second))


def test_newest_run_fails_without_a_run_and_names_discover(volume: Volume) -> None:
    with pytest.raises(FixConfiguration, match="call `git-sync discover` first"):
        volume.newest_run()


def test_newest_run_is_the_one_worked_on_last(volume: Volume) -> None:
    make_runs(volume, "c", "a", "b")
    assert volume.newest_run() == "b"


@pytest.mark.parametrize(
    ("runs", "kept"), [("", ""), ("a", "a"), ("ba", "ba"), ("cab", "ab"), ("zabc", "bc"), ("edcba", "ba")]
)
def test_prune_keeps_the_newest_runs(runs: str, kept: str, volume: Volume) -> None:
    make_runs(volume, *runs)
    volume.prune()
    assert [run_id for run_id in runs if volume.files(run_id).root.exists()] == list(kept)


def test_prune_removes_runs_with_planted_deep_directories(volume: Volume) -> None:
    make_runs(volume, *"abcd")
    with deep(volume.files("a").root / "planted"):
        os.utime(volume.files("a").root, (0, 0))
        volume.prune()
        assert volume.newest_run() == "d"
        assert not volume.files("a").root.exists()


def test_prune_removes_old_half_written_files(volume: Volume) -> None:
    pending = volume.pending("x").parent
    pending.mkdir()
    directories = (volume.root, volume.cache("x").parent, pending.parent, pending)
    for directory in directories:
        for name, age in (("forsaken", 3700), ("underway", 60)):
            (half := directory / f".git-sync-tmp-{name}").write_bytes(b"half")
            os.utime(half, (time.time() - age, time.time() - age))
    write_document(volume.cache(".git-sync-tmp-x"), RowsHeader(identity="a cluster's"))
    volume.prune()
    left = [path.name for directory in directories for path in directory.glob(".git-sync-tmp-*")]
    assert sorted(left) == [".git-sync-tmp-underway"] * 4 + [".git-sync-tmp-x"]


def test_remove_caches_keeps_the_state_and_the_runs(volume: Volume) -> None:
    make_runs(volume, "a")
    for path in (volume.tip, volume.cache("east"), volume.state):
        path.write_bytes(b"x")
    volume.remove_caches()
    assert not volume.tip.exists()
    assert names(volume.cache("east").parent) == set()
    assert volume.state.exists()
    assert volume.newest_run() == "a"


def test_adopt_caches_leaves_no_part_of_a_file(volume: Volume, tmp_path: Path) -> None:
    for name in ("cache", "pending"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "east").write_bytes(b"x" * 10_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            volume.adopt_caches(tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    volume.adopt_caches(tmp_path / "cache")
    assert volume.cache("east").read_bytes() == b"x" * 10_000
    assert volume.pending("east").read_bytes() == b"x" * 10_000


def test_adopt_caches_copies_the_omitted_objects_beside_the_caches(volume: Volume, tmp_path: Path) -> None:
    """The pipeline keeps the directory of the caches in one artifact."""
    other = Volume(tmp_path / "other")
    other.set_up()
    other.omitted("east").parent.mkdir()
    other.omitted("east").write_bytes(b"rows")
    other.set_up()
    volume.adopt_caches(other.cache("east").parent)
    assert volume.omitted("east").read_bytes() == b"rows"
    volume.remove_caches()
    assert not volume.omitted("east").exists()


def test_adopt_caches_copies_regular_files_that_the_volume_lacks(volume: Volume, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("east", "west"):
        (source / name).write_bytes(b"theirs")
    (source / "link").symlink_to(source / "east")
    (source / "directory").mkdir()
    volume.cache("west").write_bytes(b"ours")
    volume.adopt_caches(source)
    found = {path.name: path.read_bytes() for path in volume.cache("east").parent.iterdir()}
    assert found == {"east": b"theirs", "west": b"ours"}
    volume.adopt_caches(tmp_path / "missing")
