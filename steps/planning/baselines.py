"""What Git holds of each cluster when a run begins: one baseline per cluster.

The remote's tip alone says what that is. Where the tip's tree of a cluster is one that the cluster's
cache makes, the cache is the baseline; where all are, and what the tip holds is known, nothing has to
be fetched to know it. A full run believes neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from steps.clients.git.repository import Repository
from steps.contracts import BaselineHeader, BaselineRow, Mode
from steps.core.git_objects import Mode as GitMode
from steps.core.keys import rejection
from steps.core.message import parse_trailers
from steps.core.operations import Operation
from steps.core.sorted_join import outer_join
from steps.errors import FixConfiguration
from steps.planning.conflicts import below, log_edits
from steps.workdir.cache import Caches, trees
from steps.workdir.mirror import local_tree
from steps.workdir.rowfile import write_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from steps.core.changes import TreeRow
    from steps.runtime.settings.reading import Settings
    from steps.workdir.volume import RunFiles, Volume

_SAMPLE = 20


@dataclass(frozen=True)
class Held:
    """The commit that the baselines are of, the clusters that have one, and files beside them."""

    base: str | None
    clusters: set[str]
    plain_files: set[str]


def write_baselines(settings: Settings, volume: Volume, files: RunFiles) -> Held:
    """Write a baseline of each selected cluster that Git (in download-only mode: WORK_DIR) holds."""
    baselines = _Baselines(settings, files, Caches(volume, settings.identity))
    if settings.git.download_only:
        return baselines.of_work_dir(volume)
    with Repository(settings.git, volume.git_dir, volume.gitconfig) as repository:
        return baselines.of_branch(repository)


@dataclass(frozen=True)
class _Baselines:
    settings: Settings
    files: RunFiles
    caches: Caches

    def of_branch(self, repository: Repository) -> Held:
        base = repository.remote_tip() or repository.remote_tip()  # a branch is not made on one empty answer
        if base is None:
            return Held(None, set(), set())
        found = self.caches.trees(base) if self._believes_caches else None
        cached = self._cached(found or {})
        if found is None or cached != self._clusters(found).keys():
            base = repository.fetch()
            found = self._entries(repository, base)
            cached = self._cached(found)
        clusters = self._clusters(found)
        edited: list[bytes] = []
        for name in clusters:
            if name in cached:
                self.caches.copy(name, self.files.baseline(name))
            else:
                rows = repository.tree(base, f"{self.settings.git.path}{name}/")
                self._write(name, below(self.settings.git.path, rows), edited)
        if edited and parse_trailers(repository.history(1)[0].message).run_id is None:
            log_edits(self.settings.git.path, edited)
        return Held(base, set(clusters), {name for name, tree in found.items() if not tree})

    def of_work_dir(self, volume: Volume) -> Held:
        held = Held(None, set(), set())
        by_name = groupby(
            local_tree(volume.objects, max_bytes=self.settings.sync.max_object_bytes),
            key=lambda row: row.path.partition(b"/")[:2],
        )
        for (first, separator), rows in by_name:
            name = first.decode(errors="replace")
            if not separator:
                held.plain_files.add(name)
            elif self._is_selected(name):
                self._write(name, rows, [])
                held.clusters.add(name)
        return held

    def _entries(self, repository: Repository, commit: str) -> dict[str, str]:
        git_path = self.settings.git.path
        if repository.is_obstructed(commit, git_path):
            raise FixConfiguration(
                Operation.GIT_CLONE,
                "Failed to read the repository",
                f"a file stands where the directory GIT_PATH={git_path} belongs",
            )
        entries = repository.children(commit, git_path)
        if not self.settings.sync.dry_run:
            self.caches.note_tip(commit, entries)
        return trees(entries)

    def _clusters(self, found: dict[str, str]) -> dict[str, str]:
        """The selected clusters, and the ids of their trees."""
        return {name: tree for name, tree in found.items() if tree and self._is_selected(name)}

    def _is_selected(self, name: str) -> bool:
        return rejection(name) is None and self.settings.sync.selection.has_cluster(name)

    def _cached(self, found: dict[str, str]) -> set[str]:
        """The clusters whose cache may be their baseline: the one place that decides."""
        clusters = self._clusters(found) if self._believes_caches else {}
        return {name for name, tree in clusters.items() if self.caches.makes(name, tree)}

    @property
    def _believes_caches(self) -> bool:
        return self.settings.sync.mode is Mode.INCREMENTAL

    def _write(self, cluster: str, held: Iterable[TreeRow], edited: list[bytes]) -> None:
        header = BaselineHeader(identity=self.settings.identity, cluster=cluster, tree="")
        write_rows(self.files.baseline(cluster), header, _known(held, self.caches.rows(cluster), edited))


def _known(
    tree: Iterable[TreeRow], cache: Iterable[BaselineRow], edited: list[bytes]
) -> Iterator[BaselineRow]:
    """Say for each file which object is known to have its very content.

    The tree decides: a cached id counts only where Git holds that blob, there, as a plain file.
    The first paths of which that is not so are added to ``edited``.
    """
    for held, cached in outer_join(tree, cache):
        if held is None:
            continue
        if cached is not None and (held.mode, held.oid) == (GitMode.FILE, cached.oid):
            yield cached
            continue
        if cached is not None and len(edited) < _SAMPLE:
            edited.append(cached.path)
        yield BaselineRow(*held, -1, "")
