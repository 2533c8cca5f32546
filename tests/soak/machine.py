"""A state machine of random steps, which hypothesis chooses.

A case is one example of about 25 steps, which its name determines. If it fails, hypothesis searches for
the shortest sequence with the same failure and prints it.
"""

from __future__ import annotations

import re
import shutil
import sys
import zlib
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, ClassVar

from hypothesis import HealthCheck, Phase, assume, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.soak.family import Counts, Family, endless
from tests.soak.forked import Instant, fork_server
from tests.soak.oracle import Unsafe
from tests.soak.races import STEPS, StepByStep, disable_partial_clone
from tests.soak.world import PREFIX
from tests.support.faults import Change, Cut, Request, Reset, Rule, Status, forbid, nth, times, when
from tests.support.repositories import GITLINK, branches, contents, git, log, message, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from tests.soak.world import Place
    from tests.support.sync import CommandResult, Sync

_STEPS = 25
_MOST_PENDING = 4
_MAX_OBJECT_BYTES = 200

# Plain keys, unusual legal keys, and keys that are directories of other keys.
_KEYS = [
    *(
        f"{PREFIX}{cluster}/ns-{n}/{m}.yaml"
        for cluster in ("east", "west")
        for n in (0, 1)
        for m in (0, 1, 2)
    ),
    *(f"{PREFIX}west/{name}" for name in ("d", "d/x.yaml", "d/y/z.yaml", "d-e", "d.e")),
    f"{PREFIX}east/ns-0/system:admin 'a' \"b\" *%2F.yaml",
    f"{PREFIX}südwest {{{{x}}}}/ns-1/ü.yaml",
]
# Keys that must never become paths. While they exist, files of other users at these paths must stay.
_HOSTILE = [
    f"{PREFIX}{key}"
    for key in (
        *("east/ns-0/.gitignore", "east/.git/config", "west/ns-0/.GIT/hooks/post-update", "west/git~1/x"),
        *("west/a//b", "west/tab\there", "west/back\\slash", "west/ns-1/.gitattributes ", "loose.yaml"),
    )
]
_MARKER = f"{PREFIX}east/ns-0/"  # a directory marker of some tools: neither an object nor a hostile key

_FILTERS: Mapping[str, tuple[dict[str, str], Callable[[str], bool]]] = {
    "west": ({"CLUSTERS": "west"}, lambda path: path.startswith("west/")),
    "not west": ({"CLUSTERS": "!west"}, lambda path: not path.startswith("west/")),
    "ns-0": ({"NAMESPACES": "ns-0"}, lambda path: path.split("/")[1] == "ns-0"),
    "no ns-1": ({"EXCLUDE": "ns-1/"}, lambda path: "/ns-1/" not in path),
}

_FOREIGN: Mapping[str, dict[str, bytes | tuple[str, bytes] | None]] = {
    "elsewhere": {"README.md": b"theirs"},
    "deletes": {_KEYS[0]: None, f"{PREFIX}west/ns-0": None},
    "strays": {f"{PREFIX}east/stray/theirs.yaml": b"theirs", f"{PREFIX}elsewhere/x": b"theirs"},
    "executable": {_KEYS[1]: ("100755", b"theirs"), _KEYS[7]: ("100755", b"theirs")},
    "symlink": {_KEYS[0]: ("120000", b"/etc/passwd"), f"{PREFIX}west/ns-0": ("120000", b"../east")},
    "submodule": {f"{PREFIX}west/d": (GITLINK, b"1" * 40), f"{PREFIX}east/ns-1": (GITLINK, b"1" * 40)},
    "a file for a directory": {f"{PREFIX}east/ns-0": b"theirs"},
    "a directory for a file": {f"{_KEYS[0]}/theirs": b"theirs"},
    "hostile": {_HOSTILE[0]: b"*\n", f"{PREFIX}loose.yaml": b"theirs"},
    "a file for a cluster": {f"{PREFIX}west": b"theirs"},
    "a link for a cluster": {f"{PREFIX}east": ("120000", b"west")},
    "a file for all clusters": {PREFIX.rstrip("/"): b"theirs"},
}


