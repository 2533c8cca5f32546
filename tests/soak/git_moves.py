"""Another user moves, rewrites, deletes or replaces the branch, before each request of a run."""

from __future__ import annotations

import itertools
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from subprocess import CalledProcessError
from typing import TYPE_CHECKING

from tests.soak.family import Counts, Family, shuffled
from tests.soak.git_world import FOREVER, Served, expect_exit, served, sync_once, verify_recovery
from tests.support.faults import Change, when
from tests.support.repositories import bare_repository, branches, git, log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.soak.world import Place, World
    from tests.support.gitbackend import GitRequest
    from tests.support.sync import CommandResult, Sync

_BRANCH = "refs/heads/main"

# Accepted requests: discover sends 5, then publish fetches (5), pushes (2), asks for the refs (2) and fetches
# the commit to compare it with (2).
_FROM_DISCOVER, _FROM_PUBLISH = 16, 11


# -- commits of other users -----------------------------------------------------------------------


def _elsewhere(world: World) -> None:
    world.commit_as_other_user({"README.md": b"theirs\n", "docs/notes.md": b"theirs\n"})


def _under(world: World) -> None:
    key = min(world.chronicle.now())
    world.commit_as_other_user({key: b"theirs\n", key.rpartition("/")[0] + "/stray.yaml": b"theirs\n"})


def _removal(world: World) -> None:
    world.commit_as_other_user({"clusterbackup/west": None})


def _link(world: World) -> None:
    world.commit_as_other_user({max(world.chronicle.now()): ("120000", b"/etc/passwd")})


def _many(world: World) -> None:
    """Add more commits than publish reads at first."""
    tree, commit = f"{_BRANCH}^{{tree}}", git(world.repository, "rev-parse", _BRANCH).decode().strip()
    for number in range(60):
        made = git(world.repository, "commit-tree", tree, "-p", commit, "-m", f"theirs {number}")
        commit = made.decode().strip()
        world.oracle.foreign.add(commit)
    git(world.repository, "update-ref", _BRANCH, commit)


# -- rewritten history ----------------------------------------------------------------------------


def _back(world: World) -> None:
    git(world.repository, "update-ref", _BRANCH, f"{_BRANCH}~2")


def _squash(world: World) -> None:
    _replace(world, "commit-tree", f"{_BRANCH}^{{tree}}", "-m", "squashed")


def _amend(world: World) -> None:
    _replace(world, "commit-tree", f"{_BRANCH}^{{tree}}", "-p", f"{_BRANCH}~1", "-m", "amended")


def _replace(world: World, *command: str) -> None:
    commit = git(world.repository, *command).decode().strip()
    world.oracle.foreign.add(commit)
    git(world.repository, "update-ref", _BRANCH, commit)


def _orphan(world: World) -> None:
    _delete(world)
    world.commit_as_other_user({"README.md": b"another history\n"})


def _delete(world: World) -> None:
    git(world.repository, "update-ref", "-d", _BRANCH)


def _new_repository(world: World) -> None:
    shutil.rmtree(world.repository)
    bare_repository(world.repository)


_COMMITS = {"elsewhere": _elsewhere, "under": _under, "removal": _removal, "link": _link, "many": _many}
_REWRITES = {
    "back": _back,
    "squash": _squash,
    "amend": _amend,
    "orphan": _orphan,
    "delete": _delete,
    "new": _new_repository,
}
_OTHERS = ("newer", "older")

# A "plain" host has no partial clone and serves no objects by id. There a run fetches all blobs of the
# branch, so that git could push over another commit; elsewhere the missing blobs prevent it.
_HOSTS = ("full", "plain")


def _cases(seed: int) -> Iterator[str]:
    anywhere = [str(number) for number in range(1, _FROM_DISCOVER + 1)]
    return shuffled(
        [
            *(f"{h}-{move}-{at}" for h in _HOSTS for move in _COMMITS for at in (*anywhere, FOREVER)),
            *(f"{h}-{move}-{at}" for h in _HOSTS for move in _REWRITES for at in anywhere),
            *(f"sync-{move}-{number}" for move in _OTHERS for number in range(1, _FROM_PUBLISH + 1)),
        ],
        seed,
    )


