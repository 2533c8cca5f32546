"""What a volume remembers from run to run, so that the next one need not ask.

A cluster's cache says which object has which content, and what Git tree these files make. The tip says
what a commit holds. Neither can become wrong by what happens elsewhere: ids are computed from what
was written or read, never taken over from somebody's word, and the remote says which of them matter.
What is damaged, or is of another bucket or branch, is as good as nothing.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from steps.contracts import BaselineHeader, BaselineRow, ManifestFooter, TipHeader
from steps.core.changes import FETCHED, UNCHANGED, TreeRow
from steps.core.git_objects import Mode as GitMode
from steps.core.operations import Operation
from steps.core.tree_id import TreeId
from steps.runtime import logs
from steps.workdir.files import atomic_file
from steps.workdir.rowfile import (
    Damaged,
    count_rows,
    decoder,
    read_footer,
    read_header,
    read_lines,
    read_rows,
    write_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from steps.workdir.volume import RunFiles, Volume


class Caches:
    """The caches of one volume, as far as they are of this bucket and branch."""

    def __init__(self, volume: Volume, identity: str) -> None:
        self._volume = volume
        self._identity = identity
        self._damaged: set[str] = set()

    # -- the tip ------------------------------------------------------------------------------

    def trees(self, commit: str) -> dict[str, str] | None:
        """Return what the commit has directly under GIT_PATH; None if that is not known.

        Ids of trees by name; "" for whatever is no tree.
        """
        path = self._volume.tip
        try:
            rows = read_rows(path, TreeRow)
            if read_header(path, TipHeader) != TipHeader(identity=self._identity, commit=commit):
                return None
            return trees(rows)
        except FileNotFoundError:
            return None
        except Damaged as problem:
            self._tell(problem)
            return None

    def note_tip(self, commit: str, entries: Iterable[TreeRow]) -> None:
        """Remember what Git says that this commit has directly under GIT_PATH."""
        header = TipHeader(identity=self._identity, commit=commit)
        write_rows(self._volume.tip, header, sorted(entries))

    # -- clusters -----------------------------------------------------------------------------

    def rows(self, cluster: str) -> Iterable[BaselineRow]:
        """Return what is known of a cluster's objects; empty if nothing is."""
        header = self._header(cluster)
        return () if header is None else read_rows(self._volume.cache(cluster), BaselineRow)

    def makes(self, cluster: str, tree: str) -> bool:
        """Whether the rows of the cluster's cache are just the files of this Git tree."""
        header = self._header(cluster)
        return header is not None and header.tree == tree

    def copy(self, cluster: str, baseline: Path) -> None:
        """Make the cache the run's baseline."""
        with atomic_file(baseline) as out, self._volume.cache(cluster).open("rb") as cache:
            shutil.copyfileobj(cache, out)

    def update(self, cluster: str, files: RunFiles) -> None:
        """Make the accepted objects of the run's manifest the cache."""
        manifest, baseline = files.manifest(cluster), files.baseline(cluster)
        unchanged = read_footer(manifest, ManifestFooter).unchanged
        if unchanged == count_rows(manifest) == count_rows(baseline):
            tree = read_header(baseline, BaselineHeader).tree
            if tree and self.makes(cluster, tree):
                return  # the cache was the baseline, and nothing has changed
        tree_id = TreeId()
        for row in map(decoder(BaselineRow), _accepted(manifest)):
            tree_id.add(row.path.partition(b"/")[2], row.oid)
        header = BaselineHeader(identity=self._identity, cluster=cluster, tree=str(tree_id))
        write_rows(self._volume.cache(cluster), header, _accepted(manifest))

    def _header(self, cluster: str) -> BaselineHeader | None:
        path = self._volume.cache(cluster)
        try:
            count_rows(path)  # which reads all of it: is it as it was written?
            header = read_header(path, BaselineHeader)
        except FileNotFoundError:
            return None
        except Damaged as problem:
            self._tell(problem)
            return None
        return header if (header.identity, header.cluster) == (self._identity, cluster) else None

    def _tell(self, problem: Damaged) -> None:
        if problem.error not in self._damaged:
            logs.warning(Operation.DISCOVER, "Ignoring a damaged cache", error=problem.error)
        self._damaged.add(problem.error)


def trees(entries: Iterable[TreeRow]) -> dict[str, str]:
    """Ids of trees by name; "" for whatever is no tree."""
    return {row.path.decode(errors="replace"): row.oid if row.mode == GitMode.TREE else "" for row in entries}


def _accepted(manifest: Path) -> Iterator[bytes]:
    """Make rows of a cache of a manifest's accepted ones: they differ in the first field only."""
    for line in read_lines(manifest):
        state, separator, rest = line.partition(b"\t")
        if state in _ACCEPTED:
            yield _PLAIN_FIELD + separator + rest


_ACCEPTED = {FETCHED.encode(), UNCHANGED.encode()}
_PLAIN_FIELD = GitMode.FILE.encode()