def _is_get(request: Request) -> bool:
    return request.is_get


def _is_list(request: Request) -> bool:
    return request.is_list


def _faults(machine: Machine, number: int) -> Mapping[str, Rule]:
    """Return the faults of the store during one run; ``number`` selects the request."""
    world = machine.world
    key = _KEYS[number % len(_KEYS)]
    return {
        "500": nth(number, Status(500, "InternalError")),
        "reset": nth(number, Reset()),
        "GETs are cut": times(number, Cut(3), _is_get),
        "404 for a GET": nth(number, Status(404, "NoSuchKey"), _is_get),
        "a listing is cut": nth(number, Cut(200), _is_list),
        "a listing is empty": nth(number, Change(body=_without_entries), _is_list),
        "no west": forbid(f"{PREFIX}west/"),
        "everything is forbidden": when(lambda _: True, Status(403, "AccessDenied")),
        "an object changes": nth(number, Change(before=lambda: world.put(key))),
        "an object is deleted": nth(number, Change(before=lambda: world.delete(key))),
        "another version": nth(number, Change(after=lambda: world.put(key))),
    }


def _without_entries(body: bytes) -> bytes:
    return re.sub(rb"<(Contents|CommonPrefixes)>.*</\1>", b"", body, flags=re.DOTALL)


_FAULTS = [
    *("500", "reset", "GETs are cut", "404 for a GET", "a listing is cut", "a listing is empty"),
    *("no west", "everything is forbidden", "an object changes", "an object is deleted", "another version"),
]


