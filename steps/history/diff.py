"""diff: how the objects of a cluster differ between two times, or those of two clusters at one time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from steps.core.changes import TreeRow
from steps.core.git_objects import EMPTY_TREE, Change, Mode
from steps.core.operations import Operation
from steps.errors import FixCommandLine
from steps.history.snapshot import IRREGULAR, find_commit, require_cluster
from steps.history.versions import Unread, Version, read_again, read_versions
from steps.kubernetes import changes
from steps.kubernetes.changes import Level, Located
from steps.kubernetes.normal import diff_lines, visible
from steps.kubernetes.selection import namespace_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from steps.clients.git.objects import Objects
    from steps.history.session import Session
    from steps.history.snapshot import Snapshot
    from steps.kubernetes.secrets import SecretsPolicy
    from steps.kubernetes.selection import ObjectFilter
    from steps.kubernetes.volatile import RuleSet


class Side(NamedTuple):
    """A cluster at a commit; ``snapshot`` is None if the cluster does not exist there."""

    cluster: str
    commit: str
    snapshot: Snapshot | None


class Pair(NamedTuple):
    """An object that differs: its versions, and how they differ."""

    before: Version | None
    after: Version | None
    change: Change
    level: Level

    @property
    def newer(self) -> Version:
        """The version that exists, the later one of two."""
        found = self.after or self.before
        assert found is not None  # noqa: S101 - a pair has one of them
        return found

    @property
    def namespace(self) -> str:
        """The namespace, also of an object that does not name it."""
        return namespace_of(self.newer.facts.identity, self.newer.path)


@dataclass
class Comparison:
    """Two sides, and what differs; ``volatile`` are objects that differ only in volatile fields."""

    before: Side
    after: Side
    objects: Objects
    rules: RuleSet
    secrets: SecretsPolicy
    chosen: ObjectFilter
    pairs: list[Pair] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    volatile: int = 0

    @property
    def is_drift(self) -> bool:
        """Whether two clusters are compared."""
        return self.before.cluster != self.after.cluster

    @property
    def counts(self) -> Counter[Change]:
        """How many objects are only on one side, or differ."""
        return Counter(pair.change for pair in self.pairs)

    def diffs(self) -> Iterator[tuple[Pair, list[str]]]:
        """Yield the pairs with the lines of their unified diff."""
        wanted = ((pair.before, pair.after) for pair in self.pairs)
        for pair, (before, after) in zip(self.pairs, read_again(self.objects, wanted), strict=True):
            shown = visible(before, after, self.secrets, self._paths(pair))
            yield pair, diff_lines(*shown, self.rules)

    def _paths(self, pair: Pair) -> set[str]:
        sides = ((self.before.cluster, pair.before), (self.after.cluster, pair.after))
        return {f"{cluster}{one.path.decode(errors='replace')}" for cluster, one in sides if one}


def sides(
    opened: Session, clusters: Sequence[str], since: str | None, until: str | None
) -> list[tuple[Side, Side, Objects]]:
    """Return what to compare: each cluster at two times, or two clusters at one time.

    Raises FixCommandLine if the options name neither.
    """
    is_drift = since is None
    if is_drift and len(clusters) != 2:  # noqa: PLR2004 - a pair
        raise FixCommandLine(
            Operation.GIT_DIFF,
            "Failed to read the options",
            "diff compares two times (--from TIME) or two clusters (--cluster A,B)",
        )
    later = opened.moment("--to", until)
    earlier = opened.moment("--from", since, start_of_day=True) if since is not None else later
    commits = [find_commit(opened.source, earlier), find_commit(opened.source, later)]
    objects = opened.source.with_trees([commit.oid for commit in commits])
    old, new = (
        opened.view(commit, objects, at) for commit, at in zip(commits, (earlier, later), strict=True)
    )
    for name in clusters:
        require_cluster(name, {*old.clusters, *new.clusters}, new.commit.oid)
    if is_drift:
        first, second = (Side(name, new.commit.oid, new.clusters[name]) for name in clusters)
        return [(first, second, objects)]
    return [
        (
            Side(name, old.commit.oid, old.clusters.get(name)),
            Side(name, new.commit.oid, new.clusters.get(name)),
            objects,
        )
        for name in clusters or sorted({*old.clusters, *new.clusters})
    ]


def compare(opened: Session, before: Side, after: Side, objects: Objects, chosen: ObjectFilter) -> Comparison:
    """Compare the objects of two sides by identity; those that differ only in volatile fields are counted."""
    result = Comparison(before, after, objects, opened.rules, opened.secrets, chosen)
    path = opened.source.path
    old_rows: list[TreeRow] = []
    new_rows: list[TreeRow] = []
    for change in objects.changes(_tree(after, path), base=_tree(before, path)):
        for oid, rows, absent in (
            (change.before, old_rows, Change.ADDED),
            (change.after, new_rows, Change.DELETED),
        ):
            if oid:
                rows.append(TreeRow(b"/" + change.path, Mode.FILE, oid))
            elif change.change != absent:
                result.unread.append(Unread(change.path, IRREGULAR))
    opened.source.fetch_blobs({row.oid for row in (*old_rows, *new_rows)})
    versions: dict[int, Version] = {}
    old, new = [_located(opened, result, rows, chosen, versions) for rows in (old_rows, new_rows)]
    # The other version of a file that cannot be read would look deleted or new.
    unread = {f"/{one.path.decode(errors='replace')}" for one in result.unread}
    old, new = ([one for one in side if one.path not in unread] for side in (old, new))
    for found in changes.compare(old, new):
        if found.level <= Level.VOLATILE:
            result.volatile += 1
            continue
        first, second = (
            None if facts is None else versions[id(facts)] for facts in (found.before, found.after)
        )
        result.pairs.append(Pair(first, second, found.change, found.level))
    result.pairs.sort(key=_order)
    result.unread = sorted(set(result.unread))
    return result


def _tree(side: Side, path: str) -> str:
    return EMPTY_TREE if side.snapshot is None else f"{side.commit}:{path}{side.cluster}"


def _located(
    opened: Session,
    result: Comparison,
    rows: list[TreeRow],
    chosen: ObjectFilter,
    versions: dict[int, Version],
) -> list[Located]:
    found = []
    for one in read_versions(opened.source, result.objects, rows, chosen, result.rules):
        if isinstance(one, Unread):
            result.unread.append(one._replace(path=one.path[1:]))
            continue
        versions[id(one.facts)] = one  # versions keeps the facts, so their ids stay unique
        found.append(Located(one.path.decode(errors="replace"), one.facts))
    return found


def _order(pair: Pair) -> tuple[str, str, str, str, bytes]:
    identity = pair.newer.facts.identity
    return pair.namespace, identity.kind, identity.group, identity.name, pair.newer.path
