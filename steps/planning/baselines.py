"""What Git has of each cluster when a run begins: one baseline per cluster.

Only the remote's tip decides this. If the tip's tree of a cluster is the tree of the cluster's cache,
the cache is the baseline. If this is so for every cluster, and the volume knows the tip's entries,
nothing is fetched. A full run uses neither cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from steps.clients.git.repository import Repository
from steps.contracts import Mode, over_limit_failure
from steps.core.changes import within_limits
from steps.core.git_objects import Mode as GitMode
from steps.core.intake_limits import OverLimit
from steps.core.keys import impossible_segment, printable_path, rejection
from steps.core.operations import Operation
from steps.core.sorted_join import outer_join
from steps.core.wording import SAMPLE_SIZE
from steps.errors import FixConfiguration
from steps.planning.branch_check import NOT_CHECKED, Checked, check_branch, last_push
from steps.planning.conflicts import below, log_edits
from steps.planning.failures import record_failure
from steps.runtime import logs
from steps.workdir.cache import Caches, trees
from steps.workdir.files import write_document
from steps.workdir.mirror import local_tree
from steps.workdir.rowfile import write_rows
from steps.workdir.rows import BaselineHeader, BaselineRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from steps.core.changes import TreeRow
    from steps.runtime.settings.reading import Settings
    from steps.workdir.volume import RunFiles, Volume


@dataclass(frozen=True)
class Baselines:
    """The commit of the baselines, the clusters that have one, and the files next to them."""

    base: str | None
    clusters: set[str]
    plain_files: set[str]
    checked: Checked = NOT_CHECKED


def write_baselines(settings: Settings, volume: Volume, files: RunFiles) -> Baselines:
    """Write a baseline of each selected cluster in Git (in download-only mode: in WORK_DIR)."""
    baselines = _Writer(settings, volume, files, Caches(volume, settings.identity))
    if settings.git.download_only:
        return baselines.of_work_dir()
    with Repository(settings.git, volume.git_dir, volume.gitconfig) as repository:
        return baselines.of_branch(repository)


@dataclass(frozen=True)
class _Writer:
    settings: Settings
    volume: Volume
    files: RunFiles
    caches: Caches

    def of_branch(self, repository: Repository) -> Baselines:
        base = repository.remote_tip()
        if repository.moved_to:
            logs.warning(
                Operation.GIT_CLONE,
                "The repository has moved; set GIT_REPOSITORY to its new address",
                address=repository.moved_to,
            )
        found = self.caches.trees(base) if base and self._uses_caches else None
        cached = self._cached(found or {})
        checked = None
        if base is None or found is None or cached != self._clusters(found).keys():
            checked = self._check(repository, repository.fetch() if base else None)
            base = checked.tip
            if base is None:
                if not self.settings.sync.dry_run:
                    repository.prove_push()  # before the download
                return Baselines(None, set(), set(), checked)
            found = self._entries(repository, base, is_replaced=checked.replaces is not None)
            cached = self._cached(found)
        clusters = self._clusters(found)
        edited: list[bytes] = []
        for name in clusters:
            if name in cached:
                self.caches.copy(name, self.files.baseline(name))
            else:
                rows = repository.tree(base, f"{self.settings.git.path}{name}/")
                self._write(name, below(self.settings.git.path, rows), edited)
        if edited and repository.commits([base])[0].trailers.run_id is None:
            log_edits(self.settings.git.path, edited)
        plain_files = {name for name, tree in found.items() if not tree}
        return Baselines(base, set(clusters), plain_files, checked or self._known())

    def _known(self) -> Checked:
        """Return the result of an earlier check: the volume stores only tips that were checked or pushed."""
        push = last_push(self.settings, self.volume)
        return Checked(required_commit=push.commit if push else None)

    def _check(self, repository: Repository, tip: str | None) -> Checked:
        return check_branch(self.settings, self.volume, repository, tip)

    def of_work_dir(self) -> Baselines:
        found = Baselines(None, set(), set())
        by_name = groupby(
            local_tree(self.volume.objects, max_bytes=self.settings.sync.max_object_bytes),
            key=lambda row: row.path.partition(b"/")[:2],
        )
        for (first, separator), rows in by_name:
            name = first.decode(errors="replace")
            if not separator:
                found.plain_files.add(name)
            elif self._is_selected(name):
                self._write(name, rows, [])
                found.clusters.add(name)
        return found

    def _entries(self, repository: Repository, commit: str, *, is_replaced: bool) -> dict[str, str]:
        git_path = self.settings.git.path
        if repository.is_obstructed(commit, git_path):
            raise FixConfiguration(
                Operation.GIT_CLONE,
                "Failed to read the repository",
                f"GIT_PATH={git_path} is a file in the repository; it must be a directory",
                setting="GIT_PATH",
                path=git_path,
            )
        entries = repository.children(commit, git_path)
        # Until publish has recorded an approved loss, the next run must check the branch again.
        if not is_replaced and not self.settings.sync.dry_run:
            self.caches.note_tip(commit, entries)
        return trees(entries)

    def _clusters(self, found: dict[str, str]) -> dict[str, str]:
        """Return the selected clusters with the ids of their trees."""
        return {name: tree for name, tree in found.items() if tree and self._is_selected(name)}

    def _is_selected(self, name: str) -> bool:
        return rejection(name) is None and self.settings.sync.selection.has_cluster(name)

    def _cached(self, found: dict[str, str]) -> set[str]:
        """Return the clusters whose cache is their baseline."""
        clusters = self._clusters(found) if self._uses_caches else {}
        return {name for name, tree in clusters.items() if self.caches.makes(name, tree)}

    @property
    def _uses_caches(self) -> bool:
        return self.settings.sync.mode is Mode.INCREMENTAL

    def _write(self, cluster: str, tree: Iterable[TreeRow], edited: list[bytes]) -> None:
        """Write the baseline, or the cluster's failure if its tree cannot be read or is over a limit."""
        header = BaselineHeader(identity=self.settings.identity, cluster=cluster, tree="")
        limited = within_limits(_well_formed(tree), self.settings.intake.limits)
        try:
            write_rows(
                self.files.baseline(cluster), header, _known(limited, self.caches.rows(cluster), edited)
            )
        except OverLimit as problem:
            failure = over_limit_failure(cluster, Operation.DISCOVER, problem)
            write_document(self.files.failure(cluster), failure)
        except _DamagedTree as problem:
            record_failure(self.files, cluster, problem)


