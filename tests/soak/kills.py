"""A run is killed or stopped at a random time: in every step, and in `git-sync run`.

The time is a system call of any or one kind, a moment during a git process, or a number of seconds.
A killed step is retried, as Argo does, or its run is abandoned.
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
from tests.soak.forked import Ended, Forked, Instant, fork_server
from tests.soak.oracle import Unsafe

if TYPE_CHECKING:
    from pathlib import Path

    from tests.soak.oracle import Chronicle
    from tests.soak.world import Place, World
    from tests.support.sync import CommandResult, Sync

_STEPS = ("discover", "download", "detect", "publish", "report")
_SIGNALS = 8
_TRIES = 3
_KEPT_RUNS = 3
# Estimated number of system calls of a command, until one has ended normally.
_ESTIMATES = {"run": 1000, "discover": 500, "download": 300, "detect": 170, "publish": 850, "report": 75}


def _run(place: Place, case: str) -> Counts:
    with place.world(case, proxied=False, rewriting=True) as world:
        (temporary := world.repository.with_name("tmp")).mkdir()
        sync = Forked.of(world.sync).with_settings(TMPDIR=str(temporary))
        as_steps, local = world.choice.random() < 0.5, world.choice.random() < 0.15
        if local:
            sync = sync.with_settings(GIT_REPOSITORY="")
        target = _Target(
            world, sync, temporary, _Directory(sync.work_dir, world.chronicle) if local else None
        )
        world.fill()
        while target.counts["signals sent"] < _SIGNALS:
            if as_steps:
                _one_run_in_steps(target)
            else:
                target.attempt("run")
            world.change()
        if fork_server().settle():
            raise Unsafe("git did not end")
        _make_old(sync.work_dir)
        target.settle()
        _check_leftovers(sync.work_dir, temporary)
        return target.counts | {"commits": world.oracle.commits}


def _one_run_in_steps(target: _Target) -> None:
    """Run steps as Argo does: retry a killed step, and run report last."""
    choice, world = target.world.choice, target.world
    if choice.random() < 0.1 and not target.directory:
        for path in (world.sync.work_dir, target.temporary):  # another run has another volume and pod
            shutil.rmtree(path, ignore_errors=True)
        target.temporary.mkdir()
    run_id = f"r{target.counts['runs']}"
    target.counts["runs"] += 1
    for step in _STEPS[:-1]:
        for _ in range(_TRIES):
            if target.attempt(step, "--run-id", run_id):
                break
            if choice.random() < 0.3:
                world.change(puts=1, deletes=1, new=0)
        else:
            break
        if choice.random() < 0.1:
            break
    target.attempt("report", "--run-id", run_id)


@dataclass
class _Target:
    """git-sync that receives signals."""

    world: World
    sync: Sync
    temporary: Path
    directory: _Directory | None
    counts: Counter[str] = field(default_factory=Counter, init=False)
    orphans: bool = field(default=False, init=False)
    _known: dict[str, Ended] = field(default_factory=dict, init=False)
    _last_run: str = field(default="", init=False)

    def attempt(self, *arguments: str) -> bool:
        """Run one command, perhaps with a signal; return whether it succeeded."""
        choice = self.world.choice
        command = arguments[0]
        instant = self._instant(command) if choice.random() < 0.7 else Instant()
        stopped = choice.random() < 0.25
        number = signal.SIGTERM if stopped else signal.SIGKILL
        grace = choice.uniform(0, 0.05) if choice.random() < 0.3 else 60
        self.orphans = choice.random() < 0.2 and not stopped
        if stopped and fork_server().settle():
            raise Unsafe("git did not end")
        before = _run_directories(self.sync)
        with suppress(FileNotFoundError):
            self._last_run = self.sync.state["last_run"]["run_id"]
        ended, result = fork_server().run(
            self.sync, *arguments, instant=instant, number=number, grace=grace, orphans=self.orphans
        )
        if ended.overdue:
            raise Unsafe(f"{command} does not end: {result.text}")
        (self.directory or self.world.oracle).check()
        if ended.signalled:
            phase = _phase(self.sync, command, before)
            self.counts["signals sent"] += 1
            self.counts[f"{signal.Signals(number).name}s in {phase}"] += 1
            self.counts["git left running"] += self.orphans
        else:
            self._known[command] = ended
        if stopped and ended.signalled and ended.status != -signal.SIGKILL:
            self._check_stop(command, before, ended, result)
        elif ended.status not in {0, -signal.SIGKILL} and not (ended.status == 30 and self.orphans):
            raise Unsafe(f"{arguments} without a signal ended with {ended.status}: {result.errors}")
        return ended.status == 0

    def _instant(self, command: str) -> Instant:
        choice = self.world.choice
        estimate = Ended(
            0, False, _ESTIMATES[command] / 3000, calls={"": _ESTIMATES[command], "fork_exec": 6}
        )
        known = self._known.get(command, estimate)
        chance = choice.random()
        if chance < 0.2:
            return Instant(after=choice.uniform(0.0001, known.seconds))
        if chance < 0.6:
            return Instant(call=choice.randint(1, sum(known.calls.values())))
        kind = choice.choice(sorted(known.calls)) if chance < 0.8 else "fork_exec"
        after = choice.uniform(0.0001, 0.03) if kind == "fork_exec" else 0
        return Instant(choice.randint(1, known.calls.get(kind, 1)), kind, after)

    def _check_stop(self, command: str, before: set[str], ended: Ended, result: CommandResult) -> None:
        """Check a stopped command: exit code 143, no running process, and a recorded result."""
        tip = self.world.repository.joinpath("refs/heads/main")
        at_its_end = tip.read_text() if tip.exists() else ""
        if fork_server().settle() or at_its_end != (tip.read_text() if tip.exists() else ""):
            raise Unsafe(f"{command} was stopped, but a process continued")
        if ended.status == -signal.SIGTERM and not result.text:
            return  # stopped before it started
        if ended.status not in {0, 143} or (ended.status and "SIGTERM" not in result.errors):
            raise Unsafe(f"{command} was stopped, but ended with {ended.status}: {result.errors}")
        at_work = [line for line in result.lines if line["operation"] not in {"sync_complete", "report"}]
        new = _run_directories(self.sync) - before
        published = any((self._runs / name / "result.json").exists() for name in new)
        if command == "run" and ended.status == 143 and at_work and not published:
            recorded = self.sync.state["last_run"]
            if recorded["exit_code"] != 143 or recorded["run_id"] == self._last_run:
                raise Unsafe(f"run was stopped, but the state has {recorded}")

    @property
    def _runs(self) -> Path:
        return self.sync.work_dir / ".git-sync" / "runs"

    def settle(self) -> None:
        """Check that the next run is exact without any repair."""
        if not self.directory:
            self.world.settle(self.sync)
            return
        result = self.world.attempt(self.sync)
        if result.exit:
            raise Unsafe(f"a run without a signal ended with {result.exit}: {result.errors}")
        self.directory.check()
        if self.directory.files() != self.world.chronicle.now():
            raise Unsafe("the directory differs from the bucket")


def _run_directories(sync: Sync) -> set[str]:
    runs = sync.work_dir / ".git-sync" / "runs"
    return {path.name for path in runs.iterdir()} if runs.is_dir() else set()


def _phase(sync: Sync, command: str, before: set[str]) -> str:
    """Return the phase of a command, by its files on the volume."""
    if command != "run":
        return command
    new = _run_directories(sync) - before
    if not new:
        return "run's start"
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
    """Checks WORK_DIR/clusterbackup in download-only mode, as the oracle checks the branch."""

    work_dir: Path
    chronicle: Chronicle
    _places: dict[str, int] = field(default_factory=dict, init=False)

    def files(self) -> dict[str, bytes]:
        """Return the content of every file."""
        root = self.work_dir / "clusterbackup"
        found = (path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.work_dir)): path.read_bytes() for path in found}

    def check(self) -> None:
        """Check that each file only moves forward in the history of its key."""
        files = self.files()
        for key in files.keys() | self._places.keys():
            place = self.chronicle.next_place(key, files.get(key), self._places.get(key, 0))
            if place is None:
                raise Unsafe(f"{key} became {files.get(key)!r}")
            self._places[key] = place


def _make_old(work_dir: Path) -> None:
    """Set the time of temporary files to two hours ago, so that git-sync removes them."""
    long_ago = time.time() - 7200
    for path in work_dir.rglob(".git-sync-tmp-*"):
        os.utime(path, (long_ago, long_ago))


def _check_leftovers(work_dir: Path, temporary: Path) -> None:
    """Check that all files of killed runs are removed, except the directories of the newest runs."""
    runs = work_dir / ".git-sync" / "runs"
    leftovers = [path for path in work_dir.rglob(".git-sync-tmp-*") if not path.is_relative_to(runs)]
    leftovers += temporary.glob("git-sync*")
    if leftovers or len(list(runs.iterdir())) > _KEPT_RUNS:
        raise Unsafe(f"leftovers: {leftovers}, runs: {sorted(runs.iterdir())}")


FAMILY = Family("kills", "A run is killed or stopped", endless, _run, quick=1)
