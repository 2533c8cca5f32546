"""The Git host refuses pushes by content, path, size, number of files or author.

After each round the oracle also checks that every accepted change is published. The rule must refuse each
path at which Git and the bucket differ, and the run must name it.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.soak.family import Counts, Family, endless
from tests.soak.oracle import Unsafe
from tests.soak.world import PREFIX
from tests.support.gitserver import http_git_server
from tests.support.hooks import By, Words, pushes, refuse, refuse_author, reset, wait_for_pushes
from tests.support.repositories import branches, contents, git

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.world import Place, World
    from tests.support.sync import CommandResult

_EMAIL = "git-sync@localhost"
_ROUNDS = 2

# If the third push of a search contains a refused change, the run exits 40. The next runs continue a search
# with many refused changes.
_RUNS = 15

# What happens during the first run of a round; a repetition makes it more frequent.
_DISTURBANCES = ("none", "none", "none", "killed", "killed", "moved", "hidden", "volume lost", "full")


@dataclass(frozen=True)
class _Rule:
    """What the host refuses, and what it prints; without ``by`` it refuses the author."""

    by: By | None
    words: Words

    def install(self, world: World, **faults: int) -> None:
        if self.by is None:
            refuse_author(world.repository, _EMAIL)
        else:
            refuse(world.repository, self.by, self.words, **faults)

    def refuses(self, path: str, old: bytes | None, new: bytes | None) -> bool:
        """Whether the host refuses a push of this change alone."""
        return {
            None: True,
            By.CONTENT: new is not None and b"ghp_" in new,
            By.PATH: "/forbidden/" in path,
            By.NEW_PATH: "/forbidden/" in path and old is None,
            By.SIZE: new is not None and len(new) > 10_000,
            By.COUNT: False,
            By.ANY: True,
        }[self.by]


_WORDS = {
    By.CONTENT: (Words.NOTHING, Words.GITHUB, Words.GITHUB_BLOB, Words.PLAIN),
    By.PATH: (Words.NOTHING, Words.GITEA, Words.PLAIN),
    By.NEW_PATH: (Words.NOTHING, Words.GITLAB_NAME),
    By.SIZE: (Words.NOTHING, Words.GITLAB_SIZE),
    By.COUNT: (Words.NOTHING,),
    By.ANY: (Words.NOTHING, Words.PLAIN),
    None: (Words.NOTHING,),
}


def _run(place: Place, case: str) -> Counts:
    choice = random.Random(case)
    by = choice.choice([By.CONTENT, By.CONTENT, By.PATH, By.NEW_PATH, By.SIZE, By.COUNT, By.ANY, None])
    rule = _Rule(by, choice.choice(_WORDS[by]))
    counts: Counter[str] = Counter()
    with place.world(case, proxied=False) as world, _transport(place, world, choice):
        world.sync = world.sync.with_settings(RETRY_ATTEMPTS="1", GIT_EMAIL=_EMAIL)
        world.fill(objects=choice.randrange(1, 12))
        world.attempt()
        for _ in range(_ROUNDS):
            _change(world, choice)
            counts += _round(world, rule, choice)
        reset(world.repository)
        world.attempt(None, SYNC_MODE="full")
        world.settle()
    return counts


@contextmanager
def _transport(place: Place, world: World, choice: random.Random) -> Iterator[None]:
    """Use HTTP in some cases."""
    if choice.random() < 0.7:
        yield
        return
    with http_git_server(place.root, "the-token") as server:
        world.sync = world.sync.with_settings(
            GIT_REPOSITORY=server.url_for(world.repository), GIT_TOKEN="the-token", GIT_ALLOW_HTTP="true"
        )
        yield


def _change(world: World, choice: random.Random) -> None:
    """Change the bucket: mostly objects that every rule accepts."""
    badness = choice.choice([0.05, 0.2, 0.6])
    for number in range(choice.randrange(1, 20)):
        clusters = ("east", "west", "north", "south")
        folder = "forbidden" if choice.random() < badness else choice.choice(["shop", "cart"])
        key = f"{PREFIX}{choice.choice(clusters)}/{folder}/{number}.yaml"
        _put(world, choice, key, badness)
    for key in choice.sample(keys := sorted(world.chronicle.now()), min(len(keys), choice.randrange(5))):
        if choice.random() < 0.4:
            world.delete(key)
        else:
            _put(world, choice, key, badness)


def _put(world: World, choice: random.Random, key: str, badness: float) -> None:
    """Write a small object without a token, or a large one or one with a token."""
    body = b"%d\n" % choice.randrange(10**12)
    if choice.random() < badness:
        body = choice.choice([b"token: ghp_%b" % body, body * 2000])
    world.put(key, body)


def _round(world: World, rule: _Rule, choice: random.Random) -> Counter[str]:
    """Run once with a disturbance, then without one until nothing is deferred; check what is published."""
    disturbance = choice.choice(_DISTURBANCES)
    _disturb(world, rule, choice, disturbance)
    rule.install(world)
    counts = Counter({disturbance: 1})
    for _ in range(_RUNS):
        before = branches(world.repository), pushes(world.repository)
        result = world.attempt()
        counts[f"exit {result.exit}"] += 1
        counts["pushes"] += (pushed := pushes(world.repository) - before[1])
        if pushed > 40:
            raise Unsafe(f"{pushed} pushes in one run")
        if result.exit == 40:
            if pushed > 3 or branches(world.repository) != before[0]:
                raise Unsafe(f"exit code 40 after {pushed} pushes, and a changed branch")
            if all(rule.refuses(path, *change) for path, change in _pending(world).items()):
                return counts + Counter({"nothing could be published": 1})
            continue
        if _deferred(world):
            continue
        _check_published(world, rule, result)
        return counts
    raise Unsafe(f"blocked after {_RUNS} runs: {sorted(_pending(world))}")


def _disturb(world: World, rule: _Rule, choice: random.Random, disturbance: str) -> None:
    after = choice.randrange(1, 8)
    if disturbance in {"killed", "moved", "hidden"} and rule.by is not None:
        fault = {"killed": "kill_after", "moved": "move_after", "hidden": "break_after"}[disturbance]
        rule.install(world, **{fault: after})
        if disturbance == "killed":
            with world.sync.start("run") as process:
                process.communicate()
            wait_for_pushes(world.repository)
        else:
            world.sync()
            git(world.repository, "config", "transfer.hideRefs", "")
        authors = git(world.repository, "log", "--format=%H %ae", "main").decode().splitlines()
        world.oracle.foreign |= {line.split()[0] for line in authors if line.endswith(" x@y")}
        world.oracle.check()
    elif disturbance == "volume lost":
        world.sync = world.volume(f"{choice.randrange(10**9)}")
    elif disturbance == "full":
        rule.install(world)
        world.attempt(None, SYNC_MODE="full")


def _deferred(world: World) -> int:
    return sum(cluster["changes_deferred"] for cluster in world.sync.state["last_run"]["clusters"])


def _pending(world: World) -> dict[str, tuple[bytes | None, bytes | None]]:
    """Return content in Git and in the bucket of each path at which they differ."""
    in_git = contents(world.repository, "main", PREFIX)
    bucket = world.chronicle.now()
    paths = in_git.keys() | bucket.keys()
    return {p: (in_git.get(p), bucket.get(p)) for p in paths if in_git.get(p) != bucket.get(p)}


def _check_published(world: World, rule: _Rule, result: CommandResult) -> None:
    """Raise unless exactly the changes that the rule refuses are missing, named and counted."""
    pending = _pending(world)
    if accepted := [path for path, change in pending.items() if not rule.refuses(path, *change)]:
        raise Unsafe(f"not published: {accepted}")
    last = world.sync.state["last_run"]
    named = {f"{PREFIX}{one['path']}" for one in last["refused_by_host"]}
    if named != pending.keys():
        raise Unsafe(f"refused {sorted(pending)}, named {sorted(named)}")
    if result.exit != (10 if pending else 0):
        raise Unsafe(f"exit code {result.exit} with {len(pending)} refused changes")
    files = contents(world.repository, "main", PREFIX)
    for cluster in last["clusters"]:
        count = sum(path.startswith(f"{PREFIX}{cluster['name']}/") for path in files)
        if cluster["files"] != count:
            raise Unsafe(f"{cluster['name']} has {count} files, reported are {cluster['files']}")


FAMILY = Family(
    "host-rules",
    "The Git host refuses content, paths, sizes, numbers of files or authors",
    endless,
    _run,
    quick=1,
)
