"""The Git server refuses, fails or returns false answers: for each request of a run, once or always."""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING

from tests.soak.family import Counts, Family, shuffled
from tests.soak.git_world import FOREVER, ONCE, TOKEN, Served, served, verify_recovery
from tests.support.repositories import bare_repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.soak.world import Place
    from tests.support.gitbackend import GitRequest

# A run with changes sends this many requests. The first request of each git process is answered with 401,
# so fewer are accepted.
_REQUESTS = 23
_ACCEPTED = 16

# Transient faults, and faults that a person must fix. 200 is a page that is not a Git repository; git takes
# it for a broken connection if it answers a POST.
_TRANSIENT = (429, 500, 502, 503)
_PERMANENT = (401, 403, 404, 413, 200)


def _cases(seed: int) -> Iterator[str]:
    return shuffled(
        [
            *(
                f"status-{status}-{number}-{duration}"
                for status in (*_TRANSIENT, *_PERMANENT)
                for number in range(1, _REQUESTS + 1)
                for duration in (ONCE, FOREVER)
            ),
            *(
                f"{kind}-{what}-{number}-{duration}"
                for kind in ("reads", "refs")
                for what in ("lagging", "behind", "empty")
                for number in range(1, _ACCEPTED + 1)
                for duration in (ONCE, FOREVER)
            ),
            *(
                f"{kind}-from-{number}-{FOREVER}"
                for kind in ("expired", "rotated", "renamed")
                for number in range(1, _ACCEPTED + 1)
            ),
        ],
        seed,
    )


def _run(place: Place, case: str) -> Counts:
    kind, what, at, duration = case.split("-")
    with served(place, case) as setup:
        selection = _Selection(int(at), lasting=duration == FOREVER)
        exits = _KINDS[kind](setup, what, selection)
        result = setup.world.sync()
        _repair(setup)
        setup.world.oracle.check()
        return verify_recovery(setup.world, result, exits, triggered=min(len(selection.seen), 1))


def _repair(setup: Served) -> None:
    world, server = setup.world, setup.server
    server.answer = server.before = server.serve = None
    server.token = world.sync.settings["GIT_TOKEN"] or server.token
    if (gone := _renamed(world.repository)).exists():
        gone.rename(world.repository)


def _renamed(repository: Path) -> Path:
    return repository.with_name("gone.git")


class _Selection:
    """Selects the `at`-th request (from 1), and with `lasting` every later one."""

    def __init__(self, at: int, *, lasting: bool) -> None:
        self.at, self.lasting = at, lasting
        self.seen: list[int] = []
        self._numbers = itertools.count(1)

    def next(self) -> bool:
        number = next(self._numbers)
        hit = number == self.at or (self.lasting and number > self.at)
        if hit:
            self.seen.append(number)
        return hit


def _status(setup: Served, status: str, selection: _Selection) -> set[int]:
    setup.server.answer = lambda _: int(status) if selection.next() else None
    if int(status) == 200:
        return {0, 30, 40} if selection.lasting else {0, 40}
    if int(status) in _PERMANENT:
        return {0, 40}
    return {0, 30} if selection.lasting else {0}


def _reads(setup: Served, what: str, selection: _Selection) -> set[int]:
    """Serve fetches from a replica that lags or is empty; pushes go to the real repository."""
    replica = _replica(setup, what)
    setup.server.serve = lambda request: (
        replica if request.service == "git-upload-pack" and selection.next() else None
    )
    return _exits_with_replica(what, selection)


def _refs(setup: Served, what: str, selection: _Selection) -> set[int]:
    """Serve fetches and the refs for a push from such a replica; pushes go to the real repository."""
    replica = _replica(setup, what)
    setup.server.serve = lambda request: replica if not _is_push(request) and selection.next() else None
    return _exits_with_replica(what, selection)


def _exits_with_replica(what: str, selection: _Selection) -> set[int]:
    """An empty replica looks as if the branch had been deleted, which the branch guard refuses."""
    lasting = {0, 20, 30} if what == "empty" else {0, 30}
    return lasting if selection.lasting else {0}


def _replica(setup: Served, what: str) -> Path:
    """Create a replica: a copy from before this run or before another user's commit, or an empty one."""
    real = setup.world.repository
    replica = real.with_name("replica.git")
    if what == "empty":
        return bare_repository(replica)
    shutil.copytree(real, replica)
    if what == "behind":
        setup.world.commit_as_other_user({"README.md": b"theirs\n"})
    return replica


def _is_push(request: GitRequest) -> bool:
    return request.service == "git-receive-pack" and request.method == "POST"


def _expired(setup: Served, _: str, selection: _Selection) -> set[int]:
    """Invalidate the token at this request."""

    def expire(_: GitRequest) -> None:
        if selection.next():
            setup.server.token = "another-token"

    setup.server.before = expire
    return {0, 40}


def _rotated(setup: Served, _: str, selection: _Selection) -> set[int]:
    """Replace the token and its file at this request: later git processes read the new one."""
    file = setup.world.repository.with_name("token")
    file.write_text(TOKEN)
    setup.world.sync = setup.world.sync.with_settings(GIT_TOKEN="", GIT_TOKEN_FILE=str(file))

    def rotate(_: GitRequest) -> None:
        if selection.next():
            setup.server.token = "another-token"
            file.write_text("another-token")

    setup.server.before = rotate
    return {0, 40}  # a git process keeps the token that it has read


def _renamed_away(setup: Served, _: str, selection: _Selection) -> set[int]:
    """Rename the repository before this request."""
    repository = setup.world.repository

    def rename(_: GitRequest) -> None:
        if selection.next() and repository.exists():
            repository.rename(_renamed(repository))

    setup.server.before = rename
    return {0, 40}


_KINDS: Mapping[str, Callable[[Served, str, _Selection], set[int]]] = {
    "status": _status,
    "reads": _reads,
    "refs": _refs,
    "expired": _expired,
    "rotated": _rotated,
    "renamed": _renamed_away,
}

FAMILY = Family(
    "git-answers", "The Git server refuses, fails or returns false answers", _cases, _run, quick=2
)
