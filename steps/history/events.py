"""What happened to objects: one event for each change of an object in each commit, newest first."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from steps.core.git_objects import Change
from steps.core.keys import printable, printable_path
from steps.core.message import parse_trailers
from steps.core.operations import Operation
from steps.errors import FixCommandLine
from steps.history.snapshot import IRREGULAR, File, find_commit, time_of
from steps.history.versions import Version, may_contain, objects_of, read_again
from steps.kubernetes import changes
from steps.kubernetes.changes import Level, Located
from steps.kubernetes.details import details, not_comparable
from steps.kubernetes.facts import facts_of
from steps.kubernetes.normal import diff_lines, visible
from steps.kubernetes.objects import MAX_BYTES, TOO_LARGE, Unreadable
from steps.kubernetes.selection import namespace_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from steps.clients.git.objects import LoggedCommit, Objects
    from steps.core.git_objects import BlobChange
    from steps.history.moments import Moment
    from steps.history.session import Session
    from steps.kubernetes.changes import ObjectChange
    from steps.kubernetes.facts import Facts
    from steps.kubernetes.objects import KubernetesObject
    from steps.kubernetes.secrets import SecretsPolicy
    from steps.kubernetes.selection import ObjectFilter
    from steps.kubernetes.volatile import RuleSet

    _Objects: TypeAlias = tuple[KubernetesObject | None, KubernetesObject | None]

# Parsed files take about ten times as much memory as their text, their facts about as much.
_CACHED_BYTES = 2**20
_PARSED_BYTES = 2 * 2**20
# Changed files of commits whose blobs are read together: each read starts two processes of git.
_FILES_READ_TOGETHER = 200
# More files are not compared: their objects and facts would be in memory at once.
_MAX_FILES_OF_CLUSTER = 20_000
_BATCH_BYTES = 8 * 2**20


_PLAIN_NAME = re.compile(r"[A-Za-z0-9.:_-]+")


class Pattern(NamedTuple):
    """``CLUSTER/NAMESPACE/KIND/NAME``, each a glob; parts at the end may be missing."""

    cluster: str = "*"
    namespace: str = "*"
    kind: str = "*"
    name: str = "*"

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Parse it. Raises FixCommandLine."""
        parts = text.split("/", 3)
        if not all(parts[:1]) or not text.strip("/"):
            raise FixCommandLine(
                Operation.GIT_DIFF,
                "Failed to read the pattern",
                f"{printable(text)!r}: write CLUSTER/NAMESPACE/KIND/NAME, as in 'prod-*/shop/Role/ci'",
            )
        return cls(*parts)

    @property
    def literal(self) -> bytes:
        """What every file that contains a matching object contains, unless its bytes can hide a text."""
        return self.name.encode() if _PLAIN_NAME.fullmatch(self.name) else b""

    def has(self, cluster: str, namespace: str, facts: Facts) -> bool:
        """Whether it matches an object."""
        identity = facts.identity
        kinds = (identity.kind.lower(), f"{identity.kind}.{identity.group}".lower())
        return (
            fnmatchcase(cluster, self.cluster)
            and fnmatchcase(namespace, self.namespace)
            and any(fnmatchcase(kind, self.kind.lower()) for kind in kinds)
            and fnmatchcase(identity.name, self.name)
        )


@dataclass(frozen=True)
class Event:
    """A change of an object; ``what`` says what happened, ``diff`` is empty unless it was asked for."""

    cluster: str
    change: Change
    level: Level
    group: str
    kind: str
    namespace: str
    name: str
    path: str
    what: tuple[str, ...]
    diff: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClusterEvents:
    """What a commit did to a cluster.

    ``committed_at`` is None if the commit has no valid time.
    ``listed_at`` is None if the commit is not a run of git-sync, or if the run did not list the cluster.
    ``not_read`` are files with the reason why their objects are not known. ``first`` is the number of files
    of the branch's first commit, whose objects are not events unless a pattern selects them.
    """

    commit: str
    committed_at: datetime | None
    cluster: str
    listed_at: datetime | None
    is_run: bool
    events: tuple[Event, ...]
    not_read: tuple[tuple[str, str], ...] = ()
    first: int = 0


