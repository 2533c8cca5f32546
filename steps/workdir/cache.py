"""What the volume keeps from run to run, so that the next run need not request it.

A cluster's cache records which object has which content, and the Git tree of these files. The tip
records the entries of a commit. Events elsewhere cannot make them wrong: git-sync computes the ids from
the bytes that it writes or reads, and the remote decides which ids matter. A cache that is damaged, or
of another bucket or branch, is ignored.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from steps.core.changes import TreeRow
from steps.core.git_objects import Mode as GitMode
from steps.core.operations import Operation
from steps.core.tree_id import TreeId
from steps.runtime import logs
from steps.workdir.files import atomic_file
from steps.workdir.rowfile import Damaged, RowFile, accepted_lines, decoder, path_of, write_rows
from steps.workdir.rows import BaselineHeader, BaselineRow, ManifestFooter, TipHeader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from steps.workdir.volume import RunFiles, Volume


class Caches:
    """The caches on one volume that belong to this bucket and branch."""

    def __init__(self, volume: Volume, identity: str) -> None:
        self._volume = volume
        self._identity = identity
        self._verified: dict[str, RowFile | None] = {}

    # -- the tip ------------------------------------------------------------------------------

    def trees(self, commit: str) -> dict[str, str] | None:
        """Return the commit's entries directly under GIT_PATH, as ``trees`` does; None if unknown."""
        try:
            tip = RowFile(self._volume.tip)
            if tip.header(TipHeader) != TipHeader(identity=self._identity, commit=commit):
                return None
            return trees(tip.rows(TreeRow))
        except FileNotFoundError:
            return None
        except Damaged as problem:
            _log_damage(problem)
            return None

    def note_tip(self, commit: str, entries: Iterable[TreeRow]) -> None:
        """Record the entries that Git lists directly under GIT_PATH in this commit."""
        header = TipHeader(identity=self._identity, commit=commit)
        write_rows(self._volume.tip, header, sorted(entries))

    # -- clusters -----------------------------------------------------------------------------

    def rows(self, cluster: str) -> Iterable[BaselineRow]:
        """Return the cluster's cached objects; empty without a usable cache."""
        cache = self._open(cluster)
        return () if cache is None else cache.rows(BaselineRow)

    def makes(self, cluster: str, tree: str) -> bool:
        """Whether the cached objects are exactly the files of this Git tree."""
        cache = self._open(cluster)
        return cache is not None and cache.header(BaselineHeader).tree == tree

    def copy(self, cluster: str, baseline: Path) -> None:
        """Copy the cache to the run's baseline."""
        with atomic_file(baseline) as out, self._volume.cache(cluster).open("rb") as cache:
            shutil.copyfileobj(cache, out)

    def update(self, cluster: str, files: RunFiles, *, without: Collection[bytes] = ()) -> None:
        """Replace the cache by the accepted objects of the run's manifest.

        ``without`` are the paths of objects that Git does not have after the run.
        """
        manifest, baseline = RowFile(files.manifest(cluster)), RowFile(files.baseline(cluster))
        if manifest.footer(ManifestFooter).unchanged == len(manifest) == len(baseline):
            tree = baseline.header(BaselineHeader).tree
            if tree and self.makes(cluster, tree):
                return  # the cache was the baseline, and nothing has changed

        def lines() -> Iterator[bytes]:
            accepted = accepted_lines(manifest)
            return (line for line in accepted if path_of(line) not in without) if without else accepted

        tree_id = TreeId()
        for row in map(decoder(BaselineRow), lines()):
            tree_id.add(row.path.partition(b"/")[2], row.oid)
        header = BaselineHeader(identity=self._identity, cluster=cluster, tree=str(tree_id))
        write_rows(self._volume.cache(cluster), header, lines())
        self._verified.pop(cluster, None)

    def _open(self, cluster: str) -> RowFile | None:
        """Return the cluster's cache if it is intact and of this bucket and branch; verify it once."""
        if cluster not in self._verified:
            self._verified[cluster] = self._verify(cluster)
        return self._verified[cluster]

    def _verify(self, cluster: str) -> RowFile | None:
        try:
            cache = RowFile(self._volume.cache(cluster))
            header = cache.header(BaselineHeader)
        except FileNotFoundError:
            return None
        except Damaged as problem:
            _log_damage(problem)
            return None
        return cache if (header.identity, header.cluster) == (self._identity, cluster) else None


def _log_damage(problem: Damaged) -> None:
    logs.warning(Operation.DISCOVER, "Ignoring a damaged cache", error=problem.error)


def trees(entries: Iterable[TreeRow]) -> dict[str, str]:
    """Return the ids of trees by name; "" for an entry that is not a tree."""
    return {row.path.decode(errors="replace"): row.oid if row.mode == GitMode.TREE else "" for row in entries}
