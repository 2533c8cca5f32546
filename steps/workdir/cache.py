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
from steps.workdir.rowfile import (
    Damaged,
    RowFile,
    accepted_lines,
    decoder,
    omitted_lines,
    path_of,
    write_rows,
)
from steps.workdir.rows import BaselineHeader, BaselineRow, ManifestFooter, TipHeader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from steps.workdir.volume import RunFiles, Volume


class Caches:
    """The caches on one volume that belong to this bucket, branch and policy."""

    def __init__(self, volume: Volume, identity: str, rules: str) -> None:
        """``rules`` is the digest of the run's policy: other rules write other content."""
        self._volume = volume
        self._identity = identity
        self._rules = rules
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

    def update(
        self, cluster: str, files: RunFiles, *, without: Collection[bytes] = (), refused: bool = False
    ) -> None:
        """Replace the cache by the accepted objects of the run's manifest, and the files that Git keeps.

        ``without`` are the paths of objects that Git does not have after the run. ``refused``: the guard
        refused the cluster's deletions.
        """
        manifest, baseline = RowFile(files.manifest(cluster)), RowFile(files.baseline(cluster))
        footer = manifest.footer(ManifestFooter)
        self._update_omitted(cluster, manifest, footer)
        if footer.unchanged == len(manifest) == len(baseline):
            tree = baseline.header(BaselineHeader).tree
            if tree and self.makes(cluster, tree):
                return  # the cache was the baseline, and nothing has changed

        def lines() -> Iterator[bytes]:
            accepted = accepted_lines(manifest, refused=refused)
            return (line for line in accepted if path_of(line) not in without) if without else accepted

        tree_id = TreeId()
        for row in map(decoder(BaselineRow), lines()):
            tree_id.add(row.path.partition(b"/")[2], row.oid)
        write_rows(self._volume.cache(cluster), self.header(cluster, str(tree_id)), lines())
        self._verified.pop(cluster, None)

    def header(self, cluster: str, tree: str = "") -> BaselineHeader:
        """Return the header of a cluster's cache or baseline."""
        return BaselineHeader(identity=self._identity, cluster=cluster, tree=tree, rules=self._rules)

    # -- omitted objects ----------------------------------------------------------------------

    def omitted(self, cluster: str) -> Omitted:
        """Return the objects that an earlier run has omitted; none without a usable file."""
        file = self._read(self._volume.omitted(cluster), cluster) if self._rules else None
        return Omitted(() if file is None else file.ascending_lines())

    def _update_omitted(self, cluster: str, manifest: RowFile, footer: ManifestFooter) -> None:
        path = self._volume.omitted(cluster)
        if not footer.omitted:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(exist_ok=True)
        write_rows(path, self.header(cluster), omitted_lines(manifest))

    def _open(self, cluster: str) -> RowFile | None:
        """Return the cluster's cache if it is intact and usable; verify it once."""
        if cluster not in self._verified:
            self._verified[cluster] = self._read(self._volume.cache(cluster), cluster)
        return self._verified[cluster]

    def _read(self, path: Path, cluster: str) -> RowFile | None:
        try:
            cache = RowFile(path)
            header = cache.header(BaselineHeader)
        except FileNotFoundError:
            return None
        except Damaged as problem:
            _log_damage(problem)
            return None
        if (header.identity, header.cluster, header.rules) != (self._identity, cluster, self._rules):
            return None
        return cache


class Omitted:
    """The objects that the rules omit: an object that has not changed since need not be fetched again.

    The order of the calls is that of the listing.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._next = next(self._lines, None)

    def has(self, listed: bytes) -> bool:
        """Whether this line of the listing is of such an object. Without an ETag the answer is no."""
        if self._next is None or b"\t\t" in listed:
            return False
        path = path_of(listed)
        while self._next is not None and path_of(self._next) < path:
            self._next = next(self._lines, None)
        return self._next == listed


def _log_damage(problem: Damaged) -> None:
    logs.warning(Operation.DISCOVER, "Ignoring a damaged cache", error=problem.error)


def trees(entries: Iterable[TreeRow]) -> dict[str, str]:
    """Return the ids of trees by name; "" for an entry that is not a tree."""
    return {row.path.decode(errors="replace"): row.oid if row.mode == GitMode.TREE else "" for row in entries}
