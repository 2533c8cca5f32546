"""Somebody else moves, rewrites, removes or replaces the branch: before each request of a run."""

from __future__ import annotations

import itertools
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from subprocess import CalledProcessError
from typing import TYPE_CHECKING

from tests.soak.family import Counts, Family, shuffled
from tests.soak.git_world import FOREVER, Served, begin, ended, judged, served
from tests.support.faults import Change, when
from tests.support.repositories import bare_repository, branches, git, log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.soak.world import Place, World
    from tests.support.gitbackend import GitRequest
    from tests.support.sync import CommandResult, Sync

_BRANCH = "refs/heads/main"

# Requests that are let in: discover sends the first 5, then publish fetches (5), pushes (2), looks at
# the remote (2) and fetches what the commit is compared with (2).
_FROM_DISCOVER, _FROM_PUBLISH = 16, 11


# -- what a person does -----------------------------------------------------------------------------


def _elsewhere(world: World) -> None:
    world.somebody_commits({"README.md": b"theirs\n", "docs/notes.md": b"theirs\n"})


def _under(world: World) -> None:
    key = min(world.chronicle.now())
    world.somebody_commits({key: b"theirs\n", key.rpartition("/")[0] + "/stray.yaml": b"theirs\n"})


def _removal(world: World) -> None:
    world.somebody_commits({"clusterbackup/west": None})


def _link(world: World) -> None:
    world.somebody_commits({max(world.chronicle.now()): ("120000", b"/etc/passwd")})


def _many(world: World) -> None:
    """More commits than publish looks back at first."""
    tree, commit = f"{_BRANCH}^{{tree}}", git(world.repository, "rev-parse", _BRANCH).decode().strip()
    for number in range(60):
        made = git(world.repository, "commit-tree", tree, "-p", commit, "-m", f"theirs {number}")
        commit = made.decode().strip()
        world.oracle.foreign.add(commit)
    git(world.repository, "update-ref", _BRANCH, commit)


# -- what a person should not do ------------------------------------------------------------------


def _back(world: World) -> None:
    git(world.repository, "update-ref", _BRANCH, f"{_BRANCH}~2")


def _squash(world: World) -> None:
    _replace(world, "commit-tree", f"{_BRANCH}^{{tree}}", "-m", "one commit will do")


def _amend(world: World) -> None:
    _replace(world, "commit-tree", f"{_BRANCH}^{{tree}}", "-p", f"{_BRANCH}~1", "-m", "amended")


def _replace(world: World, *command: str) -> None:
    commit = git(world.repository, *command).decode().strip()
    world.oracle.foreign.add(commit)
    git(world.repository, "update-ref", _BRANCH, commit)


def _orphan(world: World) -> None:
    _delete(world)
    world.somebody_commits({"README.md": b"another history\n"})


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

# A plain one knows no partial clone and gives no objects by id. There a run has all blobs of the branch, and
# so could overwrite somebody's commit; elsewhere it could not even pack one that does.
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
    with served(place, case, proxied=host == "sync") as ours:
        if host == "sync":
            return _other_sync(place, ours, move, at)
        if host == "plain":
            git(ours.world.repository, "config", "uploadpack.allowFilter", "false")
            git(ours.world.repository, "config", "uploadpack.allowAnySHA1InWant", "false")
        if move in _COMMITS:
            return _person(ours, move, at)
        return _rewrite(ours, _REWRITES[move], at)


def _person(ours: Served, move: str, at: str) -> Counts:
    """Built upon, wherever it comes; what is under our paths is changed back."""
    world = ours.world
    result, moves = _meanwhile(ours, lambda: _COMMITS[move](world), at)
    # What comes after the run's own commit takes one more to change it back.
    late = log(world.repository)[0] in world.oracle.foreign and move not in {"elsewhere", "many"}
    forever = at == FOREVER
    return judged(
        world,
        result,
        {30} if forever else {0},
        struck=moves,
        commits=2 + (late and not forever),
        exact=not late,
    )


def _rewrite(ours: Served, move: Callable[[World], None], at: str) -> Counts:
    """Whatever they leave: nothing older comes back, and all is there; at once, if the commit stays."""
    world = ours.world
    begin(world)

    def rewrite() -> None:
        move(world)
        world.oracle.rewritten()

    result, moves = _meanwhile(ours, rewrite, at)
    made = result.complete["git_commit"]
    late = made is not None and made not in (log(world.repository) if branches(world.repository) else [])
    return judged(world, result, {0, 10}, struck=moves, commits=None, exact=not late)


def _other_sync(place: Place, ours: Served, which: str, at: str) -> Counts:
    """Another volume's run, of a listing before or after ours, lands while we publish."""
    world = ours.world
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
    ended(other("publish"), {0})

    def land() -> None:
        with suppress(CalledProcessError):  # no fast-forward any more: ours has landed
            git(world.repository, "fetch", "--quiet", str(copy), f"{_BRANCH}:{_BRANCH}")

    result, moves = _meanwhile(ours, land, at, "publish")
    return judged(world, result, {0}, struck=moves, commits=None, exact=False)


def _prepare(place: Place, world: World, sync: Sync, minutes: int = 0) -> None:
    """All but publish, at a store whose clock is so much ahead: listings are ordered by it."""
    ahead = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    place.proxy.clear()
    place.proxy.install(when(lambda _: True, Change(headers=lambda headers: headers | {"date": ahead})))
    for step in ("discover", "download", "detect"):
        ended(world.attempt(sync, step), {0})
    place.proxy.clear()


def _meanwhile(ours: Served, move: Callable[[], None], at: str, *arguments: str) -> tuple[CommandResult, int]:
    """Run, let them move before this request that is let in (from 1) or before every push; how often?"""
    numbers = itertools.count(1)
    moves: list[int] = []

    def before(request: GitRequest) -> None:
        number = next(numbers)
        pushes = request.service == "git-receive-pack" and request.method == "POST"
        if str(number) == at or (at == FOREVER and pushes):
            move()
            moves.append(number)

    ours.server.before = before
    result = ours.world.attempt(None, *arguments)
    ours.server.before = None
    return result, len(moves)


FAMILY = Family("git-moves", "Somebody moves or rewrites the branch meanwhile", _cases, _run, quick=3)
