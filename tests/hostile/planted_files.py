"""Hostile files planted in WORK_DIR, and runs that must not be harmed by them.

A run must end with a documented exit code and a clear message, and must change nothing outside of
WORK_DIR.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import random
import re
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from steps.cli import invoke
from tests.hostile.damage import fingerprint
from tests.support.bucket import new_bucket
from tests.support.repositories import bare_repository, contents
from tests.support.sync import CommandResult, Sync

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from tests.support.s3 import S3Server

OBJECTS = {
    f"clusterbackup/{cluster}/ns/{n}.yaml": b"%d\n" % n for cluster in ("east", "west") for n in range(3)
}
_SECONDS = 60  # a run takes about one second; a longer one hangs
_RUN = "planted"

# -- files to plant -------------------------------------------------------------------------------


def link_to_directory(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "directory")


def link_to_file(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "file")


def link_to_nothing(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "not-existing")


def link_to_endless_device(place: Path, _outside: Path) -> None:
    place.symlink_to("/dev/zero")


def link_to_pipe(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "pipe")


def link_to_itself(place: Path, _outside: Path) -> None:
    place.symlink_to(place.name)


def hard_link(place: Path, outside: Path) -> None:
    os.link(outside / "file", place)


def pipe(place: Path, _outside: Path) -> None:
    os.mkfifo(place)


def unix_socket(place: Path, _outside: Path) -> None:
    here = os.getcwd()
    os.chdir(place.parent)  # the path of a socket is limited to 107 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place.name)
    os.chdir(here)


def device(place: Path, _outside: Path) -> None:
    os.mknod(place, 0o020666, os.makedev(1, 5))  # like /dev/zero


def empty_directory(place: Path, _outside: Path) -> None:
    place.mkdir()


def full_directory(place: Path, _outside: Path) -> None:
    (place / "below").mkdir(parents=True)
    (place / "below" / "file").write_bytes(b"x")


def sparse_file(place: Path, _outside: Path) -> None:
    with place.open("wb") as file:
        file.truncate(1 << 40)


def unreadable_file(place: Path, _outside: Path) -> None:
    place.write_bytes(b"x")
    place.chmod(0)


def unreadable_directory(place: Path, _outside: Path) -> None:
    full_directory(place, _outside)
    place.chmod(0)


Plant = Callable[[Path, Path], None]
PLANTS: tuple[Plant, ...] = (
    *(link_to_directory, link_to_file, link_to_nothing, link_to_endless_device, link_to_pipe, link_to_itself),
    *((device,) if os.geteuid() == 0 else ()),  # only root can create devices
    *(hard_link, pipe, unix_socket, empty_directory, full_directory, sparse_file),
    *(unreadable_file, unreadable_directory),
)

# Every path that git-sync writes to; discover creates the directory of a run.
PLACES = (
    *(".git", ".gitconfig", ".git-sync", "clusterbackup", "sync-metadata.json", "report.md", "report.html"),
    *(
        f".git-sync/{name}"
        for name in ("lock", "tip", "runs", "cache", "old.git", f"runs/{_RUN}", "cache/east")
    ),
    *(f"clusterbackup/{name}" for name in ("east", "east/ns", "east/ns/0.yaml")),
)
PLACES_OF_A_RUN = tuple(
    f".git-sync/runs/{_RUN}/{name}"
    for name in (
        *("run.json", "shards.json", "plan.rows", "verdict.json", "result.json", "objects"),
        *("baseline", "baseline/east", "listing", "listing/east"),
        *("manifest", "manifest/east", "failure", "failure/east"),
    )
)


# -- trials ---------------------------------------------------------------------------------------


def pairs() -> list[str]:
    """Return the names of all trials: every file at every place, with and without Git."""
    modes = ("with Git", "without Git")
    everywhere = (*PLACES, *PLACES_OF_A_RUN)
    return [
        f"{plant.__name__} at {place} {mode}" for plant in PLANTS for place in everywhere for mode in modes
    ]


def planted(seed: int, count: int, workspace: Path, server: S3Server) -> Counter[str]:
    """Run `count` random trials, chosen by `seed`, or all if there are not more.

    Returns the number of trials by exit code. Raises AssertionError if one fails.
    """
    names = pairs()
    chosen = random.Random(seed).sample(names, min(count, len(names)))
    return Counter(f"exit {pair(name, workspace, server)}" for name in chosen)


def pair(name: str, workspace: Path, server: S3Server) -> int:
    """Run one trial in a separate directory; return the exit code."""
    planted_name, place, mode = re.fullmatch(r"(\S+) at (\S+) (.*)", name).groups()  # type: ignore[union-attr]
    (plant,) = (plant for plant in PLANTS if plant.__name__ == planted_name)
    bucket = new_bucket(server)
    bucket.put_many(OBJECTS)
    directory = Path(tempfile.mkdtemp(prefix="trial-", dir=workspace))
    sync = Sync.between(bucket, bare_repository(directory / "backups.git"), directory / "workspace")
    if mode == "without Git":
        sync = sync.with_settings(GIT_REPOSITORY="")
    code = trial(sync, plant, place, directory)
    for path in directory.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(directory)
    return code


def trial(sync: Sync, plant: Plant, place: str, directory: Path) -> int:
    """Plant the file, run git-sync and check the result; return the exit code."""
    outside = directory / "outside"
    (outside / "directory" / "below").mkdir(parents=True)
    for name in ("file", "directory/file", "directory/below/file"):
        (outside / name).write_bytes(b"precious\n")
    os.mkfifo(outside / "pipe")
    where = f"{plant.__name__} at {place}"
    if place in PLACES_OF_A_RUN:
        assert _call(sync, where, "discover", "--run-id", _RUN).exit == 0
    target = sync.work_dir / place
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    plant(target, outside)
    before = fingerprint(outside)
    if place in PLACES_OF_A_RUN:
        for step in ("download", "detect", "publish"):
            _call(sync, where, step, "--run-id", _RUN)
        result = _call(sync, where, "report", "--run-id", _RUN)
    else:
        result = _call(sync, where, "run")
    assert fingerprint(outside) == before, where
    if result.exit == 0 and place not in PLACES_OF_A_RUN:
        files = contents(sync.repository) if sync.settings["GIT_REPOSITORY"] else _local(sync.work_dir)
        assert files == OBJECTS, where
    return result.exit


def _local(work_dir: Path) -> Mapping[str, bytes]:
    root = work_dir / "clusterbackup"
    return {
        str(file.relative_to(work_dir)): file.read_bytes() for file in root.rglob("*") if not file.is_dir()
    }


_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["steps.commands"])


def _call(sync: Sync, where: str, *arguments: str) -> CommandResult:
    """Run a command in a separate process; it must end, and a failure must be logged."""
    receiver, sender = _context.Pipe(duplex=False)
    process = _context.Process(target=_invoke, args=(sender, arguments, dict(sync.settings)))
    process.start()
    sender.close()
    if not receiver.poll(_SECONDS):
        process.kill()
        raise AssertionError(f"{where}: {arguments[0]} does not end")
    result = CommandResult(*receiver.recv())
    process.join()
    # 10: files of a cluster were damaged; 20: without Git, a planted file in a cluster counts as a deletion.
    assert result.exit in {0, 10, 20, 30, 40}, f"{where}: {result.exit}"
    if result.exit:
        assert result.errors, f"{where}: {arguments[0]} failed without an error"
        # The error must name the planted file, not a temporary one, and must not ask for a bug report.
        for text in ("please report it", ".git-sync-tmp-"):
            assert text not in result.errors, f"{where}: {result.errors}"
    return result


def _invoke(sender: Connection, arguments: tuple[str, ...], settings: dict[str, str]) -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        code = invoke(arguments, settings)
    sender.send((code, out.getvalue()))
    sender.close()
    os._exit(0)  # a download that waits forever must not keep the process alive