class Parsed(NamedTuple):
    """The objects of a file, or why they are not known; ``data`` is empty if only the facts are in memory."""

    facts: tuple[Facts, ...]
    data: tuple[KubernetesObject, ...]
    reason: str
    size: int


@dataclass(frozen=True)
class Query:
    """What to read."""

    pattern: Pattern | None
    chosen: ObjectFilter
    since: Moment | None
    until: Moment
    with_volatile: bool = False
    with_diffs: bool = False


def events(session: Session, query: Query) -> Iterator[ClusterEvents]:
    """Yield what happened in the period, newest first; a few MiB are in memory at a time."""
    source = session.source
    newest = find_commit(source, query.until)
    count, rewritten = _period(session, newest, query)
    if not count:
        return
    objects = source.with_trees([newest.oid], count + 1)
    cluster = query.pattern.cluster if query.pattern else "*"
    if source.is_remote:
        wanted = objects.line_changes(newest.oid, count, source.path)
        source.fetch_blobs({oid for _, found in wanted for one in found for oid in _oids(one)})
    reader = _Reader(objects, query.pattern.literal if query.pattern else b"", session.rules)
    secrets = session.secrets
    for group in _groups(
        objects.line_changes(newest.oid, count, source.path), len(source.path.encode()), cluster
    ):
        readers = [
            _ClusterReader(reader, secrets, query, *one, has_other_rules=(one[0].oid, one[1]) in rewritten)
            for one in group
        ]
        parsed = reader.read(oid for one in readers for oid in one.wanted())
        for one in readers:
            happened = one.read(parsed)
            if happened.events or happened.not_read or happened.first:
                yield happened


def _groups(
    commits: Iterable[tuple[LoggedCommit, list[BlobChange]]], cut: int, cluster: str
) -> Iterator[list[tuple[LoggedCommit, str, list[BlobChange]]]]:
    """Yield groups of changed clusters in the order of the commits, with about _FILES_READ_TOGETHER files."""
    group = []
    files = 0
    for commit, found in commits:
        rows = [one._replace(path=one.path[cut:]) for one in found]
        for name, ours in groupby(rows, key=lambda one: one.path.partition(b"/")[0].decode(errors="replace")):
            if fnmatchcase(name, cluster):
                group.append((commit, name, list(ours)))
                files += len(group[-1][2])
        if files >= _FILES_READ_TOGETHER:
            yield group
            group, files = [], 0
    yield group


def _oids(row: BlobChange) -> list[str]:
    return [oid for oid in (row.before, row.after) if oid]


def _period(session: Session, newest: LoggedCommit, query: Query) -> tuple[int, frozenset[tuple[str, str]]]:
    """Return the number of commits of the period, and those that rewrote a cluster by other rules.

    Rules are compared with those of the last run before that listed the cluster.
    """
    count = 0
    is_inside = True
    later: dict[str, tuple[str, str]] = {}
    rewritten = set()
    end = find_commit(session.source, query.since).oid if query.since and query.since.commit else ""
    start = query.since.at.timestamp() if query.since and query.since.at else None
    for commit in session.source.commits(newest.oid):
        at = commit.committed_at
        if commit.oid == end or (start is not None and at is not None and at <= start):
            is_inside = False
        trailers = parse_trailers(commit.message)
        for cluster in trailers.listed:
            oid, rules = later.pop(cluster, ("", trailers.rules))
            if rules != trailers.rules:
                rewritten.add((oid, cluster))
            if is_inside:
                later[cluster] = commit.oid, trailers.rules
        if not (is_inside or later):
            break
        count += is_inside
    return count, frozenset(rewritten)


