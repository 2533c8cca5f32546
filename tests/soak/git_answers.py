"""The Git server refuses, fails or lies: any request of a run, once or for ever."""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING

from tests.soak.family import Counts, Family, shuffled
from tests.soak.git_world import FOREVER, ONCE, TOKEN, Served, judged, served
from tests.support.repositories import bare_repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.soak.world import Place
    from tests.support.gitbackend import GitRequest

# A run that changes something sends so many requests; of each git process the first one is told to
# bring credentials.
_REQUESTS = 23
_LET_IN = 16

# What passes by itself, and what a person must mend. 200 is a page that is no Git repository.
_PASSING = (429, 500, 502, 503, 200)
_LASTING = (401, 403, 404, 413)


def _cases(seed: int) -> Iterator[str]:
    return shuffled(
        [
            *(
                f"status-{status}-{number}-{spell}"
                for status in (*_PASSING, *_LASTING)
                for number in range(1, _REQUESTS + 1)
                for spell in (ONCE, FOREVER)
            ),
            *(
                f"{kind}-{what}-{number}-{spell}"
                for kind in ("reads", "refs")
                for what in ("lagging", "behind", "empty")
                for number in range(1, _LET_IN + 1)
                for spell in (ONCE, FOREVER)
            ),
            *(
                f"{kind}-from-{number}-{FOREVER}"
                for kind in ("expired", "rotated", "gone")
                for number in range(1, _LET_IN + 1)
            ),
        ],
        seed,
    )


def _run(place: Place, case: str) -> Counts:
    kind, what, at, spell = case.split("-")
    with served(place, case) as ours:
        hits = _Hits(int(at), lasting=spell == FOREVER)
        exits = _KINDS[kind](ours, what, hits)
        result = ours.world.sync()
        _mend(ours)
        ours.world.oracle.check()
        return judged(ours.world, result, exits, struck=min(len(hits.seen), 1))


def _mend(ours: Served) -> None:
    world, server = ours.world, ours.server
    server.answer = server.before = server.serve = None
    server.token = world.sync.settings["GIT_TOKEN"] or server.token
    if (gone := _renamed(world.repository)).exists():
        gone.rename(world.repository)


def _renamed(repository: Path) -> Path:
    return repository.with_name("gone.git")


class _Hits:
    """Whether it is this request's turn: the `at`-th (from 1), or from it on."""

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


def _status(ours: Served, status: str, hits: _Hits) -> set[int]:
    ours.server.answer = lambda _: int(status) if hits.next() else None
    if int(status) in _LASTING:
        return {0, 40}
    return {0, 30} if hits.lasting else {0}


def _reads(ours: Served, what: str, hits: _Hits) -> set[int]:
    """A replica that lags, or knows nothing, answers in the repository's place; a push meets the real one."""
    false = _false(ours, what)
    ours.server.serve = lambda request: (
        false if request.service == "git-upload-pack" and hits.next() else None
    )
    return {0, 30} if hits.lasting else {0}


def _refs(ours: Served, what: str, hits: _Hits) -> set[int]:
    """The same where the push is told the false refs too, before it meets the real ones."""
    false = _false(ours, what)
    ours.server.serve = lambda request: false if not _is_push(request) and hits.next() else None
    return {0, 30} if hits.lasting else {0}


def _false(ours: Served, what: str) -> Path:
    """A repository that holds what the real one held before this run, or somebody's last commit, or ever."""
    real = ours.world.repository
    false = real.with_name("false.git")
    if what == "empty":
        return bare_repository(false)
    shutil.copytree(real, false)
    if what == "behind":
        ours.world.somebody_commits({"README.md": b"theirs\n"})
    return false


def _is_push(request: GitRequest) -> bool:
    return request.service == "git-receive-pack" and request.method == "POST"


def _expired(ours: Served, _: str, hits: _Hits) -> set[int]:
    """The token is valid until this request is let in."""

    def expire(_: GitRequest) -> None:
        if hits.next():
            ours.server.token = "another-token"

    ours.server.before = expire
    return {0, 40}


def _rotated(ours: Served, _: str, hits: _Hits) -> set[int]:
    """The same, and the new token is in the file at that instant: later git processes know it."""
    file = ours.world.repository.with_name("token")
    file.write_text(TOKEN)
    ours.world.sync = ours.world.sync.with_settings(GIT_TOKEN="", GIT_TOKEN_FILE=str(file))

    def rotate(_: GitRequest) -> None:
        if hits.next():
            ours.server.token = "another-token"
            file.write_text("another-token")

    ours.server.before = rotate
    return {0, 40}  # a process that has read the old one cannot know


def _gone(ours: Served, _: str, hits: _Hits) -> set[int]:
    """The repository is renamed before this request."""
    repository = ours.world.repository

    def rename(_: GitRequest) -> None:
        if hits.next() and repository.exists():
            repository.rename(_renamed(repository))

    ours.server.before = rename
    return {0, 40}


_KINDS: Mapping[str, Callable[[Served, str, _Hits], set[int]]] = {
    "status": _status,
    "reads": _reads,
    "refs": _refs,
    "expired": _expired,
    "rotated": _rotated,
    "gone": _gone,
}

FAMILY = Family("git-answers", "The Git server refuses, fails or lies", _cases, _run, quick=3)
