"""The deletions that wait for DELETE_GRACE: since when each file is missing, one file per cluster.

The state says which listing was published last. Rows of another listing are ignored, so the waits start
again if the state or the file is lost, or if runs without DELETE_GRACE came between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps.core.changes import is_missing
from steps.core.grace import Grace, PendingRow
from steps.core.operations import Operation
from steps.core.sorted_join import outer_join
from steps.runtime import logs
from steps.workdir.rowfile import Damaged, RowFile, join_lines, path_of, write_rows
from steps.workdir.rows import ManifestHeader, PendingHeader
from steps.workdir.state_file import read_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from steps.contracts import Run
    from steps.workdir.volume import RunFiles, Volume


class PendingDeletions:
    """The waits of one run's clusters, on its volume."""

    def __init__(self, volume: Volume, run: Run) -> None:
        self._volume = volume
        self._run = run
        self._listed = _listed(volume, run)

    def grace(self, cluster: str, listed_at: datetime) -> Grace:
        """Return the decision about the missing files of this listing, for one pass."""
        rows = self._rows(cluster, listed_at)
        return Grace(rows, now=_seconds(listed_at), seconds=self._run.delete_grace.total_seconds())

    def update(self, cluster: str, files: RunFiles) -> None:
        """Record the files that the listing of the run's manifest lacks, and forget those that came back."""
        manifest = RowFile(files.manifest(cluster))
        listed_at = manifest.header(ManifestHeader).listed_at
        header = PendingHeader(
            identity=self._run.identity,
            cluster=cluster,
            listed_at=listed_at,
            after=self._listed.get(cluster),
        )
        missing = self._missing(RowFile(files.baseline(cluster)), manifest, _seconds(listed_at))
        rows = self._merged(self._rows(cluster, listed_at), missing)
        write_rows(self._volume.pending(cluster), header, rows)

    def _missing(self, baseline: RowFile, manifest: RowFile, now: int) -> Iterator[PendingRow]:
        for in_git, listed in join_lines(baseline, manifest):
            if in_git is not None and is_missing(
                path := path_of(in_git), listed, self._run.selection.has_path
            ):
                yield PendingRow(path, now)

    def _merged(self, before: Iterable[PendingRow], missing: Iterable[PendingRow]) -> Iterator[PendingRow]:
        for old, new in outer_join(before, missing):
            if new is not None:
                yield new if old is None else PendingRow(new.path, min(old.since, new.since))
            elif old is not None and not self._run.selection.has_path(old.path):
                yield old  # a filter excludes it, so this listing says nothing about it

    def _rows(self, cluster: str, listed_at: datetime) -> Iterable[PendingRow]:
        try:
            file = RowFile(self._volume.pending(cluster))
            header = file.header(PendingHeader)
        except FileNotFoundError:
            return ()
        except Damaged as problem:
            logs.warning(Operation.DISCOVER, "Ignoring a damaged cache", error=problem.error)
            return ()
        # A publish that is repeated after a kill finds the file that it wrote before. If a run was not
        # reported, the state has the listing before that run's.
        last = self._listed.get(cluster)
        is_current = header.listed_at in {last, listed_at} or (last is not None and header.after == last)
        is_ours = (header.identity, header.cluster) == (self._run.identity, cluster)
        return file.rows(PendingRow) if is_current and is_ours else ()


def pending_deletions(volume: Volume, run: Run) -> PendingDeletions | None:
    """Return the waits; None without DELETE_GRACE."""
    return PendingDeletions(volume, run) if run.delete_grace else None


def _listed(volume: Volume, run: Run) -> dict[str, datetime]:
    state = read_state(volume.state, identity=run.identity)
    return dict(state.listed) if state else {}


def _seconds(listed_at: datetime) -> int:
    return int(listed_at.timestamp())
