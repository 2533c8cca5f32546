"""What a commit must change: a cluster's manifest compared with its tree in Git.

Planning is a pure function of tree and manifest, so that publish can repeat it when the branch has
moved. Both come joined by path, from functions that start a new pass, because two or three passes over
files need less memory than one list.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from steps.core.deletion_guard import DeletionCount, DeletionStats
from steps.core.git_objects import Change
from steps.core.git_objects import Mode as GitMode
from steps.core.intake_limits import MOST_CONFLICTS, Excess, Intake, IntakeLimits, OverLimit
from steps.core.keys import Reason
from steps.core.wording import SAMPLE_SIZE


class TreeRow(NamedTuple):
    """One entry of Git's recursive tree listing; trees are not listed."""

    path: bytes
    mode: str
    oid: str


class ManifestRow(NamedTuple):
    """One key of a cluster's complete listing, with the result of its download.

    ``state`` is "fetched" (the volume has the bytes), "unchanged" (Git has them), "vanished"
    (deleted between LIST and GET; the next run decides), "unavailable" (the store refuses it; Git
    keeps its file), "omitted" (the rules omit it), "secret_excluded" (it is a Secret that Git must not
    have), or a quarantine Reason. Of a rewritten object, ``state`` is also the length of the blob:
    "rewritten=1234". ``oid`` is the id of the blob to commit. Of an object that is omitted or
    secret_unreadable, it is the id of the blob in Git if a run with the same policy has written that.
    Otherwise it is empty. ``size`` and ``etag`` are always those of the object.
    """

    path: bytes
    state: str
    oid: str
    size: int
    etag: str

    @property
    def accepted(self) -> bool:
        """Whether Git has this object after the run."""
        return self.state in {FETCHED, UNCHANGED} or self.state.startswith(REWRITTEN)

    @property
    def length(self) -> int:
        """The length of the blob of a fetched object."""
        return int(self.state.removeprefix(REWRITTEN)) if self.state.startswith(REWRITTEN) else self.size

    @property
    def omitted(self) -> bool:
        """Whether the policy does not write this object although the bucket has it."""
        return self.state in {OMITTED, EXCLUDED_SECRET, Reason.SECRET_UNREADABLE}

    @property
    def quarantined(self) -> bool:
        """Whether the key was rejected; ``state`` then is the Reason."""
        return not self.accepted and self.state not in {VANISHED, UNAVAILABLE, OMITTED, EXCLUDED_SECRET}


FETCHED = "fetched"
UNCHANGED = "unchanged"
VANISHED = "vanished"
UNAVAILABLE = "unavailable"
OMITTED = "omitted"
EXCLUDED_SECRET = "secret_excluded"  # noqa: S105 - a label
REWRITTEN = "rewritten="


class PlanRow(NamedTuple):
    """One change: ``change`` is A (new), M (modified) or D (deleted); for D the old blob's id."""

    path: bytes
    change: Change
    oid: str
    size: int


# What Git has at a path, and the manifest's row of that path; paths ascend.
Pairs = Iterable[tuple[TreeRow | None, ManifestRow | None]]
Selects = Callable[[bytes], bool]
# Whether a missing file stays in Git; the paths of the calls ascend.
Keeps = Callable[[bytes], bool]


def within_limits(rows: Iterable[TreeRow], limits: IntakeLimits) -> Iterator[TreeRow]:
    """Yield a cluster's files in Git. Raises OverLimit at the first over MAX_OBJECTS.

    A tree of a few hundred bytes can have millions of paths, because its subtrees may be the same.
    """
    intake = Intake(limits)
    for row in rows:
        intake.add(row.path)
        yield row


def is_missing(in_git: bytes | None, listed: object | None, selects: Selects) -> bool:
    """Whether Git has the path, the listing lacks it, and the filters select it.

    This is the only condition under which a run deletes a file of which the bucket has no object. The proof
    of absence, the deletion guard and the plan all use it.
    """
    return in_git is not None and listed is None and selects(in_git)