class Machine(RuleBasedStateMachine):
    """A world without guards, so that the oracle sees every effect of a fault."""

    place: ClassVar[Place]
    counts: ClassVar[Counter[str]]
    guarded: ClassVar[bool] = False

    @initialize(world_seed=st.integers(0, 9999))
    def create_world(self, world_seed: int) -> None:
        # Hypothesis tries the simplest value first, which would always be the same case.
        assume(world_seed)
        self.world = self._exits.enter_context(self.place.world(str(world_seed), unguarded=not self.guarded))
        self.world.sync = self.world.sync.with_settings(**self._settings())
        self.volumes = [self.world.volume("a"), self.world.volume("b")]
        if world_seed % 2:
            disable_partial_clone(self.world)
        self.world.fill(objects=3)

    def __init__(self) -> None:
        super().__init__()
        self._exits = ExitStack()
        self.pending: list[StepByStep] = []
        self._started = 0

    def _settings(self) -> dict[str, str]:
        return {"MAX_OBJECT_BYTES": str(_MAX_OBJECT_BYTES)}

    # -- the bucket -------------------------------------------------------------------------------

    @rule()
    def write_all_objects(self) -> None:
        """Write new content to the objects of every cluster."""
        self.world.fill(objects=3)

    @rule(key=st.sampled_from(_KEYS))
    def put(self, key: str) -> None:
        self.world.put(key)

    @rule(key=st.sampled_from(_KEYS))
    def put_first_content_again(self, key: str) -> None:
        self.world.put(key, b"%s first\n" % key.encode())

    @rule(key=st.sampled_from(_KEYS))
    def put_too_large(self, key: str) -> None:
        self.world.put(key, b"x" * (_MAX_OBJECT_BYTES + 1))

    @rule(key=st.sampled_from([*_HOSTILE, _MARKER]))
    def put_hostile(self, key: str) -> None:
        self.world.put(key, b"" if key == _MARKER else None)

    @rule(key=st.sampled_from([*_KEYS, *_HOSTILE]))
    def delete(self, key: str) -> None:
        self.world.delete(key)

    @rule(cluster=st.sampled_from(["east", "west"]))
    def delete_cluster(self, cluster: str) -> None:
        for key in self.world.chronicle.now():
            if key.startswith(f"{PREFIX}{cluster}/"):
                self.world.delete(key)

    # -- whole runs -------------------------------------------------------------------------------

    @rule(volume=st.booleans(), mode=st.sampled_from(["incremental", "full"]))
    def sync(self, volume: bool, mode: str) -> None:
        self._attempt(self.volumes[volume], "run", "--mode", mode)

    @rule(volume=st.booleans(), name=st.sampled_from(list(_FILTERS)))
    def sync_filtered(self, volume: bool, name: str) -> None:
        """Check that excluded files do not change."""
        filters, selects = _FILTERS[name]
        before = self._tree()
        self._attempt(self.volumes[volume], "run", **filters)
        after = self._tree()
        touched = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        if unexpected := [path for path in touched if not selects(path.removeprefix(PREFIX))]:
            raise Unsafe(f"{name}: {unexpected}")

    @rule(volume=st.booleans())
    def dry_run(self, volume: bool) -> None:
        """Check that neither Git nor the state changes."""
        sync = self.volumes[volume]
        state = sync.work_dir / "sync-metadata.json"
        before = branches(self.world.repository), state.read_bytes() if state.exists() else None
        result = self._attempt(sync, "run", "--dry-run")
        after = branches(self.world.repository), state.read_bytes() if state.exists() else None
        if before != after or result.exit not in {0, 30, 40}:
            raise Unsafe(f"a dry run ended with {result.exit} and changed {before} to {after}")

    @rule(volume=st.booleans(), fault=st.sampled_from(_FAULTS), number=st.integers(1, 12))
    def sync_with_store_fault(self, volume: bool, fault: str, number: int) -> None:
        proxy = self.place.proxy
        proxy.install(_faults(self, number)[fault])
        try:
            self._attempt(self.volumes[volume])
        finally:
            proxy.clear()

    @rule(volume=st.booleans(), call=st.integers(1, 1500), orphans=st.booleans())
    def sync_and_kill(self, volume: bool, call: int, orphans: bool) -> None:
        """Send SIGKILL at a system call; with `orphans` git may continue for a while."""
        ended, _ = fork_server().run(self.volumes[volume], instant=Instant(call), orphans=orphans)
        fork_server().settle()
        self.counts["kills"] += ended.signalled
        self._check()

    # -- runs step by step ------------------------------------------------------------------------

    @precondition(lambda self: len(self.pending) < _MOST_PENDING)
    @rule(volume=st.booleans(), steps=st.integers(1, 3))
    def start_run(self, volume: bool, steps: int) -> None:
        """Run the first steps of a run."""
        self._started += 1
        run = StepByStep(self.volumes[volume], f"run-{self._started}")
        self.pending.append(run)
        for _ in range(steps):
            self._advance(run)

    @precondition(lambda self: self.pending)
    @rule(which=st.integers(0, _MOST_PENDING - 1), steps=st.integers(1, len(STEPS)))
    def continue_run(self, which: int, steps: int) -> None:
        """Run the next steps of a started run."""
        run = self.pending[which % len(self.pending)]
        for _ in range(steps):
            if not run.ended:
                self._advance(run)

    @precondition(lambda self: self.pending)
    @rule(which=st.integers(0, _MOST_PENDING - 1), step=st.sampled_from(STEPS[1:]))
    def repeat_step(self, which: int, step: str) -> None:
        self._call(self.pending[which % len(self.pending)], step)

    @precondition(lambda self: self.pending)
    @rule(which=st.integers(0, _MOST_PENDING - 1))
    def abandon_run(self, which: int) -> None:
        self.pending.pop(which % len(self.pending))

    def _advance(self, run: StepByStep) -> None:
        run.done += 1
        self._call(run, STEPS[run.done - 1])

    def _call(self, run: StepByStep, step: str) -> None:
        self._attempt(run.sync, step, "--run-id", run.run_id)

    # -- other users ------------------------------------------------------------------------------

    @rule(key=st.sampled_from(_KEYS))
    def edit_as_other_user(self, key: str) -> None:
        self.world.commit_as_other_user({key: b"theirs"})
        self._check()

    @rule(what=st.sampled_from(list(_FOREIGN)))
    def commit_as_other_user(self, what: str) -> None:
        existing = self._tree("") if self._tip else {}
        files = {
            path: value
            for path, value in _FOREIGN[what].items()
            if value is not None or any(f"{known}/".startswith(f"{path}/") for known in existing)
        }
        if files:
            self.world.commit_as_other_user(files)
            self._check()

    @precondition(lambda self: self._tip)
    @rule()
    def delete_branch(self) -> None:
        git(self.world.repository, "update-ref", "-d", "refs/heads/main")
        self.world.oracle.forget()

    @precondition(lambda self: self._tip)
    @rule(back=st.integers(1, 3))
    def reset_branch(self, back: int) -> None:
        commits = log(self.world.repository)
        git(self.world.repository, "update-ref", "refs/heads/main", commits[min(back, len(commits) - 1)])
        self.world.oracle.rewound()

    # -- volumes ----------------------------------------------------------------------------------

    @rule(volume=st.booleans())
    def remove_cache(self, volume: bool) -> None:
        shutil.rmtree(self.volumes[volume].work_dir / ".git-sync" / "cache", ignore_errors=True)

    @rule(volume=st.booleans())
    def remove_volume(self, volume: bool) -> None:
        shutil.rmtree(self.volumes[volume].work_dir, ignore_errors=True)

    @rule(volume=st.booleans())
    def copy_volume(self, volume: bool) -> None:
        here = self.volumes[volume].work_dir
        if here.exists():
            shutil.rmtree(_copy_of(here), ignore_errors=True)
            shutil.copytree(here, _copy_of(here), symlinks=True)

    @rule(volume=st.booleans(), onto=st.booleans())
    def restore_copy(self, volume: bool, onto: bool) -> None:
        """Restore an old copy to its volume or to the other one."""
        copy, here = _copy_of(self.volumes[volume].work_dir), self.volumes[onto].work_dir
        if copy.exists():
            shutil.rmtree(here, ignore_errors=True)
            shutil.copytree(copy, here, symlinks=True)

    # -- invariants -------------------------------------------------------------------------------

    @rule(volume=st.booleans())
    def settle(self, volume: bool) -> None:
        """Check that a run without faults is exact, after files in the place of clusters are removed."""
        sync = self.volumes[volume]
        self._remove_obstacles()
        self.world.put(_KEYS[0])  # with an empty bucket every deletion is refused
        if self.guarded:
            self._approve_all(sync)
        self.world.settle(sync, self._expected())

    def teardown(self) -> None:
        if sys.exception() is None:
            self.settle(volume=True)
            self.settle(volume=False)
            self.world.commit_as_other_user(dict.fromkeys(self._expected(), b"theirs"))
            self.settle(volume=False)  # with a cache from before the other user's commit
            self.counts["examples"] += 1
            self.counts["commits"] += self.world.oracle.commits
            self._exits.close()

    @property
    def _tip(self) -> str | None:
        return branches(self.world.repository).get("main")

    def _tree(self, prefix: str = PREFIX) -> Mapping[str, object]:
        return tree(self.world.repository, prefix=prefix) if self._tip else {}

    def _attempt(self, sync: Sync, *arguments: str, **settings: str) -> CommandResult:
        result = self.world.attempt(sync, *arguments, **settings)
        if "please report it" in result.errors:
            raise Unsafe(result.errors)
        self._check()
        self.counts["calls"] += 1
        self.counts[f"exit {result.exit}"] += 1
        return result

    def _check(self) -> None:
        self.world.oracle.check()

    def _remove_obstacles(self) -> None:
        files = self._tree("")
        clusters = {f"{PREFIX}{name}" for name in _clusters(self.world.chronicle.now())}
        if obstacles := {PREFIX.rstrip("/"), *clusters} & files.keys():
            self.world.commit_as_other_user(dict.fromkeys(obstacles))

    def _approve_all(self, sync: Sync) -> None:
        raise NotImplementedError

    def _expected(self) -> dict[str, bytes]:
        """Return the files that Git must have after a run without faults: all except bad keys."""
        bucket = {key: body for key, body in self.world.chronicle.now().items() if key != _MARKER}
        files = contents(self.world.repository, prefix=PREFIX) if self._tip else {}
        safe = {key for key, body in bucket.items() if key not in _HOSTILE and len(body) <= _MAX_OBJECT_BYTES}
        accepted = safe - _above(safe, safe)
        in_no_cluster = {path for path in self._tree() if path.count("/") == PREFIX.count("/")}
        kept = {path for path in self._tree() if path in bucket.keys() - accepted} | in_no_cluster
        losers = _above(accepted, kept) | {path for path in accepted if _above(kept, {path})}
        return {
            **{path: files[path] for path in kept & files.keys()},
            **{path: bucket[path] for path in accepted - losers},
        }


