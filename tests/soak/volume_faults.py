"""A file on the volume is damaged between two steps: any file, in any way."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.soak.family import Counts, Family, endless
from tests.soak.forked import Forked
from tests.soak.oracle import Unsafe
from tests.support.rowfiles import seal

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from tests.soak.world import Place, World
    from tests.support.sync import CommandResult

_STEPS = ("discover", "download", "detect", "publish", "report")
_ROUNDS = 4

# git-sync does not delete these without a person: they are valuable, or may belong to another program.
_FOR_A_PERSON = ("sync-metadata.json", ".gitconfig", ".git")


def _run(place: Place, case: str) -> Counts:
    with place.world(case, proxied=False, rewriting=True) as world:
        damaged = _Damaged(world, Forked.of(world.sync))
        world.fill()
        world.attempt(damaged.sync)
        for number in range(_ROUNDS):
            world.change()
            damaged.one_run(f"r{number}")
        world.settle(damaged.sync)
        return damaged.counts | {"commits": world.oracle.commits}


@dataclass
class _Damaged:
    """git-sync on a volume that another program damages."""

    world: World
    sync: Forked
    counts: Counter[str] = field(default_factory=Counter, init=False)

    def one_run(self, run_id: str) -> None:
        """Damage the volume once during a run; the next run must be exact, or the one after a removal."""
        at = self.world.choice.randrange(len(_STEPS) + 1)
        for step in _STEPS[:at]:
            self._attempt(step, "--run-id", run_id)
        path, damage = self._damage(run_id)
        description = (
            f"{damage}: {path.relative_to(self.sync.work_dir)} before {(*_STEPS, 'the next run')[at]}"
        )
        print(description)  # noqa: T201 - shown when one case is repeated
        try:
            result = [self._attempt(step, "--run-id", run_id) for step in _STEPS[at:]]
            if not any(one.exit for one in result[:-1]) and at < _STEPS.index("publish") + 1:
                self.world.oracle.check_exact(self.world.chronicle.now())
            self._recover(caches_lie=damage in _SEALED and "cache" in path.parts)
        except AssertionError as problem:
            raise Unsafe(f"{description}: {problem}") from problem

    def _attempt(self, *arguments: str) -> CommandResult:
        result = self.world.attempt(self.sync, *arguments)
        if "Unexpected error" in result.text or "Traceback" in result.text:
            raise Unsafe(f"unexpected error: {result.text}")
        self.counts[f"exit {result.exit}"] += result.exit != 0
        return result

    def _recover(self, *, caches_lie: bool) -> None:
        """Check the next run; with `caches_lie` (wrong rows, right checksum) a full run may be needed."""
        result = self._attempt("run")
        if result.exit == 40 and not caches_lie:
            candidates = [self.sync.work_dir / name for name in _FOR_A_PERSON]
            named = [path for path in candidates if str(path) in result.errors and os.path.lexists(path)]
            if not named:
                raise Unsafe(f"the next run ended with 40: {result.errors}")
            for path in named:
                _remove(path)
            self.counts["removed by hand, as the error asked"] += 1
            result = self._attempt("run")
        if result.exit and caches_lie:
            self.counts["repaired by a full run"] += 1
            result = self._attempt("run", "--mode", "full")
        if result.exit:
            raise Unsafe(f"the next run ended with {result.exit}: {result.errors}")
        self.world.oracle.check_exact(self.world.chronicle.now())

    def _damage(self, run_id: str) -> tuple[Path, str]:
        """Damage one file; return its path and the way."""
        choice = self.world.choice
        files = _files(self.sync.work_dir, run_id)
        path = choice.choice(files[choice.choice(sorted(files))])
        before = path.read_bytes()
        ways = sorted(_WAYS)
        choice.shuffle(ways)
        for way in ways:
            _WAYS[way](path, choice)
            if not path.is_file() or path.is_symlink() or path.read_bytes() != before:
                self.counts["damaged files"] += 1
                return path, way
        raise AssertionError(f"no way to damage {path}")


def _files(work_dir: Path, run_id: str) -> dict[str, list[Path]]:
    """Return every file that this run or the next one may read, by kind."""
    groups: dict[str, list[Path]] = {}
    runs = work_dir / ".git-sync" / "runs"
    for path in sorted(work_dir.rglob("*")):
        if path.is_file() and (not path.is_relative_to(runs) or path.is_relative_to(runs / run_id)):
            one_of_many = {"clusterbackup", ".git"} & set(path.relative_to(work_dir).parts[:1])
            kind = path.name if path.parent in {work_dir, runs / run_id} else path.parent.name
            groups.setdefault(one_of_many.pop() if one_of_many else kind, []).append(path)
    return groups


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


# -- ways to damage a file ------------------------------------------------------------------------


def _truncated(path: Path, choice: random.Random) -> None:
    content = path.read_bytes()
    lines = [at + 1 for at, byte in enumerate(content[:-1]) if byte == 0x0A]
    path.write_bytes(content[: choice.choice([choice.randrange(len(content) + 1), *lines[:1], *lines[-1:]])])


def _emptied(path: Path, _choice: random.Random) -> None:
    path.write_bytes(b"")


def _removed(path: Path, _choice: random.Random) -> None:
    path.unlink()


def _bit_flipped(path: Path, choice: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[choice.randrange(len(content))] ^= 1 << choice.randrange(8)
    path.write_bytes(content)


def _byte_inserted(path: Path, choice: random.Random) -> None:
    content = path.read_bytes()
    at = choice.randrange(len(content) + 1)
    path.write_bytes(content[:at] + choice.randbytes(1) + content[at:])


def _zeroed(path: Path, _choice: random.Random) -> None:
    """Write zeros of the same length, as after a power loss."""
    path.write_bytes(bytes(path.stat().st_size))


def _random(path: Path, choice: random.Random) -> None:
    path.write_bytes(choice.randbytes(choice.randrange(1, 5000)))


def _lines_swapped(path: Path, choice: random.Random) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    if len(lines) > 1:
        a, b = choice.sample(range(len(lines)), 2)
        lines[a], lines[b] = lines[b], lines[a]
    path.write_bytes(b"".join(lines))


def _directory(path: Path, _choice: random.Random) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_bytes(b"x")


def _link(path: Path, choice: random.Random) -> None:
    """Replace the file by a link to nothing, or to a file outside of WORK_DIR."""
    path.unlink()
    path.symlink_to(choice.choice(["/nowhere", "/etc/hostname", "/etc", "/dev/zero"]))


def _pipe(path: Path, _choice: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _siblings_content(path: Path, choice: random.Random) -> None:
    """Copy a file of the same directory, usually of another cluster."""
    siblings = sorted(other for other in path.parent.iterdir() if other.is_file() and other != path)
    if siblings:
        shutil.copyfile(choice.choice(siblings), path)


def _other_runs(path: Path, choice: random.Random) -> None:
    """Copy the file of another run at the same path."""
    runs = next((above for above in path.parents if above.name == "runs"), None)
    if runs is not None:
        _, *below = path.relative_to(runs).parts
        others = sorted(run.joinpath(*below) for run in runs.iterdir())
        others = [other for other in others if other.is_file() and other != path]
        if others:
            shutil.copyfile(choice.choice(others), path)


def _other_version(path: Path, choice: random.Random) -> None:
    version = b'"schema_version":%d' % choice.choice([0, 99])
    content = path.read_bytes()
    for current in (b'"schema_version":1', b'"schema_version": 1', b'"schema_version":2'):
        content = content.replace(current, version)
    path.write_bytes(content)
    _seal(path, lambda rows: rows)


def _unsorted(path: Path, _choice: random.Random) -> None:
    _seal(path, lambda rows: rows[::-1])


def _doubled(path: Path, _choice: random.Random) -> None:
    _seal(path, lambda rows: rows[:1] + rows)


def _fields_missing(path: Path, _choice: random.Random) -> None:
    _seal(path, lambda rows: [row.partition(b"\t")[2] for row in rows])


def _nonsense(path: Path, choice: random.Random) -> None:
    """Write invalid rows with a right checksum."""
    _seal(path, lambda rows: [choice.choice([b"\xff\t%ZZ\n", b"\n", b"a\tb\tc\td\te\n"]) for _ in rows])


def _seal(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Rewrite a row file with changed rows."""
    if (content := seal(path.read_bytes(), change)) is not None:
        path.write_bytes(content)


_WAYS: dict[str, Callable[[Path, random.Random], None]] = {
    "truncated": _truncated,
    "emptied": _emptied,
    "removed": _removed,
    "one bit flipped": _bit_flipped,
    "one byte inserted": _byte_inserted,
    "zeroed": _zeroed,
    "random bytes": _random,
    "lines swapped": _lines_swapped,
    "a directory": _directory,
    "a link": _link,
    "a pipe": _pipe,
    "another's content": _siblings_content,
    "another run's": _other_runs,
    "of another version": _other_version,
    "unsorted": _unsorted,
    "a row doubled": _doubled,
    "fields missing": _fields_missing,
    "nonsense": _nonsense,
}

_SEALED = {"unsorted", "a row doubled", "fields missing", "nonsense"}

DAMAGE = Family("volume-damage", "A file on the volume is damaged", endless, _run, quick=1)
