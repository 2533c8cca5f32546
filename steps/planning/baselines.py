"""What Git has of each cluster when a run begins: one baseline per cluster.

Only the remote's tip decides this. If the tip's tree of a cluster is the tree of the cluster's cache,
the cache is the baseline. If this is so for every cluster, and the volume knows the tip's entries,
nothing is fetched. A full run uses neither cache.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TYPE_CHECKING

from steps.clients.git.repository import Repository
from steps.clients.git.trees import DamagedTree
from steps.contracts import Mode
from steps.core.changes import within_limits
from steps.core.git_objects import Mode as GitMode
from steps.core.intake_limits import Excess, OverLimit
from steps.core.keys import printable_path, rejection
from steps.core.limits import GIT_NAMES
from steps.core.operations import Operation
from steps.core.sorted_join import outer_join
from steps.core.wording import SAMPLE_SIZE
from steps.errors import FixConfiguration
from steps.planning.branch_check import NOT_CHECKED, Checked, check_branch, last_push
from steps.planning.cluster_trees import DamagedCluster, cluster_size
from steps.planning.conflicts import log_edits
from steps.planning.failures import over_limit_failure, record_failure
from steps.runtime import logs
from steps.workdir.cache import Caches, trees
from steps.workdir.files import write_document
from steps.workdir.mirror import local_tree
from steps.workdir.rowfile import write_rows
from steps.workdir.rows import BaselineRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Set

    from steps.clients.git.trees import Trees
    from steps.core.changes import TreeRow
    from steps.core.message import Trailers
    from steps.runtime.settings.reading import Settings
    from steps.workdir.volume import RunFiles, Volume


@dataclass(frozen=True)
class Baselines:
    """The commit of the baselines, the clusters that have one, and the files next to them.

    ``skipped`` are clusters that are only in Git, and that MAX_CLUSTERS excludes.
    """

    base: str | None
    clusters: set[str]
    plain_files: set[str]
    checked: Checked = NOT_CHECKED
    skipped: frozenset[str] = frozenset()


def write_baselines(
    settings: Settings, volume: Volume, files: RunFiles, in_bucket: Set[str] | None
) -> Baselines:
    """Write a baseline of each selected cluster in Git (in download-only mode: in WORK_DIR).

    ``in_bucket`` are the selected clusters in the bucket; None if there are more than MAX_CLUSTERS.
    """
    caches = Caches(volume, settings.identity, settings.content.policy.digest)
    baselines = _Writer(settings, volume, files, caches, in_bucket)
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
    in_bucket: Set[str] | None
    edited: list[bytes] = field(default_factory=list)

    def of_branch(self, repository: Repository) -> Baselines:
        base = repository.remote_tip()
        if repository.moved_to:
            logs.warning(
                Operation.GIT_CLONE,
                "The repository has moved; set GIT_REPOSITORY to its new address",
                address=repository.moved_to,
            )
        found = self.caches.trees(base) if base and self._uses_caches else None
        checked = None
        if base is None or found is None or self._uncached(found):
            checked = self._check(repository, repository.fetch() if base else None)
            base = checked.tip
            if base is None:
                if not self.settings.sync.dry_run:
                    repository.prove_push()  # before the download
                return Baselines(None, set(), set(), checked)
            found = self._entries(repository, base, is_replaced=checked.replaces is not None)
        clusters, skipped = self._clusters(found), self._skipped(found)
        uncached = self._uncached(found)
        for name in clusters.keys() - uncached.keys():
            self.caches.copy(name, self.files.baseline(name))
        self._write_uncached(repository.trees, uncached)
        if self.edited:
            self._log_other_writer(repository.commits([base])[0].trailers, self.edited)
        plain_files = {name for name, tree in found.items() if not tree}
        return Baselines(base, set(clusters), plain_files, checked or self._known(), skipped)

    def _log_other_writer(self, newest: Trailers, edited: list[bytes]) -> None:
        """Log that Git has other content than this volume's runs wrote; ``edited`` are the first paths."""
        rules = self.settings.content.policy.digest
        if newest.run_id is None:
            log_edits(self.settings.git.path, edited)
        elif newest.rules != rules:
            logs.warning(
                Operation.GIT_CLONE,
                "Another installation writes the same files with other rules",
                error="both rewrite them in turn: give both the same VOLATILE_FIELDS, SECRETS, "
                "SECRETS_KEY and RULES_FILE, or each its own GIT_PATH",
                paths=[printable_path(path) for path in edited],
                rules=rules,
                other_rules=newest.rules,
            )

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
                with self._recorded_failure(name):
                    self._write(name, within_limits(rows, self.settings.intake.limits))
                found.clusters.add(name)
        return found

    def _entries(self, repository: Repository, commit: str, *, is_replaced: bool) -> dict[str, str]:
        git_path, found = self.settings.git.path, repository.trees
        try:
            rows = found.entries(found.directory(commit, git_path))
            entries = list(islice(rows, GIT_NAMES))
            others = [row for row in rows if row.path.decode(errors="replace") in (self.in_bucket or ())]
        except NotADirectoryError as problem:
            error = f"GIT_PATH={git_path} is a file in the repository; it must be a directory"
            raise _unreadable(git_path, error) from problem
        except DamagedTree as problem:
            error = f"GIT_PATH={git_path} or a directory above it {problem}; replace it with a new commit"
            raise _unreadable(git_path, error) from problem
        # Until publish has recorded an approved loss, the next run must check the branch again.
        if not (is_replaced or self.settings.sync.dry_run or len(entries) == GIT_NAMES):
            self.caches.note_tip(commit, entries)
        return trees(entries + others)

    def _clusters(self, found: dict[str, str]) -> dict[str, str]:
        """Return the clusters of the run with the ids of their trees."""
        selected, skipped = self._selected(found), self._skipped(found)
        return {name: tree for name, tree in selected.items() if name not in skipped}

    def _selected(self, found: dict[str, str]) -> dict[str, str]:
        return {name: tree for name, tree in found.items() if tree and self._is_selected(name)}

    def _skipped(self, found: dict[str, str]) -> frozenset[str]:
        """Return the clusters that are only in Git, if Git has more than MAX_CLUSTERS; else none.

        All of them, because no name is better than another. Other users may have pushed them.
        """
        selected, limit = self._selected(found), self.settings.intake.max_clusters
        if self.in_bucket is None or not 0 < limit < len(selected):
            return frozenset()
        return frozenset(selected.keys() - self.in_bucket)

    def _is_selected(self, name: str) -> bool:
        return rejection(name) is None and self.settings.sync.selection.has_cluster(name)

    def _uncached(self, found: dict[str, str]) -> dict[str, str]:
        """Return the clusters whose cache is not their baseline."""
        clusters = self._clusters(found)
        if not self._uses_caches:
            return clusters
        return {name: tree for name, tree in clusters.items() if not self.caches.makes(name, tree)}

    @property
    def _uses_caches(self) -> bool:
        return self.settings.sync.mode is Mode.INCREMENTAL

    def _write_uncached(self, found: Trees, clusters: dict[str, str]) -> None:
        """Write the baselines of these clusters, or the failures of those that exceed a limit."""
        limits = self.settings.intake.limits
        sizes: dict[str, int] = {}
        for name, tree in clusters.items():
            with self._recorded_failure(name):
                sizes[name] = cluster_size(found, name, tree, limits)
        objects, fitting = 0, set[str]()
        for name, size in sorted(sizes.items(), key=lambda item: (item[1], item[0])):
            with self._recorded_failure(name):
                if 0 < limits.max_run_objects < objects + size:
                    raise OverLimit(Excess.RUN_OBJECTS, objects + size, limits.max_run_objects)
                objects += size
                fitting.add(name)
        for name, tree in clusters.items():
            if name in fitting:
                self._write(name, found.rows(tree, f"{name}/".encode()))

    @contextlib.contextmanager
    def _recorded_failure(self, cluster: str) -> Iterator[None]:
        try:
            yield
        except OverLimit as problem:
            failure = over_limit_failure(cluster, Operation.DISCOVER, problem)
            write_document(self.files.failure(cluster), failure)
        except DamagedCluster as problem:
            record_failure(self.files, cluster, problem)

    def _write(self, cluster: str, tree: Iterable[TreeRow]) -> None:
        header = self.caches.header(cluster)
        rows = _known(tree, self.caches.rows(cluster), self.edited)
        write_rows(self.files.baseline(cluster), header, rows)


def _unreadable(git_path: str, error: str) -> FixConfiguration:
    return FixConfiguration(
        Operation.GIT_CLONE, "Failed to read the repository", error, setting="GIT_PATH", path=git_path
    )


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