class _DamagedTree(FixConfiguration):
    """A tree that no Git client writes."""


def _well_formed(tree: Iterable[TreeRow]) -> Iterator[TreeRow]:
    """Yield the files of a tree. Raises _DamagedTree if a name is repeated, unsorted or not usable.

    Git rejects such trees only with receive.fsckObjects, which is not the default.
    """
    last = b""
    for row in tree:
        if row.path <= last or impossible_segment(row.path) or b".git" in row.path.lower().split(b"/"):
            raise _DamagedTree(
                Operation.DISCOVER,
                "Failed to read the cluster in Git",
                f"its tree is damaged at {printable_path(row.path)}; replace the directory with a new commit",
                path=printable_path(row.path),
            )
        last = row.path
        yield row


def _known(
    tree: Iterable[TreeRow], cache: Iterable[BaselineRow], edited: list[bytes]
) -> Iterator[BaselineRow]:
    """Yield each file in Git, with the size and ETag of the object that is known to have its content.

    A cached id counts only if Git has that blob at the path, as a plain file. The first paths at which
    Git has something else are added to ``edited``.
    """
    for in_git, cached in outer_join(tree, cache):
        if in_git is None:
            continue
        if cached is not None and (in_git.mode, in_git.oid) == (GitMode.FILE, cached.oid):
            yield cached
            continue
        if cached is not None and len(edited) < SAMPLE_SIZE:
            edited.append(cached.path)
        yield BaselineRow(*in_git, -1, "")