def _run(place: Place, case: str) -> Counts:
    host, move, at = case.split("-")
    with served(place, case, proxied=host == "sync") as setup:
        if host == "sync":
            return _other_sync(place, setup, move, at)
        if host == "plain":
            git(setup.world.repository, "config", "uploadpack.allowFilter", "false")
            git(setup.world.repository, "config", "uploadpack.allowAnySHA1InWant", "false")
        if move in _COMMITS:
            return _other_commit(setup, move, at)
        return _rewrite(setup, _REWRITES[move], at)


def _other_commit(setup: Served, move: str, at: str) -> Counts:
    """Keep the other commit in the history, and restore the files below GIT_PATH."""
    world = setup.world
    result, moves = _run_with_moves(setup, lambda: _COMMITS[move](world), at)
    # A change after this run's commit needs one more commit to restore the files.
    moved_later = log(world.repository)[0] in world.oracle.foreign and move not in {"elsewhere", "many"}
    forever = at == FOREVER
    return verify_recovery(
        world,
        result,
        {30} if forever else {0},
        triggered=moves,
        commits=2 + (moved_later and not forever),
        exact=not moved_later,
    )


def _rewrite(setup: Served, move: Callable[[World], None], at: str) -> Counts:
    """Restore the newest content after a rewrite, in this run if its commit is still there.

    A run that loses the last pushed commit while it publishes exits 30; the next one asks for an approval.
    """
    world = setup.world
    sync_once(world)

    def rewrite() -> None:
        move(world)
        world.oracle.rewritten()

    result, moves = _run_with_moves(setup, rewrite, at)
    made = result.complete["git_commit"]
    moved_later = made is not None and made not in (
        log(world.repository) if branches(world.repository) else []
    )
    return verify_recovery(world, result, {0, 10, 30}, triggered=moves, commits=None, exact=not moved_later)


def _other_sync(place: Place, setup: Served, which: str, at: str) -> Counts:
    """Publish a run of another volume, with an older or newer listing, while this one publishes."""
    world = setup.world
    copy = world.repository.with_name("copy.git")
    shutil.copytree(world.repository, copy)
    other = world.volume("other").with_settings(GIT_REPOSITORY=f"file://{copy}")
    if which == "older":
        _prepare(place, world, other, minutes=-2)
        world.change()
        _prepare(place, world, world.sync)
    else:
        _prepare(place, world, world.sync)
        world.change()
        _prepare(place, world, other, minutes=2)
    expect_exit(other("publish"), {0})

    def push_other() -> None:
        with suppress(CalledProcessError):  # not a fast-forward: this run has pushed before
            git(world.repository, "fetch", "--quiet", str(copy), f"{_BRANCH}:{_BRANCH}")

    result, moves = _run_with_moves(setup, push_other, at, "publish")
    return verify_recovery(world, result, {0}, triggered=moves, commits=None, exact=False)


def _prepare(place: Place, world: World, sync: Sync, minutes: int = 0) -> None:
    """Run all steps before publish, with the store's clock ahead: it determines the order of listings."""
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    place.proxy.clear()
    place.proxy.install(when(lambda _: True, Change(headers=lambda headers: headers | {"date": date})))
    for step in ("discover", "download", "detect"):
        expect_exit(world.attempt(sync, step), {0})
    place.proxy.clear()


def _run_with_moves(
    setup: Served, move: Callable[[], None], at: str, *arguments: str
) -> tuple[CommandResult, int]:
    """Run with `move` before one accepted request (from 1) or before every push; count the moves."""
    numbers = itertools.count(1)
    moves: list[int] = []

    def before(request: GitRequest) -> None:
        number = next(numbers)
        pushes = request.service == "git-receive-pack" and request.method == "POST"
        if str(number) == at or (at == FOREVER and pushes):
            move()
            moves.append(number)

    setup.server.before = before
    result = setup.world.attempt(None, *arguments)
    setup.server.before = None
    return result, len(moves)


FAMILY = Family("git-moves", "The branch is moved or rewritten during a run", _cases, _run, quick=2)
