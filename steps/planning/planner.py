"""Planning a run: every cluster's manifest compared with a tree, under the guards.

detect plans against the baselines; publish plans again if the branch has moved since.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from steps.contracts import ClusterFailure, ClusterResult, ForeignFile, Run, Status
from steps.core.changes import (
    ManifestRow,
    PlanRow,
    Tally,
    TreeRow,
    deletion_stats,
    is_missing,
    keep_all,
    plan_changes,
)
from steps.core.deletion_guard import Decision, DeletionStats, ForeignFiles, approval, decide, is_approved
from steps.core.git_objects import Change
from steps.core.grace import PendingDeletion
from steps.core.intake_limits import OverLimit, Usage, over_run_limits
from steps.core.keys import Reason, printable, printable_path
from steps.core.namespaces import (
    FEWEST_FILES,
    NamespaceVanished,
    Vanished,
    VanishedNamespace,
    keeps_namespaces,
    namespace_of,
    vanished_namespaces,
)
from steps.core.operations import Operation
from steps.core.sorted_join import outer_join
from steps.core.wording import SAMPLE_SIZE
from steps.kubernetes.secret_filter import names_secrets
from steps.planning.cluster_trees import DamagedCluster
from steps.planning.failures import over_limit_failure
from steps.workdir.files import read_document
from steps.workdir.rowfile import Damaged, RowFile, decoder, is_unchanged_line, join_lines, path_of, read_rows
from steps.workdir.rows import BaselineRow, ManifestFooter, ManifestHeader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from steps.core.changes import Pairs
    from steps.core.grace import Grace
    from steps.workdir.pending import PendingDeletions
    from steps.workdir.volume import RunFiles


def baseline_tree(files: RunFiles, cluster: str) -> Iterator[TreeRow]:
    """Return the cluster's files in Git when the run began."""
    return _tree_rows(read_rows(files.baseline(cluster), BaselineRow))


