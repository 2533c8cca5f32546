"""What a commit must change: manifests against what Git holds.

Planning is a pure function of a cluster's tree and its manifest, so that it can be done again on
another tree when the branch has moved. They come joined, from functions that start a fresh pass,
because two or three passes over files cost less memory than one list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from steps.core.deletion_guard import DeletionStats, DeletionToken
from steps.core.git_objects import Change
from steps.core.git_objects import Mode as GitMode
from steps.core.intake_limits import MOST_CONFLICTS, Excess, OverLimit


class TreeRow(NamedTuple):
    """One entry of Git's recursive tree listing, no trees among them."""

    path: bytes
    mode: str
    oid: str


class ManifestRow(NamedTuple):
    """One key of a cluster's proven listing, and what became of it.

    ``state`` is "fetched" (the bytes are on the volume), "unchanged" (Git holds them), "vanished"
    (gone between LIST and GET: the next run decides), or a quarantine Reason. ``oid`` is the id of
    the blob with the object's content, empty unless fetched or unchanged.
    """

    path: bytes
    state: str
    oid: str
    size: int
    etag: str

    @property
    def accepted(self) -> bool:
        """Whether this object is to be in Git after the run."""
        return self.state in {FETCHED, UNCHANGED}

    @property
    def quarantined(self) -> bool:
        """Whether the key was rejected; ``state`` then is the Reason."""
        return not self.accepted and self.state != VANISHED


FETCHED = "fetched"
UNCHANGED = "unchanged"
VANISHED = "vanished"

# How the line of an unchanged object begins in a manifest, where lines are compared as they stand.
UNCHANGED_FIELD = f"{UNCHANGED}\t".encode()


class PlanRow(NamedTuple):
    """One change: ``change`` is A (new), M (modified) or D (deleted); for D the old blob's id."""

    path: bytes
    change: Change
    oid: str
    size: int


# What Git holds at a path, and what the manifest says of it; paths ascend.
Pairs = Iterable[tuple[TreeRow | None, ManifestRow | None]]
Selects = Callable[[bytes], bool]


def survey(cluster: str, pairs: Pairs, selects: Selects, *, unchanged: int = 0) -> DeletionStats:
    """Count what is in Git (of what the run is about) and what would be deleted.

    ``unchanged`` objects are not among the pairs.
    """
    in_git = accepted = unchanged
    deletions = kept = 0
    token = DeletionToken(cluster)
    for held, listed in pairs:
        accepted += listed is not None and listed.accepted
        if held is None:
            continue
        selected = selects(held.path)
        in_git += selected
        if listed is None and selected:
            deletions += 1
            token.add(held.path)
        else:
            kept += listed is None or not listed.accepted
    return DeletionStats(in_git, accepted, deletions, kept, str(token))


@dataclass
class Tally:
    """Counts of one planned cluster; ``files`` is what Git holds of it afterwards."""

    files: int = 0
    added: int = 0
    modified: int = 0
    deleted: int = 0
    kept_deletions: int = 0
    conflicts: list[bytes] = field(default_factory=list)


def plan(  # noqa: PLR0913 - a cluster's inputs, and what was decided over them
    pairs: Callable[[], Pairs],
    selects: Selects,
    *,
    changed: Pairs,
    surveyed: DeletionStats,
    delete: bool,
    tally: Tally,
) -> Iterator[PlanRow]:
    """Yield the cluster's changes by path, ascending, and count them in ``tally``.

    Applied to the tree they give: the accepted objects, and of the rest what must be kept
    (deselected, quarantined, vanished mid-run, or deletions refused: ``delete`` False).
    ``changed`` are the pairs without those of which an unchanged object is known. Raises HeldBack, if at
    all, before the first change.
    """
    conflicts: set[bytes] = set()
    if surveyed.kept or (surveyed.deletions and not delete):
        conflicts = _path_conflicts(pairs(), selects, delete=delete)
    tally.conflicts.extend(sorted(conflicts))
    for held, listed in changed:
        if listed is not None and listed.accepted and listed.path not in conflicts:
            if held is None:
                tally.added += 1
                yield PlanRow(listed.path, Change.ADDED, listed.oid, listed.size)
            elif (held.mode, held.oid) != (GitMode.FILE, listed.oid):
                tally.modified += 1
                yield PlanRow(listed.path, Change.MODIFIED, listed.oid, listed.size)
            tally.files += 1
        elif held is not None and listed is None and selects(held.path):
            if delete:
                tally.deleted += 1
                yield PlanRow(held.path, Change.DELETED, held.oid, 0)
            else:
                tally.kept_deletions += 1
                tally.files += 1
        elif held is not None:
            tally.files += 1


def _path_conflicts(pairs: Pairs, selects: Selects, *, delete: bool) -> set[bytes]:
    """Return the accepted paths that cannot be, for a kept path is their directory or below them.

    Git wins, or a kept file would be lost unheard. Two accepted paths never conflict: the manifest
    has settled that, of the listing.
    """
    losers: set[bytes] = set()
    directories: Directories[bool] = Directories()
    for held, listed in pairs:
        if listed is not None and listed.accepted:
            path, kept = listed.path, False
        elif held is not None and not (delete and listed is None and selects(held.path)):
            path, kept = held.path, True
        else:
            continue
        for above, above_kept in directories.of(path, kept):
            if above_kept != kept:
                add_conflict(losers, path if above_kept else above)
    return losers


def add_conflict(conflicts: set[bytes], path: bytes) -> None:
    """Remember one more path that cannot be. Raises HeldBack where they are too many."""
    conflicts.add(path)
    if len(conflicts) > MOST_CONFLICTS:
        raise OverLimit(Excess.CONFLICTS, len(conflicts), MOST_CONFLICTS)


V = TypeVar("V")


class Directories(Generic[V]):
    """Tells of ascending paths which of those before stand where a directory of the next one belongs.

    They are no neighbours in byte order ("a", "a-x", "a.x", "a/b"), but whatever stands between
    them begins with the first; so the candidates are a short chain of prefixes.
    """

    def __init__(self) -> None:
        self._chain: list[tuple[bytes, V]] = []

    def of(self, path: bytes, value: V) -> list[tuple[bytes, V]]:
        """Take the next path with what is to be known of it, and return those in its way."""
        chain = self._chain
        while chain and not path.startswith(chain[-1][0]):
            chain.pop()
        found = [above for above in chain if path.startswith(b"/", len(above[0]))]
        chain.append((path, value))
        return found
