"""Planning a run: every cluster's manifest against a tree, under the guards.

detect plans against the baselines; publish plans again where the branch has moved meanwhile.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from steps.contracts import (
    BaselineRow,
    ClusterFailure,
    ClusterResult,
    ManifestFooter,
    ManifestHeader,
    Run,
    Status,
)
from steps.core.changes import UNCHANGED_FIELD, ManifestRow, PlanRow, Tally, TreeRow, plan, survey
from steps.core.deletion_guard import DeletionStats, approval, is_approved, rule
from steps.core.intake_limits import OverLimit, Usage, over_run_limits
from steps.core.keys import Reason, printable
from steps.core.operations import Operation
from steps.core.sorted_join import outer_join
from steps.workdir.files import read_document
from steps.workdir.rowfile import (
    Damaged,
    count_rows,
    decoder,
    join_lines,
    read_footer,
    read_header,
    read_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from steps.core.changes import Pairs
    from steps.workdir.volume import RunFiles

_SAMPLE = 20


def baseline_tree(files: RunFiles, cluster: str) -> Iterator[TreeRow]:
    """What Git held of a cluster when the run began."""
    return (TreeRow(row.path, row.mode, row.oid) for row in read_rows(files.baseline(cluster), BaselineRow))


class Planner:
    """Plans all clusters of a run; ``results`` is complete once ``rows`` has been iterated.

    ``tree`` gives what Git holds of a cluster, a fresh pass each time; None stands for the baselines.
    ``settled`` clusters keep the result that they have, by name: nothing is planned for them.
    """

    def __init__(
        self,
        run: Run,
        files: RunFiles,
        tree: Callable[[str], Iterable[TreeRow]] | None,
        settled: Mapping[str, ClusterResult],
    ) -> None:
        self._run = run
        self._files = files
        self._tree = tree
        self._settled = settled
        self._footers: dict[str, ManifestFooter] = {}
        self.results: list[ClusterResult] = []

    def rows(self) -> Iterator[PlanRow]:
        """Yield every change of every cluster, by path in byte order."""
        surveys: dict[str, DeletionStats] = {}
        for name in self._run.clusters:
            if name in self._settled:
                self.results.append(self._settled[name])
            elif failure := self._failure(name):
                self.results.append(failure)
            else:
                self._footers[name] = read_footer(self._files.manifest(name), ManifestFooter)
                changed, unchanged = self._changed(name)
                surveys[name] = survey(name, changed, self._run.selection.has_path, unchanged=unchanged)
        # What a filter leaves out, a guard, or another run's commit, is there all the same.
        left_out = self._run.clusters_excluded + sum(footer.excluded for footer in self._footers.values())
        elsewhere = any(result.status in {Status.OVER_LIMIT, Status.SUPERSEDED} for result in self.results)
        bucket_is_empty = not (left_out or elsewhere or any(one.accepted for one in surveys.values()))
        too_much = over_run_limits(
            {name: self._demand(name, surveyed) for name, surveyed in surveys.items()},
            self._run.intake_limits,
        )
        for name, surveyed in surveys.items():
            try:
                if name in too_much:
                    raise too_much[name]
                yield from self._plan(name, surveyed, bucket_is_empty)
            except OverLimit as flood:
                self.results.append(_over_limit(name, flood))

    def _demand(self, name: str, surveyed: DeletionStats) -> Usage:
        footer = self._footers[name]
        return Usage(surveyed.accepted, footer.new_objects, footer.new_bytes)

    def _plan(self, name: str, surveyed: DeletionStats, bucket_is_empty: bool) -> Iterator[PlanRow]:  # noqa: FBT001 - a fact, no mode
        allowed = is_approved(name, surveyed.token, self._run.allow_delete)
        footer = self._footers[name]
        decision = rule(
            surveyed,
            self._run.deletion_limits,
            allowed=allowed,
            left_out=footer.excluded > 0,
            bucket_is_empty=bucket_is_empty,
        )
        changed, unchanged = self._changed(name)
        tally = Tally(files=unchanged)
        yield from plan(
            lambda: self._pairs(name),
            self._run.selection.has_path,
            changed=changed,
            surveyed=surveyed,
            delete=decision is decision.DELETE,
            tally=tally,
        )
        conflicts = [printable(path.decode(errors="replace")) for path in tally.conflicts]
        quarantined = Counter(footer.quarantined)
        quarantined[Reason.PATH_CONFLICT.value] += len(conflicts)
        result = ClusterResult(
            name=name,
            status=Status.REFUSED if decision.refused else Status.OK,
            files=tally.files,
            added=tally.added,
            modified=tally.modified,
            deleted=tally.deleted,
            accepted=surveyed.accepted - len(conflicts),
            fetched=footer.fetched,
            fetched_bytes=footer.fetched_bytes,
            decision=decision,
            deletions_refused=tally.kept_deletions if decision.refused else 0,
            allow_delete=approval(name, surveyed.token) if decision.refused else None,
            allowed_deletion=surveyed.token if allowed and tally.deleted else None,
            quarantined=dict(+quarantined),
            changes_deferred=footer.unavailable,
            quarantined_sample=(*footer.quarantined_sample, *conflicts)[:_SAMPLE],
            listed_at=read_header(self._files.manifest(name), ManifestHeader).listed_at,
            newest_object_at=footer.newest_object_at,
        )
        self.results.append(result)

    def _pairs(self, name: str) -> Pairs:
        tree = self._tree or partial(baseline_tree, self._files)
        return outer_join(tree(name), read_rows(self._files.manifest(name), ManifestRow))

    def _changed(self, name: str) -> tuple[Pairs, int]:
        """The pairs without unchanged objects as far as those can be told cheaply, and the number of these.

        An object is unchanged against the baseline alone.
        """
        if self._tree is not None:
            return self._pairs(name), 0
        unchanged = self._footers[name].unchanged
        baseline, manifest = self._files.baseline(name), self._files.manifest(name)
        if unchanged == count_rows(manifest) == count_rows(baseline):
            return (), unchanged
        return _unlike(baseline, manifest), unchanged

    def _failure(self, name: str) -> ClusterResult | None:
        """Say why the cluster has no usable manifest: then it is a failed one, never an empty one."""
        try:
            count_rows(self._files.manifest(name))
            header = read_header(self._files.manifest(name), ManifestHeader)
            if (header.run_id, header.cluster) != (self._run.run_id, name):
                raise Damaged(f"{name}: the manifest is of {header.run_id}, {printable(header.cluster)}")
        except FileNotFoundError:
            failure = self._recorded_failure(name)
        except Damaged as problem:
            failure = _unexplained(name, problem.error)
        else:
            return None
        return ClusterResult(
            name=name,
            status=Status.OVER_LIMIT if failure.over_limit else Status.FAILED,
            over_limit=failure.over_limit,
            operation=failure.operation,
            error=failure.error,
            transient=failure.transient,
        )

    def _recorded_failure(self, name: str) -> ClusterFailure:
        try:
            return read_document(self._files.failure(name), ClusterFailure)
        except FileNotFoundError:
            return _unexplained(name, "its download did not finish")


def _unlike(baseline: Path, manifest: Path) -> Iterator[tuple[TreeRow | None, ManifestRow | None]]:
    """Pair the rows of a baseline and its manifest, but for those of unchanged objects."""
    held_row, listed_row = decoder(BaselineRow), decoder(ManifestRow)
    for held, listed in join_lines(baseline, manifest):
        if listed is None or not listed.startswith(UNCHANGED_FIELD):
            yield (
                None if held is None else TreeRow(*held_row(held)[:3]),
                None if listed is None else listed_row(listed),
            )


def _over_limit(name: str, flood: OverLimit) -> ClusterResult:
    return ClusterResult(
        name=name,
        status=Status.OVER_LIMIT,
        over_limit=flood.flood,
        operation=Operation.DETECT_CHANGES,
        error=str(flood),
    )


def _unexplained(name: str, error: str) -> ClusterFailure:
    return ClusterFailure(cluster=name, operation=Operation.DOWNLOAD, error=error, transient=True)