def _copy_of(volume: Path) -> Path:
    return volume.with_name(f"{volume.name}-copy")


def _above(paths: Iterable[str], others: Iterable[str]) -> set[str]:
    """Return the paths that are a directory of one of the others."""
    return {path for path in paths if any(other.startswith(f"{path}/") for other in others)}


def _clusters(paths: Iterable[str]) -> set[str]:
    return {path.removeprefix(PREFIX).split("/")[0] for path in paths if path.count("/") > PREFIX.count("/")}


class GuardedMachine(Machine):
    """A world with guards: no run deletes more than they allow without an approval."""

    guarded = True
    _COUNT, _PERCENT = 1, 20.0

    def __init__(self) -> None:
        super().__init__()
        self._token = "west:0123456789abcdef"

    def _settings(self) -> dict[str, str]:
        guards = {"MAX_DELETE_COUNT": str(self._COUNT), "MAX_DELETE_PERCENT": str(self._PERCENT)}
        return super()._settings() | guards

    @rule(volume=st.booleans())
    def sync_with_old_approval(self, volume: bool) -> None:
        """Check that an approval of another set of deletions allows nothing."""
        self._attempt(self.volumes[volume], "run", "--allow-delete", self._token)

    def _approve_all(self, sync: Sync) -> None:
        """Run with all approvals that the refusals print; then nothing may be refused."""
        result = self._attempt(sync)
        tokens = _tokens(result)
        if (result.exit == 20) != bool(tokens):
            raise Unsafe(f"exit code {result.exit}, {len(tokens)} refusals: {result.errors}")
        if tokens:
            self._token = tokens[0]
            options = [option for token in tokens for option in ("--allow-delete", token)]
            if (again := self._attempt(sync, "run", *options)).exit != 0:
                raise Unsafe(f"approved deletions were refused: {again.errors}")
            self.counts["deletions approved"] += len(tokens)

    def _check(self) -> None:
        known = self.world.oracle.tip
        super()._check()
        tip = self.world.oracle.tip
        if tip and tip != known:
            since = log(self.world.repository, f"{known}..{tip}" if known else tip)
            for commit in set(since) - self.world.oracle.foreign:
                self._check_deletions(commit)

    def _check_deletions(self, commit: str) -> None:
        if not git(self.world.repository, "rev-list", "--parents", "-1", commit).split()[1:]:
            return  # a root commit deletes nothing
        before, after = (tree(self.world.repository, revision, PREFIX) for revision in (f"{commit}^", commit))
        allowed = message(self.world.repository, commit)
        for cluster in _clusters(before):
            paths = {path for path in before if path.startswith(f"{PREFIX}{cluster}/")}
            gone = paths - after.keys()
            too_many = len(gone) > self._COUNT and 100 * len(gone) > self._PERCENT * len(paths)
            vanished = gone == paths and not any(path.startswith(f"{PREFIX}{cluster}/") for path in after)
            if (too_many or vanished) and f"Git-Sync-Allowed-Deletion: {cluster} " not in allowed:
                raise Unsafe(f"{commit} deletes {len(gone)} of {len(paths)} files of {cluster}: {gone}")


def _tokens(result: CommandResult) -> list[str]:
    return [
        line["data"]["allow_delete"]
        for line in result.of("detect_changes", "error")
        if line["data"].get("allow_delete")
    ]


def _run(place: Place, case: str) -> Counts:
    """Run one example; every second one with guards."""
    kind = GuardedMachine if case.endswith(tuple("13579")) else Machine
    counts: Counter[str] = Counter()
    machine = seed(zlib.crc32(case.encode()))(
        type(kind.__name__, (kind,), {"place": place, "counts": counts})
    )
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=1,
            stateful_step_count=_STEPS,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
    return counts


FAMILY = Family("machine", "Random steps in any order", endless, _run, quick=2)
