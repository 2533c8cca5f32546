"""What a commit must change: manifests against what Git holds.

Planning is a pure function of a cluster's tree and its manifest, so that it can be done again on
another tree when the branch has moved. Both come as functions that start a fresh pass, because two
or three passes over files cost less memory than one list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from steps.core.flood import MOST_CONFLICTS, Flood, HeldBack
from steps.core.guards import DeletionToken, Survey
from steps.core.merge import outer_join

PLAIN_FILE = "100644"


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


class PlanRow(NamedTuple):
    """One change: ``change`` is A (new), M (modified) or D (deleted); for D the old blob's id."""

    path: bytes
    change: str
    oid: str
    size: int


TreePass = Callable[[], Iterable[TreeRow]]
ManifestPass = Callable[[], Iterable[ManifestRow]]
Selects = Callable[[bytes], bool]


def survey(cluster: str, tree: TreePass, manifest: ManifestPass, selects: Selects) -> Survey:
    """Count what is in Git (of what the run is about) and what would be deleted."""
    in_git = accepted = deletions = kept = 0
    token = DeletionToken(cluster)
    for held, listed in outer_join(tree(), manifest()):
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
    return Survey(in_git, accepted, deletions, kept, str(token))


@dataclass
class Tally:
    """Counts of one planned cluster; ``files`` is what Git holds of it afterwards."""

    files: int = 0
    added: int = 0
    modified: int = 0
    deleted: int = 0
    kept_deletions: int = 0
    conflicts: list[bytes] = field(default_factory=list)


def plan(  # noqa: PLR0913 - a cluster's three inputs, and what was decided over them
    tree: TreePass,
    manifest: ManifestPass,
    selects: Selects,
    *,
    surveyed: Survey,
    delete: bool,
    tally: Tally,
) -> Iterator[PlanRow]:
    """Yield the cluster's changes by path, ascending, and count them in ``tally``.

    Applied to the tree they give: the accepted objects, and of the rest what must be kept
    (deselected, quarantined, vanished mid-run, or deletions refused: ``delete`` False). Raises HeldBack,
    if at all, before the first change.
    """
    conflicts: set[bytes] = set()
    if surveyed.kept or (surveyed.deletions and not delete):
        conflicts = _path_conflicts(tree, manifest, selects, delete=delete)
    tally.conflicts.extend(sorted(conflicts))
    for held, listed in outer_join(tree(), manifest()):
        if listed is not None and listed.accepted and listed.path not in conflicts:
            if held is None:
                tally.added += 1
                yield PlanRow(listed.path, "A", listed.oid, listed.size)
            elif (held.mode, held.oid) != (PLAIN_FILE, listed.oid):
                tally.modified += 1
                yield PlanRow(listed.path, "M", listed.oid, listed.size)
            tally.files += 1
        elif held is not None and listed is None and selects(held.path):
            if delete:
                tally.deleted += 1
                yield PlanRow(held.path, "D", held.oid, 0)
            else:
                tally.kept_deletions += 1
                tally.files += 1
        elif held is not None:
            tally.files += 1


def _path_conflicts(tree: TreePass, manifest: ManifestPass, selects: Selects, *, delete: bool) -> set[bytes]:
    """Return the accepted paths that cannot be, for a kept path is their directory or below them.

    Git wins, or a kept file would be lost unheard. Two accepted paths never conflict: the manifest
    has settled that (see ``file_and_directory``).
    """

    def final() -> Iterator[tuple[bytes, bool]]:
        for held, listed in outer_join(tree(), manifest()):
            if listed is not None and listed.accepted:
                yield listed.path, False
            elif held is not None and not (delete and listed is None and selects(held.path)):
                yield held.path, True

    losers: set[bytes] = set()
    for (above, above_kept), (below, below_kept) in _containments(final()):
        if above_kept != below_kept:
            _add_conflict(losers, below if above_kept else above)
    return losers


def _add_conflict(conflicts: set[bytes], path: bytes) -> None:
    conflicts.add(path)
    if len(conflicts) > MOST_CONFLICTS:
        raise HeldBack(Flood.CONFLICTS, len(conflicts), MOST_CONFLICTS)


def _containments(
    paths: Iterable[tuple[bytes, bool]],
) -> Iterator[tuple[tuple[bytes, bool], tuple[bytes, bool]]]:
    """Yield each pair of paths of which the first is a leading directory of the second.

    They are no neighbours in byte order ("a", "a-x", "a.x", "a/b"), but whatever stands between
    them begins with the first; so the candidates are a short chain of prefixes.
    """
    chain: list[bytes] = []
    kept_by_path: dict[bytes, bool] = {}
    for path, kept in paths:
        while chain and not path.startswith(chain[-1]):
            del kept_by_path[chain.pop()]
        slash = path.find(b"/")
        while slash != -1:
            above = path[:slash]
            if above in kept_by_path:
                yield (above, kept_by_path[above]), (path, kept)
            slash = path.find(b"/", slash + 1)
        chain.append(path)
        kept_by_path[path] = kept


def file_and_directory(paths: Iterable[bytes]) -> set[bytes]:
    """Return the paths (ascending) that are also a directory of others: the children are kept.

    Raises HeldBack where they are too many.
    """
    found: set[bytes] = set()
    for (above, _), _ in _containments((path, False) for path in paths):
        _add_conflict(found, above)
    return found


def applied(tree: Iterable[TreeRow], changes: Iterable[PlanRow]) -> Iterator[TreeRow]:
    """Yield the tree that results when ``changes`` are made to ``tree``."""
    for held, change in outer_join(tree, changes):
        if change is None:
            assert held is not None  # noqa: S101 - outer_join yields no pair of Nones
            yield held
        elif change.change != "D":
            yield TreeRow(change.path, PLAIN_FILE, change.oid)
