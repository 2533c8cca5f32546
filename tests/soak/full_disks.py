"""WORK_DIR or the remote has no space, no inodes, or is read-only."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.soak.family import Counts, Family, shuffled
from tests.soak.forked import Forked
from tests.soak.git_world import TOKEN
from tests.soak.oracle import Unsafe
from tests.support.gitserver import http_git_server
from tests.support.repositories import bare_repository

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.world import Place, World
    from tests.support.sync import Sync

_STEPS = ("discover", "download", "detect", "publish", "report")
_OBJECT_BYTES = 9000
_KIB = range(4, 404, 12)  # from less than the smallest run needs to more than the largest one
_INODES = range(4, 70)
_MESSAGES = ("no space left on device", "the disk is full", "disk quota", "read-only file system")


def _cases(seed: int) -> Iterator[str]:
    names = [f"{how} with {n} KiB" for how in ("run", "steps", "later run") for n in _KIB]
    names += [f"{how} with {n} inodes" for how in ("run", "steps") for n in _INODES]
    names += [f"{how} with {n} KiB" for how in ("remote", "server") for n in _KIB]
    names += [f"read-only before {step}" for step in (*_STEPS, "run")]
    return shuffled(names, seed)


def _run(place: Place, case: str) -> Counts:
    with place.world(case, proxied=False) as world:
        how, limit = case.split(" before ") if " before " in case else case.split(" with ")
        for key in world.fill():
            world.put(key, world.choice.randbytes(_OBJECT_BYTES))
        if how == "later run":
            world.settle()
            for key in sorted(world.chronicle.now())[::2]:
                world.put(key, world.choice.randbytes(_OBJECT_BYTES))
        at = _on_a_full_remote if how in {"remote", "server"} else _on_a_full_volume
        exits = at(world, how, limit)
        return {f"exit {exit_}": exits.count(exit_) for exit_ in set(exits)}


def _on_a_full_volume(world: World, how: str, limit: str) -> list[int]:
    room = world.sync.work_dir.with_name("small")
    sync = Forked.of(world.sync.elsewhere(room / "work"))
    with file_system(room, _options(limit if how in {"run", "steps"} else "")):
        if how == "later run":
            subprocess.run(["cp", "-a", world.sync.work_dir, sync.work_dir], check=True)
            _limit_free_space(room, limit)
        if how in {"run", "later run"}:
            exits = [_attempt(world, sync, "run")]
        elif how == "steps":
            exits = [_attempt(world, sync, step, "--run-id", "r") for step in _STEPS]
        else:
            exits = _read_only(world, sync, room, limit)
        subprocess.run(["mount", "-o", "remount,rw,size=64m,nr_inodes=100000", room], check=True)
        world.settle(sync)
    return exits


def _read_only(world: World, sync: Sync, room: Path, at: str) -> list[int]:
    before = _STEPS[: _STEPS.index(at)] if at in _STEPS else ()
    for step in before:
        world.attempt(sync, step, "--run-id", "r")
    subprocess.run(["mount", "-o", "remount,ro", room], check=True)
    rest = _STEPS[len(before) :] if at in _STEPS else ("run",)
    exits = [_attempt(world, sync, step, *(("--run-id", "r") if step != "run" else ())) for step in rest]
    if not all(exits):
        raise Unsafe(f"exit codes on a read-only volume: {exits}")
    return exits


def _on_a_full_remote(world: World, how: str, limit: str) -> list[int]:
    """Push to a repository on a small file system, by file:// or through a server."""
    room = world.repository.with_name("small")
    with file_system(room, "size=64m"), http_git_server(room, TOKEN) as server:
        world.repository = world.oracle.repository = bare_repository(room / "backups.git")
        url = server.url_for(world.repository) if how == "server" else f"file://{world.repository}"
        token = TOKEN if how == "server" else ""
        sync = Forked.of(world.sync).with_settings(GIT_REPOSITORY=url, GIT_TOKEN=token, GIT_ALLOW_HTTP="true")
        _limit_free_space(room, limit)
        exits = [_attempt(world, sync, "run")]
        subprocess.run(["mount", "-o", "remount,size=64m", room], check=True)
        world.settle(sync)
    return exits


def _attempt(world: World, sync: Sync, *arguments: str) -> int:
    """Run a command; a failure must name its cause, or the failure of an earlier step."""
    result = world.attempt(sync, *arguments)
    if result.exit and not any(
        text in result.errors.lower() for text in (*_MESSAGES, "failed to find the run")
    ):
        raise Unsafe(f"the error does not name the disk: {result.errors}")
    return result.exit


def _limit_free_space(room: Path, limit: str) -> None:
    """Limit the free space of the file system to this size."""
    result = subprocess.run(["du", "-sk", room], capture_output=True, check=True).stdout
    used = int(result.split(maxsplit=1)[0])
    size = used + int(limit.removesuffix(" KiB"))
    subprocess.run(["mount", "-o", f"remount,size={size}k", room], check=True)


def _options(limit: str) -> str:
    number, _, unit = limit.partition(" ")
    return {"KiB": f"size={number}k", "inodes": f"nr_inodes={number}"}.get(unit, "size=64m")


@contextmanager
def file_system(at: Path, options: str) -> Iterator[None]:
    at.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "git-sync-test", at], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


@cache
def obstacle() -> str:
    """Return the reason why this machine cannot run these cases; "" if it can."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            with file_system(Path(directory) / "small", "size=4k"):
                return ""
        except (OSError, subprocess.CalledProcessError):
            return "mounting a file system of a given size needs root"


FAMILY = Family("full-disk", "A disk is full or read-only", _cases, _run, quick=2, obstacle=obstacle)