class Fate(Enum):
    """What becomes of a file in Git whose object is not accepted."""

    KEPT = auto()
    # Deleted if the guard allows it.
    GUARDED = auto()
    # Deleted by a change of the policy: the guard only refuses to remove every file of a cluster.
    UNGUARDED = auto()
    # May be a Secret in clear text, so it is deleted in any case.
    SECRET = auto()


def _none(_: bytes) -> bool:
    return False


def fate(
    in_git: TreeRow, listed: ManifestRow | None, selects: Selects, names_secrets: Selects = _none
) -> Fate:
    """Return what becomes of a file in Git whose object is not accepted.

    A file that the same policy has written contains no Secret, so an object that becomes unreadable keeps it.
    ``names_secrets`` is whether a path says that the file contains Secrets.
    """
    if is_missing(in_git.path, listed, selects):
        return Fate.GUARDED
    if listed is None or not listed.omitted:
        return Fate.KEPT
    if listed.state == EXCLUDED_SECRET:
        return Fate.SECRET
    is_written_by_policy = listed.oid == in_git.oid
    if listed.state == OMITTED:
        return Fate.GUARDED if is_written_by_policy else Fate.UNGUARDED
    if is_written_by_policy:
        return Fate.KEPT
    return Fate.SECRET if names_secrets(in_git.path) else Fate.GUARDED


def deletion_stats(  # noqa: PLR0913 - a cluster's inputs
    cluster: str,
    pairs: Pairs,
    selects: Selects,
    *,
    branch: str | None,
    unchanged: int = 0,
    names_secrets: Selects = _none,
) -> DeletionStats:
    """Count the selected files in Git, and those that the run would delete.

    ``unchanged`` is the number of unchanged objects that ``pairs`` does not contain.
    """
    count = DeletionCount(cluster, branch, unchanged=unchanged)
    for in_git, listed in pairs:
        if listed is not None:
            count.accepted += listed.accepted or listed.omitted
            count.omitted += listed.omitted
        if in_git is None:
            continue
        if listed is not None and listed.accepted:
            count.in_git += selects(in_git.path)
            continue
        decided = fate(in_git, listed, selects, names_secrets)
        if decided is Fate.KEPT:
            count.in_git += selects(in_git.path)
            count.kept += 1
        elif decided is not Fate.SECRET:
            count.add_deletion(in_git.path, in_git.oid, guarded=decided is Fate.GUARDED)
    return count.stats


@dataclass
class Tally:
    """Counts of one planned cluster; ``files`` is the number of files in Git after the run.

    ``omitted`` are the deleted files of objects that the policy omits. ``on_kept_deletion`` receives the
    path of each missing file that stays in Git.
    """

    files: int = 0
    added: int = 0
    modified: int = 0
    deleted: int = 0
    omitted: int = 0
    kept_deletions: int = 0
    kept_deletions_sample: list[bytes] = field(default_factory=list)
    conflicts: list[bytes] = field(default_factory=list)
    on_kept_deletion: Callable[[bytes], None] | None = None

    def keep_missing(self, path: bytes) -> None:
        """Count a missing file that stays in Git."""
        self.files += 1
        self.kept_deletions += 1
        if len(self.kept_deletions_sample) < SAMPLE_SIZE:
            self.kept_deletions_sample.append(path)
        if self.on_kept_deletion is not None:
            self.on_kept_deletion(path)