class _Reader:
    """Parses blobs; those of the last few MiB stay in memory, because a file often changes repeatedly."""

    def __init__(self, objects: Objects, literal: bytes, rules: RuleSet) -> None:
        self.rules = rules
        self._objects = objects
        self._literal = literal
        self._cache: OrderedDict[str, Parsed] = OrderedDict()
        self._bytes = 0

    def read(self, oids: Iterable[str]) -> dict[str, Parsed]:
        """Return the objects of these blobs by id."""
        found: dict[str, Parsed] = {}
        missing = []
        for oid in dict.fromkeys(oids):
            if (known := self._cache.get(oid)) is not None:
                self._cache.move_to_end(oid)
                found[oid] = known
            else:
                missing.append(oid)
        if not missing:
            return found
        sizes = self._objects.sizes(missing)
        small = []
        for oid in missing:
            size = sizes.get(oid)
            if size is None or size > MAX_BYTES:
                reason = TOO_LARGE if size else "the repository lacks its content"
                found[oid] = Parsed((), (), reason, 0)
            else:
                small.append(oid)
        with_data = sum(sizes[oid] for oid in small) <= _PARSED_BYTES
        for batch in _batches(small, sizes):
            for oid, content in self._objects.contents(batch):
                found[oid] = self._keep(oid, self._parsed(content, with_data=with_data))
        return found

    def _parsed(self, content: bytes, *, with_data: bool) -> Parsed:
        if not may_contain(content, [self._literal]):
            return Parsed((), (), "", len(content))
        return _parsed(content, self.rules, with_data=with_data)

    def again(self, pairs: Iterable[tuple[Version | None, Version | None]]) -> Iterator[_Objects]:
        """Yield the objects of pairs of which only the facts are in memory."""
        return read_again(self._objects, pairs)

    def _keep(self, oid: str, parsed: Parsed) -> Parsed:
        self._cache[oid] = parsed
        self._bytes += parsed.size
        while self._bytes > _CACHED_BYTES:
            _, old = self._cache.popitem(last=False)
            self._bytes -= old.size
        return parsed


def _batches(oids: list[str], sizes: dict[str, int]) -> Iterator[list[str]]:
    batch: list[str] = []
    total = 0
    for oid in oids:
        batch.append(oid)
        total += sizes[oid]
        if total >= _BATCH_BYTES:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def _parsed(content: bytes, rules: RuleSet, *, with_data: bool) -> Parsed:
    try:
        found = objects_of(File(b"", "", content))
        facts = tuple(facts_of(one, rules) for one in found)
        return Parsed(facts, tuple(found) if with_data else (), "", len(content))
    except Unreadable as problem:
        return Parsed((), (), str(problem), len(content))