class Planner:
    """Plans all clusters of a run; ``results`` is complete when ``rows`` has been iterated.

    ``tree`` returns a cluster's files in Git, in a new pass at each call; None means the baselines.
    ``settled`` are results of clusters, by name, that are not planned.
    ``on_refused_deletion`` receives the path of each deletion that the guard refuses. ``foreign`` are missing
    files, by cluster and path, that are no matter of the guard: FOREIGN_FILES keeps or removes them.
    """

    def __init__(  # noqa: PLR0913 - a run, a tree, and what is known about clusters and files
        self,
        run: Run,
        files: RunFiles,
        tree: Callable[[str], Iterable[TreeRow]] | None,
        settled: Mapping[str, ClusterResult],
        *,
        on_refused_deletion: Callable[[bytes], None] | None = None,
        foreign: Mapping[str, Mapping[bytes, ForeignFile]] = MappingProxyType({}),
        pending: PendingDeletions | None = None,
    ) -> None:
        self._run = run
        self._files = files
        self._tree = tree
        self._settled = settled
        self._on_refused_deletion = on_refused_deletion
        self._foreign = foreign
        self._pending = pending
        self.results: list[ClusterResult] = []

    def rows(self) -> Iterator[PlanRow]:
        """Yield every change of every cluster, by path in byte order."""
        inputs: dict[str, _Inputs] = {}
        for name in self._run.clusters:
            if name in self._settled:
                self.results.append(self._settled[name])
                continue
            cluster = self._read(name)
            if isinstance(cluster, ClusterFailure):
                self.results.append(_failed(name, cluster))
            else:
                inputs[name] = cluster
        bucket_is_empty = self._bucket_is_empty(inputs.values())
        over_limit = over_run_limits(
            {name: cluster.usage for name, cluster in inputs.items()}, self._run.intake_limits
        )
        for name, cluster in inputs.items():
            try:
                if name in over_limit:
                    raise over_limit[name]
                yield from self._plan(name, cluster, bucket_is_empty=bucket_is_empty)
            except OverLimit as problem:
                self.results.append(
                    _failed(name, over_limit_failure(name, Operation.DETECT_CHANGES, problem))
                )

    def _read(self, name: str) -> _Inputs | ClusterFailure:
        """Open a cluster's files. Without a usable manifest the cluster is failed, never empty."""
        try:
            manifest = RowFile(self._files.manifest(name))
            header = manifest.header(ManifestHeader)
            if (header.run_id, header.cluster) != (self._run.run_id, name):
                owner = f"run {header.run_id}, cluster {printable(header.cluster)}"
                raise Damaged(f"{name}: the manifest belongs to {owner}")
        except FileNotFoundError:
            return self._recorded_failure(name)
        except Damaged as problem:
            return _unexplained(name, problem.error)
        footer = manifest.footer(ManifestFooter)
        baseline = RowFile(self._files.baseline(name)) if self._tree is None else None
        changed, unchanged = self._changed(name, manifest, footer, baseline)
        try:
            stats = deletion_stats(
                *(name, changed, self._guarded(name)),
                branch=self._run.branch,
                unchanged=unchanged,
                names_secrets=_names_secrets,
            )
        except OverLimit as problem:  # the tree has changed since discover read it
            return over_limit_failure(name, Operation.DETECT_CHANGES, problem)
        except DamagedCluster as problem:  # the same
            error = f"{problem.message}: {problem.error}"
            return ClusterFailure(cluster=name, operation=problem.operation, error=error, transient=False)
        return _Inputs(manifest, header, footer, baseline, stats)

    def _recorded_failure(self, name: str) -> ClusterFailure:
        try:
            return read_document(self._files.failure(name), ClusterFailure)
        except FileNotFoundError:
            return _unexplained(name, "its download did not finish")

    def _bucket_is_empty(self, inputs: Iterable[_Inputs]) -> bool:
        """Whether the bucket has no object at all, as far as the run can see.

        Objects that a filter, a limit or another run's commit excludes from this run count as well.
        """
        if self._run.clusters_excluded:
            return False
        if any(result.status in {Status.OVER_LIMIT, Status.SUPERSEDED} for result in self.results):
            return False
        return not any(cluster.stats.accepted or cluster.footer.excluded for cluster in inputs)

    def _plan(self, name: str, cluster: _Inputs, *, bucket_is_empty: bool) -> Iterator[PlanRow]:
        footer, stats = cluster.footer, cluster.stats
        approved = is_approved(name, stats.token, self._run.allow_delete)
        decision, lost, keeping = self._decide(name, cluster, bucket_is_empty=bucket_is_empty)
        changed, unchanged = self._changed(name, cluster.manifest, footer, cluster.baseline)
        tally = Tally(unchanged, on_kept_deletion=self._on_refused_deletion if decision.refused else None)
        foreign = self._foreign.get(name, {})
        removed = foreign if self._removes_foreign(footer, bucket_is_empty=bucket_is_empty) else {}
        rows = plan_changes(
            lambda: self._pairs(name, cluster.manifest, cluster.baseline),
            self._run.selection.has_path if removed else self._guarded(name),
            changed=changed,
            stats=stats,
            keeps=keeping,
            tally=tally,
            remove=removed,
            refused=decision.refused,
            names_secrets=_names_secrets,
        )
        yield from lost.watched(rows) if lost.number else rows
        conflicts = _printable(tally.conflicts)
        quarantined = Counter(footer.quarantined) + Counter({Reason.PATH_CONFLICT.value: len(conflicts)})
        unwritten = footer.omitted + footer.quarantined.get(Reason.SECRET_UNREADABLE, 0)
        result = ClusterResult(
            name=name,
            status=_status(decision),
            files=tally.files,
            added=tally.added,
            modified=tally.modified,
            deleted=tally.deleted,
            accepted=stats.accepted - len(conflicts) - unwritten,
            fetched=footer.fetched,
            fetched_bytes=footer.fetched_bytes,
            rewritten=footer.rewritten,
            cut_bytes=footer.cut_bytes,
            kept_exactly=footer.kept_exactly,
            omitted=footer.omitted,
            decision=decision,
            deletions_refused=tally.kept_deletions if decision.refused else 0,
            deletions_refused_sample=_printable(tally.kept_deletions_sample) if decision.refused else (),
            allow_delete=approval(name, stats.token) if decision.refused else None,
            allowed_deletion=stats.token if approved and tally.deleted else None,
            vanished_namespaces=lost.number,
            vanished_namespaces_sample=lost.results(),
            deletions_pending=keeping.grace.waiting if keeping and keeping.grace else 0,
            deletions_pending_sample=_pending(keeping.grace) if keeping and keeping.grace else (),
            quarantined=dict(quarantined),
            removed_by_policy=tally.omitted,
            secrets=footer.secrets,
            secret_paths=footer.secret_paths if self._run.policy.secrets is None else 0,
            excluded_in_git=0 if self._run.filtered_by_options else footer.excluded_in_git,
            excluded_in_git_sample=() if self._run.filtered_by_options else footer.excluded_in_git_sample,
            changes_deferred=footer.unavailable,
            foreign=tuple(file.model_copy(update={"removed": bool(removed)}) for file in foreign.values()),
            unavailable_sample=footer.unavailable_sample,
            quarantined_sample=(*footer.quarantined_sample, *conflicts)[:SAMPLE_SIZE],
            listed_at=cluster.header.listed_at,
            newest_object_at=footer.newest_object_at,
        )
        self.results.append(result)

    def _removes_foreign(self, footer: ManifestFooter, *, bucket_is_empty: bool) -> bool:
        removes = self._run.deletion_limits.foreign_files is ForeignFiles.REMOVE
        return removes and footer.absences_proven and not bucket_is_empty

    def _decide(
        self, name: str, cluster: _Inputs, *, bucket_is_empty: bool
    ) -> tuple[Decision, _LostNamespaces, _Keeping | None]:
        """Return the guard's decision, the vanished namespaces, and which missing files stay in Git."""
        approved = is_approved(name, cluster.stats.token, self._run.allow_delete)
        decision = self._decision(cluster, approved=approved, bucket_is_empty=bucket_is_empty)
        lost = _LostNamespaces()
        if decision is not Decision.DELETE or not cluster.stats.deletions:
            return decision, lost, None if decision is Decision.DELETE else _Keeping(everything=True)
        if cluster.stats.accepted and cluster.stats.deletions >= FEWEST_FILES:
            lost = _LostNamespaces.among(self._vanished(name, cluster))
        policy = self._run.deletion_limits.namespace_vanished
        if approved:
            return decision, lost, None
        if lost.number and policy is NamespaceVanished.REFUSE:
            return Decision.REFUSED_NAMESPACE, lost, _Keeping(everything=True)
        keeping = _Keeping()
        if lost.number and policy is NamespaceVanished.KEEP:
            keeping.namespaces = lambda: self._vanished(name, cluster)
        if pending := self._pending:
            keeping.graces = lambda: pending.grace(name, cluster.header.listed_at)
        return decision, lost, keeping if keeping.namespaces or keeping.graces else None

    def _decision(self, cluster: _Inputs, *, approved: bool, bucket_is_empty: bool) -> Decision:
        decision = decide(
            cluster.stats,
            self._run.deletion_limits,
            approved=approved,
            excluded=cluster.footer.excluded > 0,
            bucket_is_empty=bucket_is_empty,
        )
        if decision is Decision.DELETE and cluster.stats.deletions and not cluster.footer.absences_proven:
            # download found that the guard refuses these deletions, and did not request the objects.
            return Decision.REFUSED_MASS_DELETION
        return decision

    def _vanished(self, name: str, cluster: _Inputs) -> Iterator[Vanished]:
        """Yield the namespaces of the cluster without any object, in a new pass over all its paths."""
        guarded = self._guarded(name)

        def paths() -> Iterator[tuple[bytes, bool]]:
            if cluster.baseline is None:
                for in_git, listed in self._pairs(name, cluster.manifest, None):
                    row = in_git or listed
                    assert row is not None  # noqa: S101 - one of the two has the path
                    yield row.path, is_missing(in_git and row.path, listed, guarded)
            else:
                for old, new in join_lines(cluster.baseline, cluster.manifest):
                    path = path_of(old or new or b"")
                    yield path, is_missing(old and path, new, guarded)

        return vanished_namespaces(paths())

    def _guarded(self, name: str) -> Callable[[bytes], bool]:
        """Return whether the deletion guard decides about a missing path: it is selected and not foreign."""
        selects = self._run.selection.has_path
        foreign = self._foreign.get(name)
        return (lambda path: path not in foreign and selects(path)) if foreign else selects

    def _pairs(self, name: str, manifest: RowFile, baseline: RowFile | None) -> Pairs:
        if baseline is not None:
            tree: Iterable[TreeRow] = _tree_rows(baseline.rows(BaselineRow))
        else:
            assert self._tree is not None  # noqa: S101 - without a baseline there is a tree
            tree = self._tree(name)
        return outer_join(tree, manifest.rows(ManifestRow))

    def _changed(
        self, name: str, manifest: RowFile, footer: ManifestFooter, baseline: RowFile | None
    ) -> tuple[Pairs, int]:
        """Return the pairs without the unchanged objects that are cheap to recognize, and their number.

        An object is recorded as unchanged against the baseline, so another tree needs every pair.
        """
        if baseline is None:
            return self._pairs(name, manifest, None), 0
        if footer.unchanged == len(manifest) == len(baseline):
            return (), footer.unchanged
        return _changed_pairs(baseline, manifest), footer.unchanged


