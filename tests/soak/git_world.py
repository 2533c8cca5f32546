"""Shared by the Git families: a world behind a real Git server, and the checks after a run with a fault."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from steps.clients.git import config
from steps.core.message import parse_trailers
from tests.soak.oracle import Unsafe
from tests.support.gitserver import http_git_server
from tests.support.repositories import branches, git, log
from tests.support.tcp_proxy import tcp_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.soak.family import Counts
    from tests.soak.world import Place, World
    from tests.support.gitserver import GitServer
    from tests.support.sync import CommandResult
    from tests.support.tcp_proxy import TcpProxy

    Serve = Callable[[Path, str], AbstractContextManager[GitServer]]

TOKEN = "the-token"
ONCE, FOREVER = "once", "forever"
_CONFLICT = "Git conflict detected"


class Served(NamedTuple):
    """A world whose repository is reached over HTTP, through a TCP proxy."""

    world: World
    server: GitServer
    proxy: TcpProxy


@contextmanager
def served(
    place: Place, case: str, *, synced: bool = True, proxied: bool = False, serve: Serve = http_git_server
) -> Iterator[Served]:
    """Yield a world for `case`; if `synced`, after one run and with changes for the next one."""
    with (
        place.world(case, proxied=proxied) as world,
        serve(place.root, TOKEN) as server,
        tcp_proxy(server.url.partition("://")[2]) as proxy,
    ):
        url = server.url_for(world.repository).replace(server.url.partition("://")[2], proxy.endpoint)
        world.sync = world.sync.with_settings(
            GIT_REPOSITORY=url, GIT_TOKEN=TOKEN, GIT_ALLOW_HTTP="true", GIT_CA_FILE=str(server.ca_file or "")
        )
        world.fill(objects=3)
        if synced:
            sync_once(world)
        yield Served(world, server, proxy)


def sync_once(world: World) -> None:
    """Run once, then commit as another user, so that the next run fetches, and change the bucket."""
    expect_exit(world.attempt(), {0})
    world.commit_as_other_user({"NOTES.md": b"%d\n" % world.choice.randrange(10**9)})
    world.change()


@contextmanager
def short_timeouts() -> Iterator[None]:
    """Give up a silent server after one second; on a busy machine it may only be slow."""
    timeouts = config._SILENCE_SECONDS, config._ALIVE_SECONDS
    config._SILENCE_SECONDS = config._ALIVE_SECONDS = 1
    try:
        yield
    finally:
        config._SILENCE_SECONDS, config._ALIVE_SECONDS = timeouts


def expect_exit(result: CommandResult, exits: set[int]) -> None:
    """Raise unless the run ended with one of these exit codes, and with one clear error if it failed."""
    if result.exit not in exits:
        raise Unsafe(f"exit code {result.exit}, not {sorted(exits)}: {result.errors}")
    errors = [line for line in result.lines if line["level"] == "error" and line["message"] != _CONFLICT]
    clear = [line for line in errors if line["operation"].startswith("git_") and line["error"]]
    if len(clear) != (result.exit in {20, 30, 40}):
        raise Unsafe(f"exit code {result.exit} with {len(clear)} errors: {result.errors}")


def verify_recovery(
    world: World,
    result: CommandResult,
    exits: set[int],
    *,
    triggered: int,
    commits: int | None = 2,
    exact: bool = True,
) -> Counts:
    """Check the result of a run with a fault, and the run after it.

    There must be `commits` commits of git-sync, one per change, and those of other users must still
    exist; None skips this check after a rewrite. With exit code 0 and `exact` the branch must match
    the bucket at once.
    """
    expect_exit(result, exits)
    if result.exit == 0 and exact:
        world.oracle.check_exact(world.chronicle.now())
    pushed = result.exit in {30, 40} and len(own_commits(world)) == commits
    world.settle()
    made = own_commits(world)
    if len(set(made)) != len(made):
        raise Unsafe(f"a run committed twice: {made}")
    if commits is not None and len(made) != commits:
        raise Unsafe(f"{len(made)} commits for {commits} changes")
    if commits is not None and (gone := world.oracle.foreign - set(log(world.repository))):
        raise Unsafe(f"commits of other users are lost: {gone}")
    return {
        "commits": len(made),
        "faults triggered": triggered,
        f"exit {result.exit}": 1,
        "pushed although the run failed": int(pushed),
    }


def own_commits(world: World) -> list[str]:
    """Return the ids of the runs that committed, newest first."""
    if "main" not in branches(world.repository):
        return []
    messages = git(world.repository, "log", "-z", "--format=%B", "main").decode().split("\0")
    return [run_id for text in messages if (run_id := parse_trailers(text).run_id)]