@dataclass(frozen=True)
class _ClusterReader:
    """What one commit did to one cluster."""

    reader: _Reader
    secrets: SecretsPolicy
    query: Query
    commit: LoggedCommit
    cluster: str
    rows: list[BlobChange]
    has_other_rules: bool

    @property
    def _is_first(self) -> bool:
        return not self.commit.parent and self.query.pattern is None

    @property
    def _has_too_many(self) -> bool:
        return len(self.rows) > _MAX_FILES_OF_CLUSTER

    def wanted(self) -> Iterator[str]:
        """Yield the blobs to read."""
        if not (self._is_first or self._has_too_many):
            yield from (oid for row in self.rows for oid in _oids(row))

    def read(self, parsed: Mapping[str, Parsed]) -> ClusterEvents:
        """Return the events."""
        if self._is_first:
            return self._result([], [], len(self.rows))
        if self._has_too_many:
            return self._result([], [("", f"more than {_MAX_FILES_OF_CLUSTER:,} files changed")], 0)
        not_read: list[tuple[str, str]] = []
        sides: tuple[list[Located], list[Located]] = ([], [])
        known: dict[int, tuple[Version, KubernetesObject | None]] = {}
        for row in self.rows:
            if (reason := _reason(row, parsed)) is not None:
                not_read.append((printable_path(row.path.partition(b"/")[2]), reason))
                continue
            path = row.path.decode(errors="replace")
            for oid, side in zip((row.before, row.after), sides, strict=True):
                file = parsed[oid] if oid else Parsed((), (), "", 0)
                for position, facts in enumerate(file.facts):
                    version = Version(row.path, oid, position, facts)
                    known[id(facts)] = version, file.data[position] if file.data else None
                    side.append(Located(path, facts))
        return self._result(self._events(sides, known), not_read, 0)

    def _events(
        self,
        sides: tuple[list[Located], list[Located]],
        known: Mapping[int, tuple[Version, KubernetesObject | None]],
    ) -> list[Event]:
        query = self.query
        chosen = []
        for change in changes.compare(*sides):
            if change.level <= Level.VOLATILE and not query.with_volatile:
                continue
            facts = change.facts
            namespace = namespace_of(facts.identity, change.path.encode())
            if query.pattern and not query.pattern.has(self.cluster, namespace, facts):
                continue
            if query.chosen.has(facts.identity, namespace):
                chosen.append((change, namespace))
        pairs = [
            tuple(None if one is None else known[id(one)] for one in (change.before, change.after))
            for change, _ in chosen
        ]
        roles = changes.roles_of(one.facts for one in sides[1])
        found = [
            self._event(change, namespace, versions, _paths(pair), roles)
            for (change, namespace), pair, versions in zip(
                chosen, pairs, self._objects_of(pairs), strict=True
            )
        ]
        return sorted(found, key=lambda one: (one.namespace, one.kind, one.name, one.path))

    def _objects_of(
        self, pairs: list[tuple[tuple[Version, KubernetesObject | None] | None, ...]]
    ) -> Iterator[_Objects]:
        """Yield the objects of pairs of versions, from memory if all of them are there."""
        if all(one is None or one[1] is not None for pair in pairs for one in pair):
            yield from ((before and before[1], after and after[1]) for before, after in pairs)
        else:
            yield from self.reader.again(
                (before and before[0], after and after[0]) for before, after in pairs
            )

    def _event(
        self,
        change: ObjectChange,
        namespace: str,
        versions: _Objects,
        paths: set[str],
        roles: changes.Roles,
    ) -> Event:
        before, after = visible(*versions, self.secrets, paths)
        if before is not versions[0] or after is not versions[1]:
            change = change._replace(
                before=before and facts_of(before, self.reader.rules),
                after=after and facts_of(after, self.reader.rules),
            )
        identity = change.facts.identity
        return Event(
            cluster=printable(self.cluster),
            change=change.change,
            level=change.level,
            group=printable(identity.group),
            kind=printable(identity.kind) or "document",
            namespace=printable(namespace),
            name=printable(identity.name),
            path=printable(change.path.partition("/")[2]),
            what=tuple(
                details(
                    change,
                    before,
                    after,
                    roles,
                    self.reader.rules,
                    unknown=not_comparable(*versions, has_other_rules=self.has_other_rules),
                )
            ),
            diff=tuple(diff_lines(before, after, self.reader.rules)) if self.query.with_diffs else (),
        )

    def _result(self, found: list[Event], not_read: list[tuple[str, str]], first: int) -> ClusterEvents:
        commit = self.commit
        trailers = parse_trailers(commit.message)
        return ClusterEvents(
            commit.oid,
            time_of(commit),
            printable(self.cluster),
            trailers.listed.get(self.cluster),
            trailers.run_id is not None,
            tuple(found),
            tuple(not_read),
            first,
        )


def _paths(pair: Iterable[tuple[Version, KubernetesObject | None] | None]) -> set[str]:
    return {one[0].path.decode(errors="replace") for one in pair if one}


def _reason(row: BlobChange, parsed: Mapping[str, Parsed]) -> str | None:
    """Return why the objects of a file are not known; None if they are."""
    has_before = bool(row.before) or row.change == Change.ADDED
    if not has_before or not (row.after or row.change == Change.DELETED):
        return IRREGULAR
    return next((parsed[oid].reason for oid in (row.after, row.before) if oid and parsed[oid].reason), None)
