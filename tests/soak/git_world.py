"""What the Git families share: a world behind a real Git server, and the judgement of a run with a fault."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from steps.clients.git import config
from steps.core.message import parse_trailers
from tests.soak.oracle import Unsafe
from tests.support.gitserver import http_git_server
from tests.support.repositories import branches, git, log
from tests.support.tcp_proxy import wire_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.soak.family import Counts
    from tests.soak.world import Place, World
    from tests.support.gitserver import GitServer
    from tests.support.sync import CommandResult
    from tests.support.tcp_proxy import Wire

    Serve = Callable[[Path, str], AbstractContextManager[GitServer]]

TOKEN = "the-token"
ONCE, FOREVER = "once", "forever"
_CONFLICT = "Git conflict detected"


class Served(NamedTuple):
    """A world whose repository is reached over HTTP, through a wire."""

    world: World
    server: GitServer
    wire: Wire


@contextmanager
def served(
    place: Place, case: str, *, begun: bool = True, proxied: bool = False, serve: Serve = http_git_server
) -> Iterator[Served]:
    """A world for `case`; unless it is not `begun` one run is over, and the next one has all to do."""
    with (
        place.world(case, proxied=proxied) as world,
        serve(place.root, TOKEN) as server,
        wire_to(server.url.partition("://")[2]) as wire,
    ):
        url = server.url_for(world.repository).replace(server.url.partition("://")[2], wire.endpoint)
        world.sync = world.sync.with_settings(
            GIT_REPOSITORY=url, GIT_TOKEN=TOKEN, GIT_ALLOW_HTTP="true", GIT_CA_FILE=str(server.ca_file or "")
        )
        world.fill(objects=3)
        if begun:
            begin(world)
        yield Served(world, server, wire)


def begin(world: World) -> None:
    """Commit once; then somebody else does, so that the next run fetches, and the bucket changes."""
    ended(world.attempt(), {0})
    world.somebody_commits({"NOTES.md": b"%d\n" % world.choice.randrange(10**9)})
    world.change()


@contextmanager
def impatient() -> Iterator[None]:
    """Give a silent server up at once; on a busy machine that may be a living one."""
    patience = config._SILENCE_SECONDS, config._ALIVE_SECONDS
    config._SILENCE_SECONDS = config._ALIVE_SECONDS = 1
    try:
        yield
    finally:
        config._SILENCE_SECONDS, config._ALIVE_SECONDS = patience


def ended(result: CommandResult, exits: set[int]) -> None:
    """Raise unless the run ended with one of these, and said one clear thing if it came to nothing."""
    if result.exit not in exits:
        raise Unsafe(f"ended {result.exit}, not {sorted(exits)}: {result.errors}")
    errors = [line for line in result.lines if line["level"] == "error" and line["message"] != _CONFLICT]
    clear = [line for line in errors if line["operation"].startswith("git_") and line["error"]]
    if len(clear) != (result.exit in {30, 40}):
        raise Unsafe(f"ended {result.exit} with {len(clear)} errors: {result.errors}")


def judged(
    world: World,
    result: CommandResult,
    exits: set[int],
    *,
    struck: int,
    commits: int | None = 2,
    exact: bool = True,
) -> Counts:
    """Judge how a run with a fault ended, and what comes after it: as many `commits` as there were changes,
    and nobody else's lost; None where they have rewritten the branch.

    Where it ended 0 the branch must be `exact` at once, if nobody touched it since.
    """
    ended(result, exits)
    if result.exit == 0 and exact:
        world.oracle.check_exact(world.chronicle.now())
    landed = result.exit in {30, 40} and len(own_commits(world)) == commits
    world.settle()
    made = own_commits(world)
    if len(set(made)) != len(made):
        raise Unsafe(f"a run has committed twice: {made}")
    if commits is not None and len(made) != commits:
        raise Unsafe(f"{len(made)} commits for {commits} changes")
    if commits is not None and (gone := world.oracle.foreign - set(log(world.repository))):
        raise Unsafe(f"somebody's commits are gone: {gone}")
    return {
        "commits": len(made),
        "faults that struck": struck,
        f"exit {result.exit}": 1,
        "landed though the run failed": int(landed),
    }


def own_commits(world: World) -> list[str]:
    """The ids of the runs that have committed, newest first."""
    if "main" not in branches(world.repository):
        return []
    messages = git(world.repository, "log", "-z", "--format=%B", "main").decode().split("\0")
    return [run_id for text in messages if (run_id := parse_trailers(text).run_id)]
