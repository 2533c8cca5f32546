"""Several runs at once, and resumed runs: older content must never replace newer content."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

from tests.soak.family import Counts, Family, endless, shuffled
from tests.soak.forked import ForkServer
from tests.soak.oracle import Unsafe
from tests.support.repositories import git, log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.forked import Ended
    from tests.soak.world import Place, World
    from tests.support.sync import CommandResult, Sync

STEPS = ("discover", "download", "detect", "publish", "report")
_HOT = "clusterbackup/east/ns-0/0.yaml"  # every change of the bucket changes this key
_AT_ONCE = 4
_CHANGES = 10


@dataclass
class StepByStep:
    """A run whose steps are called one by one, as in a pipeline; `done` counts them."""

    sync: Sync
    run_id: str
    done: int = 0

    @property
    def ended(self) -> bool:
        return self.done == len(STEPS)

    def advance(self, world: World) -> CommandResult:
        """Call the next step, even if the one before failed."""
        step = STEPS[self.done]
        self.done += 1
        return self.repeat(world, step)

    def repeat(self, world: World, step: str) -> CommandResult:
        """Call a step, for the first time or again."""
        return world.attempt(self.sync, step, "--run-id", self.run_id)


# -- two runs, step by step -----------------------------------------------------------------------


def _orders() -> list[str]:
    """Return every order of the steps of runs A and B, without orders that differ only in the names."""
    turns = ("".join(turn) for turn in product("AB", repeat=2 * len(STEPS) - 2))
    return [turn for turn in turns if turn[0] == "A" and turn.count("A") == len(STEPS) - 1]


def _interleavings(seed: int) -> Iterator[str]:
    """<order>.<when the bucket changes: between all steps, or after the n-th>.<volumes>.<branch>."""
    changes = ("all", *map(str, range(1, 2 * len(STEPS) - 2)))
    cases = product(_orders(), changes, ("two", "one"), ("existing", "new"))
    return shuffled([".".join(case) for case in cases], seed)


def _interleave(place: Place, case: str) -> Counts:
    order, changes, volumes, branch = case.split(".")
    counts: Counter[str] = Counter()
    with place.world(case, proxied=False, rewriting=True) as world:
        world.fill()
        if branch == "existing":
            world.settle()
            world.change()
        other = world.volume("other") if volumes == "two" else world.sync
        runs = {"A": StepByStep(world.sync, "a"), "B": StepByStep(other, "b")}
        for number, turn in enumerate(order, start=1):
            _count(counts, runs[turn].advance(world))
            if changes in {"all", str(number)}:
                world.change()
                world.put(_HOT)
        # Twice: a repeated publish and report must change nothing.
        for run in (*runs.values(), *runs.values()):
            _count(counts, run.repeat(world, "publish"))
            run.repeat(world, "report")
        for run in runs.values():
            _check_counted_once(run)
        world.settle(world.volume("third"))
        world.settle()
        return {**counts, "commits": world.oracle.commits}


def _check_counted_once(run: StepByStep) -> None:
    counters = run.sync.state["counters"]
    counted = counters["counted_runs"]
    if run.run_id not in counted or counters["runs"] != len(set(counted)):
        raise Unsafe(f"{counters['runs']} runs counted, but counted_runs is {counted}")


# -- four at once, and resumed runs ---------------------------------------------------------------


def _round(place: Place, case: str) -> Counts:
    counts: Counter[str] = Counter()
    with place.world(case, proxied=False, rewriting=True) as world:
        git(world.repository, "config", "core.logAllRefUpdates", "always")
        if world.choice.random() < 0.5:
            disable_partial_clone(world)
        world.fill()
        world.settle()
        volumes = [world.volume(name) for name in ("a", "b", "c")]
        stopped = _stopped_runs(world, volumes)
        if world.choice.random() < 0.5:  # a newer run publishes, or has nothing to publish
            _count(counts, world.attempt(world.choice.choice([world.sync, *volumes])))
            world.change()
        for result in _at_once(world, [*volumes, _elsewhere(world, "again", volumes[2])], stopped):
            _count(counts, result)
        for run in world.choice.sample(stopped, len(stopped)):
            while not run.ended:
                _count(counts, run.advance(world))
        for run in world.choice.sample(stopped, len(stopped)):
            _count(counts, run.repeat(world, "publish"))
            run.repeat(world, "report")
            counts["resumed runs"] += 1
        world.settle(world.choice.choice(volumes))
        world.settle(world.volume("new"))
        return {**counts, "commits": world.oracle.commits}


def _stopped_runs(world: World, volumes: list[Sync]) -> list[StepByStep]:
    """Stop a run after some steps on each volume, and copy one of the volumes."""
    runs = []
    for number, sync in enumerate(volumes):
        run = StepByStep(sync, f"old-{number}")
        for _ in range(world.choice.randint(1, 3)):
            run.advance(world)
            if world.choice.random() < 0.3:
                world.change()
        runs.append(run)
        world.change()
    restored = world.choice.choice(runs)
    copy = world.volume("copy")
    shutil.copytree(restored.sync.work_dir, copy.work_dir, symlinks=True)
    return [*runs, StepByStep(copy, restored.run_id, restored.done)]


def _at_once(world: World, volumes: list[Sync], stopped: list[StepByStep]) -> list[CommandResult]:
    """Run on all volumes at the same time, one perhaps a resumed run, while the bucket changes."""
    continued = world.choice.choice([*stopped, None])
    old = _elsewhere(world, "continued", continued.sync) if continued else None
    pauses = [world.choice.uniform(0, 0.05) for _ in range(_AT_ONCE)]

    def work(number: int) -> list[tuple[Ended, CommandResult]]:
        time.sleep(pauses[number])
        if number == 0 and continued and old:
            arguments = [(step, "--run-id", continued.run_id) for step in STEPS[continued.done :]]
            continued.done = len(STEPS)
            return [_fork_server(number).run(old, *command) for command in arguments]
        return [_fork_server(number).run(volumes[number])]

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        working = [pool.submit(work, number) for number in range(_AT_ONCE)]
        for _ in range(_CHANGES):
            world.change()
            world.put(_HOT)
            time.sleep(world.choice.uniform(0, 0.1))
        # On a busy machine a run may be overdue and killed, which is not a failure.
        result = [result for future in working for ended, result in future.result() if not ended.overdue]
    world.oracle.check()
    _check_no_forced_push(world)
    for one in result:
        if one.exit not in {0, 10, 30, 40} or (one.exit and not one.errors):
            raise Unsafe(f"exit code {one.exit}: {one.errors}")
    if result and not any(one.exit in {0, 10} for one in result):
        raise Unsafe(f"no run succeeded: {[(one.exit, one.errors) for one in result]}")
    return result


def _check_no_forced_push(world: World) -> None:
    """Check every push in the reflog: the oracle does not see a commit that was overwritten at once."""
    for line in (world.repository / "logs/refs/heads/main").read_text().splitlines():
        old, new, *_ = line.split()
        if set(old) != {"0"} and old not in log(world.repository, new):
            raise Unsafe(f"{new} was forced over {old}")


def disable_partial_clone(world: World) -> None:
    """Disable partial clone, as some hosts do: only then could git push over another commit."""
    git(world.repository, "config", "uploadpack.allowFilter", "false")


@cache
def _fork_server(number: int) -> ForkServer:
    """Return a fork server for each simultaneous run."""
    del number
    return ForkServer()


def _elsewhere(world: World, name: str, sync: Sync) -> Sync:
    """Return the same volume, mounted at another path."""
    again = world.volume(name)
    sync.work_dir.mkdir(exist_ok=True)
    again.work_dir.symlink_to(sync.work_dir)
    return again


def _count(counts: Counter[str], result: CommandResult) -> None:
    counts["calls"] += 1
    counts[f"exit {result.exit}"] += 1
    counts["runs skipped"] += "skipped: another run has published it" in result.text


INTERLEAVINGS = Family("interleavings", "Two runs, step by step", _interleavings, _interleave, quick=2)
ROUNDS = Family("races", "Four runs at once, and resumed runs", endless, _round, quick=1)