class _Inputs(NamedTuple):
    """What a cluster's plan is made of; ``baseline`` is None if it is planned on another tree."""

    manifest: RowFile
    header: ManifestHeader
    footer: ManifestFooter
    baseline: RowFile | None
    stats: DeletionStats

    @property
    def usage(self) -> Usage:
        """What the cluster adds to the run."""
        return Usage(self.stats.accepted, self.footer.new_objects, self.footer.new_bytes)


@dataclass
class _LostNamespaces:
    """The number of vanished namespaces of a cluster, the first of them, and which of those are deleted."""

    number: int = 0
    sample: tuple[Vanished, ...] = ()
    deleted: set[bytes] = field(default_factory=set)

    @classmethod
    def among(cls, vanished: Iterator[Vanished]) -> _LostNamespaces:
        sample = tuple(islice(vanished, SAMPLE_SIZE))
        return cls(len(sample) + sum(1 for _ in vanished), sample)

    def watched(self, rows: Iterable[PlanRow]) -> Iterator[PlanRow]:
        """Yield the rows, and note the namespaces of the sample in which files are deleted."""
        prefixes = {lost.prefix for lost in self.sample}
        for row in rows:
            if row.change is Change.DELETED and (prefix := namespace_of(row.path)) in prefixes:
                self.deleted.add(prefix)
            yield row

    def results(self) -> tuple[VanishedNamespace, ...]:
        return tuple(
            VanishedNamespace(
                name=printable_path(lost.name), files=lost.files, deleted=lost.prefix in self.deleted
            )
            for lost in self.sample
        )