def plan_changes(  # noqa: PLR0913 - a cluster's inputs, and what was decided about them
    pairs: Callable[[], Pairs],
    selects: Selects,
    *,
    changed: Pairs,
    stats: DeletionStats,
    keeps: Callable[[], Keeps] | None,
    tally: Tally,
    remove: Collection[bytes] = (),
    refused: bool = False,
    names_secrets: Selects = _none,
) -> Iterator[PlanRow]:
    """Yield the cluster's changes by path, ascending, and count them in ``tally``.

    Applied to the tree, they give the accepted objects, and the files that must stay: those that a
    filter excludes, quarantined keys, objects that vanished during the run, and the missing files for which
    ``keeps`` decides so; None keeps none. It returns a predicate for one pass over ascending paths. Missing
    files in ``remove`` are deleted in any case. ``refused``: the guard refused the deletions, also those of
    omitted objects. ``changed`` are the pairs without the objects that are known to be unchanged. Raises
    OverLimit only before the first change.
    """

    def deletes(keep: Keeps, in_git: TreeRow, listed: ManifestRow | None) -> bool | None:
        """Whether the run deletes a file without an accepted object; None if guard or grace keeps it."""
        decided = fate(in_git, listed, selects, names_secrets)
        if decided is Fate.KEPT:
            return False
        if listed is None:
            is_kept = in_git.path not in remove and keep(in_git.path)
        else:
            is_kept = refused and decided is not Fate.SECRET and (decided is Fate.GUARDED or stats.emptied)
        return None if is_kept else True

    conflicts: set[bytes] = set()
    if stats.kept or (stats.deletions and keeps):
        conflicts = _path_conflicts(pairs(), partial(deletes, keeps() if keeps else _none))
    tally.conflicts.extend(sorted(conflicts))
    keep = keeps() if keeps else _none
    for in_git, listed in changed:
        if listed is not None and listed.accepted and listed.path not in conflicts:
            tally.files += 1
            if in_git is None:
                tally.added += 1
                yield PlanRow(listed.path, Change.ADDED, listed.oid, listed.length)
            elif (in_git.mode, in_git.oid) != (GitMode.FILE, listed.oid):
                tally.modified += 1
                yield PlanRow(listed.path, Change.MODIFIED, listed.oid, listed.length)
        elif in_git is None:
            continue
        elif deleted := deletes(keep, in_git, listed):
            tally.deleted += 1
            tally.omitted += listed is not None
            yield PlanRow(in_git.path, Change.DELETED, in_git.oid, 0)
        elif deleted is None:
            tally.keep_missing(in_git.path)
        else:
            tally.files += 1


def keep_all() -> Keeps:
    """Return a predicate that keeps every missing file."""
    return lambda _: True


def _path_conflicts(
    pairs: Pairs, deletes: Callable[[TreeRow, ManifestRow | None], bool | None]
) -> set[bytes]:
    """Return the accepted paths that are below a kept file, or that a kept file needs as a directory.

    The file in Git wins, because otherwise it would be lost silently. Two accepted paths never conflict,
    because download has resolved the conflicts within the listing.
    """
    losers: set[bytes] = set()
    directories: Directories[bool] = Directories()
    for in_git, listed in pairs:
        if listed is not None and listed.accepted:
            path, kept = listed.path, False
        elif in_git is not None and not deletes(in_git, listed):
            path, kept = in_git.path, True
        else:
            continue
        for above, above_kept in directories.of(path, kept):
            if above_kept != kept:
                add_conflict(losers, path if above_kept else above)
    return losers


def add_conflict(conflicts: set[bytes], path: bytes) -> None:
    """Remember one more conflicting path. Raises OverLimit if there are more than MOST_CONFLICTS."""
    conflicts.add(path)
    if len(conflicts) > MOST_CONFLICTS:
        raise OverLimit(Excess.CONFLICTS, len(conflicts), MOST_CONFLICTS)


V = TypeVar("V")


class Directories(Generic[V]):
    """Finds, among ascending paths, the earlier ones that are a directory of a later one.

    In byte order they need not be neighbours ("a", "a-x", "a.x", "a/b"), but every path between them
    begins with the first one. So a short chain of prefixes contains all candidates.
    """

    def __init__(self) -> None:
        self._chain: list[tuple[bytes, V]] = []

    def of(self, path: bytes, value: V) -> list[tuple[bytes, V]]:
        """Add the next path with a value, and return the earlier paths that are its directories."""
        chain = self._chain
        while chain and not path.startswith(chain[-1][0]):
            chain.pop()
        found = [above for above in chain if path.startswith(b"/", len(above[0]))]
        chain.append((path, value))
        return found
