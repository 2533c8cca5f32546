"""Things that somebody has laid into WORK_DIR, and runs that must take no harm from them.

A run must end, with an exit code that says what is, and with a clear word; and outside of WORK_DIR
nothing may have changed.
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
_SECONDS = 60  # a run takes one; whoever needs more waits for something that never comes
_RUN = "planted"

# -- what can be planted ----------------------------------------------------------------------


def link_to_directory(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "directory")


def link_to_file(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "file")


def link_to_nothing(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "to-be-made")


def link_to_a_spring(place: Path, _outside: Path) -> None:
    place.symlink_to("/dev/zero")


def link_to_a_listener(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "pipe")


def link_to_itself(place: Path, _outside: Path) -> None:
    place.symlink_to(place.name)


def hard_link(place: Path, outside: Path) -> None:
    os.link(outside / "file", place)


def pipe(place: Path, _outside: Path) -> None:
    os.mkfifo(place)


def unix_socket(place: Path, _outside: Path) -> None:
    here = os.getcwd()
    os.chdir(place.parent)  # the path of a socket may have no more than a hundred letters
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


def bolted_file(place: Path, _outside: Path) -> None:
    place.write_bytes(b"x")
    place.chmod(0)


def bolted_directory(place: Path, _outside: Path) -> None:
    full_directory(place, _outside)
    place.chmod(0)


Plant = Callable[[Path, Path], None]
PLANTS: tuple[Plant, ...] = (
    *(link_to_directory, link_to_file, link_to_nothing, link_to_a_spring, link_to_a_listener, link_to_itself),
    *((device,) if os.geteuid() == 0 else ()),  # only root makes them
    *(hard_link, pipe, unix_socket, empty_directory, full_directory, sparse_file),
    *(bolted_file, bolted_directory),
)

# Every path that git-sync writes to; those of a run, after discover has made it.
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


# -- and what comes of it ---------------------------------------------------------------------


def pairs() -> list[str]:
    """Every thing at every place, with Git and without, as the names of trials."""
    modes = ("with Git", "without Git")
    everywhere = (*PLACES, *PLACES_OF_A_RUN)
    return [
        f"{plant.__name__} at {place} {mode}" for plant in PLANTS for place in everywhere for mode in modes
    ]


def planted(seed: int, count: int, workspace: Path, server: S3Server) -> Counter[str]:
    """Make `count` trials that `seed` chooses (all of them, if it is large enough).

    Returns how many ended with which exit code. Raises AssertionError where anything went wrong.
    """
    names = pairs()
    chosen = random.Random(seed).sample(names, min(count, len(names)))
    return Counter(f"exit {pair(name, workspace, server)}" for name in chosen)


def pair(name: str, workspace: Path, server: S3Server) -> int:
    """Make the trial of that name in a room of its own, and return the exit code."""
    thing, place, mode = re.fullmatch(r"(\S+) at (\S+) (.*)", name).groups()  # type: ignore[union-attr]
    (plant,) = (plant for plant in PLANTS if plant.__name__ == thing)
    bucket = new_bucket(server)
    bucket.put_many(OBJECTS)
    room = Path(tempfile.mkdtemp(prefix="trial-", dir=workspace))
    sync = Sync.between(bucket, bare_repository(room / "backups.git"), room / "workspace")
    if mode == "without Git":
        sync = sync.with_settings(GIT_REPOSITORY="")
    code = trial(sync, plant, place, room)
    for bolted in room.rglob("*"):
        if bolted.is_dir() and not bolted.is_symlink():
            bolted.chmod(0o700)
    shutil.rmtree(room)
    return code


def trial(sync: Sync, plant: Plant, place: str, room: Path) -> int:
    """Plant it, and run; the exit code, once nothing is found wrong."""
    outside = room / "outside"
    (outside / "directory" / "below").mkdir(parents=True)
    for name in ("file", "directory/file", "directory/below/file"):
        (outside / name).write_bytes(b"precious\n")
    os.mkfifo(outside / "pipe")
    where = f"{plant.__name__} at {place}"
    if place in PLACES_OF_A_RUN:
        assert _call(sync, where, "discover", "--run-id", _RUN).exit == 0
    spot = sync.work_dir / place
    spot.parent.mkdir(parents=True, exist_ok=True)
    if spot.is_dir():
        shutil.rmtree(spot)
    spot.unlink(missing_ok=True)
    plant(spot, outside)
    before = fingerprint(outside)
    if place in PLACES_OF_A_RUN:
        for step in ("download", "detect", "publish"):
            _call(sync, where, step, "--run-id", _RUN)
        result = _call(sync, where, "report", "--run-id", _RUN)
    else:
        result = _call(sync, where, "run")
    assert fingerprint(outside) == before, where
    if result.exit == 0 and place not in PLACES_OF_A_RUN:
        held = contents(sync.repository) if sync.settings["GIT_REPOSITORY"] else _local(sync.work_dir)
        assert held == OBJECTS, where
    return result.exit


def _local(work_dir: Path) -> Mapping[str, bytes]:
    root = work_dir / "clusterbackup"
    return {
        str(file.relative_to(work_dir)): file.read_bytes() for file in root.rglob("*") if not file.is_dir()
    }


_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["steps.commands"])


def _call(sync: Sync, where: str, *arguments: str) -> CommandResult:
    """A command in a process of its own, which must end, and say why if it does not end well."""
    answer, question = _context.Pipe(duplex=False)
    process = _context.Process(target=_answer, args=(question, arguments, dict(sync.settings)))
    process.start()
    question.close()
    if not answer.poll(_SECONDS):
        process.kill()
        raise AssertionError(f"{where}: {arguments[0]} hangs")
    result = CommandResult(*answer.recv())
    process.join()
    # 10: a cluster's files were damaged; 20: what lies among the objects without Git is taken for lost ones.
    assert result.exit in {0, 10, 20, 30, 40}, f"{where}: {result.exit}"
    if result.exit:
        assert result.errors, f"{where}: {arguments[0]} says nothing"
        # What is in the way must be named, and not our own temporary file; and it is no bug to report.
        for word in ("please report it", ".git-sync-tmp-"):
            assert word not in result.errors, f"{where}: {result.errors}"
    return result


def _answer(question: Connection, arguments: tuple[str, ...], settings: dict[str, str]) -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        code = invoke(arguments, settings)
    question.send((code, out.getvalue()))
    question.close()
    os._exit(0)  # a download that waits for ever must not keep the process
