"""A run is killed, or stopped, at any instant: of every step, and of all steps in one process.

Instants are calls that reach the kernel, of any kind or of one; moments in the life of a git; and plain
time. A killed step is tried again, as Argo does it, or its run is given up.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.soak.family import Counts, Family, endless
from tests.soak.forked import Ended, Forked, Instant, forker
from tests.soak.oracle import Unsafe

if TYPE_CHECKING:
    from pathlib import Path

    from tests.soak.oracle import Chronicle
    from tests.soak.world import Place, World
    from tests.support.sync import CommandResult, Sync

_STEPS = ("discover", "download", "detect", "publish", "report")
_STRIKES = 8
_TRIES = 3
_KEPT_RUNS = 3
# How many calls a command makes, about, until one of its kind has come to its end.
_LIKELY = {"run": 1000, "discover": 500, "download": 300, "detect": 170, "publish": 850, "report": 75}


def _run(place: Place, case: str) -> Counts:
    with place.world(case, proxied=False) as world:
        (temporary := world.repository.with_name("tmp")).mkdir()
        sync = Forked.of(world.sync).with_settings(TMPDIR=str(temporary))
        as_steps, local = world.choice.random() < 0.5, world.choice.random() < 0.15
        if local:
            sync = sync.with_settings(GIT_REPOSITORY="")
        struck = _Struck(
            world, sync, temporary, _Directory(sync.work_dir, world.chronicle) if local else None
        )
        world.fill()
        while struck.counts["strikes"] < _STRIKES:
            if as_steps:
                _one_run_in_steps(struck)
            else:
                struck.attempt("run")
            world.change()
        if forker().settle():
            raise Unsafe("git went on for ever")
        _make_old(sync.work_dir)
        struck.settle()
        _look_for_litter(sync.work_dir, temporary)
        return struck.counts | {"commits": world.oracle.commits}


def _one_run_in_steps(struck: _Struck) -> None:
    """What Argo does: a step that was killed is tried again, and report has the last word."""
    choice, world = struck.world.choice, struck.world
    if choice.random() < 0.1 and not struck.directory:
        for path in (world.sync.work_dir, struck.temporary):  # another run's volume, and pod, are others
            shutil.rmtree(path, ignore_errors=True)
        struck.temporary.mkdir()
    run_id = f"r{struck.counts['runs']}"
    struck.counts["runs"] += 1
    for step in _STEPS[:-1]:
        for _ in range(_TRIES):
            if struck.attempt(step, "--run-id", run_id):
                break
            if choice.random() < 0.3:
                world.change(puts=1, deletes=1, new=0)
        else:
            break
        if choice.random() < 0.1:
            break
    struck.attempt("report", "--run-id", run_id)


@dataclass
class _Struck:
    """git-sync under fire."""

    world: World
    sync: Sync
    temporary: Path
    directory: _Directory | None
    counts: Counter[str] = field(default_factory=Counter, init=False)
    orphans: bool = field(default=False, init=False)
    _known: dict[str, Ended] = field(default_factory=dict, init=False)
    _last_run: str = field(default="", init=False)

    def attempt(self, *arguments: str) -> bool:
        """Run one command, strike it perhaps; whether it came to its end."""
        choice = self.world.choice
        command = arguments[0]
        instant = self._instant(command) if choice.random() < 0.7 else Instant()
        stopped = choice.random() < 0.25
        number = signal.SIGTERM if stopped else signal.SIGKILL
        grace = choice.uniform(0, 0.05) if choice.random() < 0.3 else 60
        self.orphans = choice.random() < 0.2 and not stopped
        if stopped and forker().settle():
            raise Unsafe("git went on for ever")
        before = _run_directories(self.sync)
        with suppress(FileNotFoundError):
            self._last_run = self.sync.state["last_run"]["run_id"]
        ended, result = forker().run(
            self.sync, *arguments, instant=instant, number=number, grace=grace, orphans=self.orphans
        )
        if ended.overdue:
            raise Unsafe(f"{command} does not end: {result.text}")
        (self.directory or self.world.oracle).check()
        if ended.struck:
            phase = _phase(self.sync, command, before)
            self.counts["strikes"] += 1
            self.counts[f"{signal.Signals(number).name}s in {phase}"] += 1
            self.counts["git left running"] += self.orphans
        else:
            self._known[command] = ended
        if stopped and ended.struck and ended.status != -signal.SIGKILL:
            self._judge_stop(command, before, ended, result)
        elif ended.status not in {0, -signal.SIGKILL} and not (ended.status == 30 and self.orphans):
            raise Unsafe(f"{arguments} in peace ended {ended.status}: {result.errors}")
        return ended.status == 0

    def _instant(self, command: str) -> Instant:
        choice = self.world.choice
        guess = Ended(0, False, _LIKELY[command] / 3000, calls={"": _LIKELY[command], "fork_exec": 6})
        known = self._known.get(command, guess)
        dice = choice.random()
        if dice < 0.2:
            return Instant(after=choice.uniform(0.0001, known.seconds))
        if dice < 0.6:
            return Instant(call=choice.randint(1, sum(known.calls.values())))
        kind = choice.choice(sorted(known.calls)) if dice < 0.8 else "fork_exec"
        after = choice.uniform(0.0001, 0.03) if kind == "fork_exec" else 0
        return Instant(choice.randint(1, known.calls.get(kind, 1)), kind, after)

    def _judge_stop(self, command: str, before: set[str], ended: Ended, result: CommandResult) -> None:
        """It ends with 143, has left nothing running, and its result is there; if it had not ended before."""
        tip = self.world.repository.joinpath("refs/heads/main")
        at_its_end = tip.read_text() if tip.exists() else ""
        if forker().settle() or at_its_end != (tip.read_text() if tip.exists() else ""):
            raise Unsafe(f"{command} was stopped, and something went on")
        if ended.status == -signal.SIGTERM and not result.text:
            return  # it had not begun
        if ended.status not in {0, 143} or (ended.status and "SIGTERM" not in result.errors):
            raise Unsafe(f"{command} was stopped, and ended {ended.status}: {result.errors}")
        at_work = [line for line in result.lines if line["operation"] not in {"sync_complete", "report"}]
        new = _run_directories(self.sync) - before
        published = any((self._runs / name / "result.json").exists() for name in new)
        if command == "run" and ended.status == 143 and at_work and not published:
            recorded = self.sync.state["last_run"]
            if recorded["exit_code"] != 143 or recorded["run_id"] == self._last_run:
                raise Unsafe(f"run was stopped, and the state says {recorded}")

    @property
    def _runs(self) -> Path:
        return self.sync.work_dir / ".git-sync" / "runs"

    def settle(self) -> None:
        """Nobody mends anything, and the next run is exact."""
        if not self.directory:
            self.world.settle(self.sync)
            return
        result = self.world.attempt(self.sync)
        if result.exit:
            raise Unsafe(f"a run in peace ended {result.exit}: {result.errors}")
        self.directory.check()
        if self.directory.held() != self.world.chronicle.now():
            raise Unsafe("the directory is not the bucket")


def _run_directories(sync: Sync) -> set[str]:
    runs = sync.work_dir / ".git-sync" / "runs"
    return {path.name for path in runs.iterdir()} if runs.is_dir() else set()


def _phase(sync: Sync, command: str, before: set[str]) -> str:
    """Where a command was, by what it has left on the volume."""
    if command != "run":
        return command
    new = _run_directories(sync) - before
    if not new:
        return "run's beginning"
    run = sync.work_dir / ".git-sync" / "runs" / new.pop()
    baselines, manifests = (
        {path.name for path in run.glob(f"{kind}/*")} for kind in ("baseline", "manifest")
    )
    done = {
        "discover": (run / "run.json").exists(),
        "download": baselines <= manifests,
        "detect": (run / "verdict.json").exists(),
        "publish": (run / "result.json").exists(),
    }
    return f"run's {next((step for step, is_done in done.items() if not is_done), 'report')}"


@dataclass
class _Directory:
    """Judges WORK_DIR/clusterbackup in download-only mode, as the oracle judges the branch."""

    work_dir: Path
    chronicle: Chronicle
    _places: dict[str, int] = field(default_factory=dict, init=False)

    def held(self) -> dict[str, bytes]:
        """Every file."""
        root = self.work_dir / "clusterbackup"
        found = (path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.work_dir)): path.read_bytes() for path in found}

    def check(self) -> None:
        """Each file may only move forward through what its key has been."""
        held = self.held()
        for key in held.keys() | self._places.keys():
            place = self.chronicle.next_place(key, held.get(key), self._places.get(key, 0))
            if place is None:
                raise Unsafe(f"{key} became {held.get(key)!r}")
            self._places[key] = place


def _make_old(work_dir: Path) -> None:
    """Let an hour or two pass: what nobody has written to since is nobody's any more."""
    long_ago = time.time() - 7200
    for path in work_dir.rglob(".git-sync-tmp-*"):
        os.utime(path, (long_ago, long_ago))


def _look_for_litter(work_dir: Path, temporary: Path) -> None:
    """What killed runs have left is gone, but for the newest ones' own directories."""
    runs = work_dir / ".git-sync" / "runs"
    litter = [path for path in work_dir.rglob(".git-sync-tmp-*") if not path.is_relative_to(runs)]
    litter += temporary.glob("git-sync*")
    if litter or len(list(runs.iterdir())) > _KEPT_RUNS:
        raise Unsafe(f"litter: {litter}, runs: {sorted(runs.iterdir())}")


FAMILY = Family("kills", "A run is killed or stopped", endless, _run, quick=3)