@dataclass
class _Keeping:
    """Which missing files of a cluster stay in Git; each call returns a predicate for one pass.

    ``grace`` is the wait of the last pass, with its counts.
    """

    everything: bool = False
    namespaces: Callable[[], Iterator[Vanished]] | None = None
    graces: Callable[[], Grace] | None = None
    grace: Grace | None = None

    def __call__(self) -> Callable[[bytes], bool]:
        if self.everything:
            return keep_all()
        rules: list[Callable[[bytes], bool]] = []
        if self.namespaces:
            rules.append(keeps_namespaces(self.namespaces()))
        if self.graces:
            self.grace = self.graces()
            rules.append(self.grace.keeps)
        return rules[0] if len(rules) == 1 else lambda path: any(rule(path) for rule in rules)


def _pending(grace: Grace) -> tuple[PendingDeletion, ...]:
    return tuple(
        PendingDeletion(path=printable_path(row.path), since=datetime.fromtimestamp(row.since, UTC))
        for row in grace.sample
    )


def _tree_rows(baseline: Iterable[BaselineRow]) -> Iterator[TreeRow]:
    return (TreeRow(row.path, row.mode, row.oid) for row in baseline)


def _changed_pairs(
    baseline: RowFile, manifest: RowFile
) -> Iterator[tuple[TreeRow | None, ManifestRow | None]]:
    """Pair the rows of a baseline and its manifest, without the unchanged objects."""
    baseline_row, manifest_row = decoder(BaselineRow), decoder(ManifestRow)
    for in_git, listed in join_lines(baseline, manifest):
        if listed is None or not is_unchanged_line(listed):
            yield (
                None if in_git is None else TreeRow(*baseline_row(in_git)[:3]),
                None if listed is None else manifest_row(listed),
            )


def _names_secrets(path: bytes) -> bool:
    return names_secrets(path.decode(errors="replace"))


def _printable(paths: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(map(printable_path, paths))


def _failed(name: str, failure: ClusterFailure) -> ClusterResult:
    return ClusterResult(
        name=name,
        status=Status.OVER_LIMIT if failure.over_limit else Status.FAILED,
        over_limit=failure.over_limit,
        operation=failure.operation,
        error=failure.error,
        transient=failure.transient,
    )


def _unexplained(name: str, error: str) -> ClusterFailure:
    return ClusterFailure(cluster=name, operation=Operation.DOWNLOAD, error=error, transient=True)


def _status(decision: Decision) -> Status:
    if decision is Decision.KEEP:
        return Status.KEPT
    return Status.REFUSED if decision.refused else Status.OK
