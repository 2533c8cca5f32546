"""Files in Git that the bucket lacks and that no run has written, because other users pushed them.

The deletion guard would refuse to delete them in every run. The history of the branch shows who wrote a
file. It is fetched only if the guard refuses deletions; files that the state knows need no history.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from steps.contracts import ClusterResult, ForeignFile, Run, State
from steps.core.changes import Directories, ManifestRow, TreeRow, is_missing
from steps.core.deletion_guard import MOST_FOREIGN_FILES, Decision
from steps.core.keys import printable
from steps.core.limits import HISTORY_CHANGES
from steps.core.operations import Operation
from steps.core.sorted_join import outer_join
from steps.core.wording import SAMPLE_SIZE, plural
from steps.planning.cluster_trees import ClusterTrees
from steps.publishing.refusals import text_of
from steps.runtime import logs
from steps.workdir.rowfile import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from steps.clients.git.commits import Commit
    from steps.clients.git.repository import Repository
    from steps.planning.plan import Plan
    from steps.workdir.volume import RunFiles

# The commits in which to look for the first version of a file. Trees of 1,000 commits are a few MiB.
_HISTORY_DEPTH = 1000

# Of how many files one run asks the history; bounds the memory.
_MOST_FILES = 20_000

Foreign: TypeAlias = dict[str, dict[bytes, ForeignFile]]


@dataclass(frozen=True)
class ForeignSearch:
    """The search for foreign files of a run; ``email`` is the address of git-sync's commits."""

    run: Run
    files: RunFiles
    state: State | None
    email: str

    def suspects(self, clusters: Iterable[ClusterResult]) -> list[str]:
        """Return the clusters with foreign files that the state knows, then those with refused deletions."""
        known = self.state.clusters if self.state else {}
        clusters = list(clusters)
        if any(cluster.decision is Decision.REFUSED_EMPTY_BUCKET for cluster in clusters):
            return []  # probably a wrong bucket: no deletion of this run has a meaning
        has_known = {name for name, cluster in known.items() if cluster.foreign}
        names = (c.name for c in clusters if c.processed and (c.decision.refused or c.name in has_known))
        return sorted(names, key=lambda name: name not in has_known)

    def find(self, repository: Repository, plan: Plan) -> Foreign:
        """Return the foreign files, at most MOST_FOREIGN_FILES, by cluster and path."""
        foreign: Foreign = defaultdict(dict)
        unknown: list[TreeRow] = []
        if plan.tip is None:
            return foreign
        known, found = self._known(), list[TreeRow]()
        trees = ClusterTrees(repository.trees, plan.tip, self.run.git_path, self.run.intake_limits)
        refused_before = self._refused_before()
        by_name = {cluster.name: cluster for cluster in plan.clusters}
        for name in self.suspects(plan.clusters):
            for row in self._missing(name, trees.rows(name)):
                if (text_of(row.path), row.oid) in known:
                    found.append(row)
                elif by_name[name].allow_delete not in refused_before:
                    unknown.append(row)
            if len(unknown) > _MOST_FILES:
                break
        if unknown:
            pushed = self._pushed_by_others(repository, [row.path for row in unknown])
            found += [row for row in unknown if row.path in pushed]
        for row in found[:MOST_FOREIGN_FILES]:
            cluster = row.path.partition(b"/")[0].decode()
            foreign[cluster][row.path] = ForeignFile(path=text_of(row.path), oid=row.oid)
        return foreign

    def log(self, clusters: Iterable[ClusterResult]) -> None:
        """Log the foreign files of each cluster: new ones as a warning, known ones as information."""
        known = self._known()
        for cluster in clusters:
            if not cluster.foreign:
                continue
            is_new = any((file.path, file.oid) not in known for file in cluster.foreign)
            what = "removed" if any(file.removed for file in cluster.foreign) else "kept"
            name, files = printable(cluster.name), plural(len(cluster.foreign), "foreign file")
            (logs.warning if is_new else logs.info)(
                Operation.DETECT_CHANGES,
                f"{name}: {files} {what}: pushed by others, not in the bucket",
                cluster=name,
                paths=[printable(file.path) for file in cluster.foreign[:SAMPLE_SIZE]],
                foreign_files=self.run.deletion_limits.foreign_files,
            )

    def _refused_before(self) -> set[str | None]:
        """Return the approvals of the last refusals, among which that run has found no foreign file."""
        last = self.state.last_run if self.state else None
        clusters = last.clusters if last else ()
        return {cluster.suggested_approval for cluster in clusters} - {None}

    def _known(self) -> set[tuple[str, str]]:
        clusters = self.state.clusters.values() if self.state else ()
        return {(file.path, file.oid) for cluster in clusters for file in cluster.foreign}

    def _missing(self, cluster: str, tree: Iterable[TreeRow]) -> list[TreeRow]:
        """Return the files that the listing lacks, without those in the place of an object.

        Returns none if there are more than MOST_FOREIGN_FILES.
        """
        missing: list[TreeRow] = []
        in_the_way: set[bytes] = set()
        directories: Directories[bool] = Directories()
        for in_git, listed in outer_join(tree, read_rows(self.files.manifest(cluster), ManifestRow)):
            if listed is not None and listed.accepted:
                path, lacks = listed.path, False
            elif in_git is not None and is_missing(in_git.path, listed, self.run.selection.has_path):
                path, lacks = in_git.path, True
                missing.append(in_git)
                if len(missing) > MOST_FOREIGN_FILES:
                    return []
            else:
                continue
            for above, above_lacks in directories.of(path, lacks):
                if above_lacks != lacks:
                    in_the_way.add(path if lacks else above)
        return [row for row in missing if row.path not in in_the_way]

    def _pushed_by_others(self, repository: Repository, paths: Sequence[bytes]) -> set[bytes]:
        """Return the paths that other users have added, and that no run has touched.

        Every commit with a trailer or the address of git-sync counts as a run's, so a forged one only keeps
        the refusal. A file counts only if it was added on top of a commit of a run: before the first run,
        and in a history that was replaced as a whole, other users' commits contain backups too. The parents
        of the oldest fetched commits are unknown, so nothing that they contain counts.
        """
        commits = repository.commits(repository.fetch_history(_HISTORY_DEPTH))
        ours = {commit.oid for commit in commits if self._may_be_ours(commit)}
        if not ours or len(ours) == len(commits):
            return set()
        place = {commit.oid: number for number, commit in enumerate(commits)}
        first_run = max(place[oid] for oid in ours)
        with_parents = repository.with_parents()
        pushed: dict[bytes, bool] = dict.fromkeys(paths, False)
        cut = len(self.run.git_path.encode())
        clusters = sorted({path.partition(b"/")[0].decode() for path in paths})
        directories = (f"{self.run.git_path}{name}/" for name in clusters)
        for number, change in enumerate(repository.path_changes(directories)):
            if number == HISTORY_CHANGES:
                return set()
            path = change.path[cut:]
            if path not in pushed:
                continue
            if change.commit in ours:
                del pushed[path]
            else:
                is_on_top = change.commit in with_parents and place[change.commit] < first_run
                pushed[path] = is_on_top and change.change == "A"
        return {path for path, is_pushed in pushed.items() if is_pushed}

    def _may_be_ours(self, commit: Commit) -> bool:
        """Whether a run may have made the commit. A commit that is too large to read may be a run's."""
        is_named = self.email in commit.emails or commit.trailers.run_id is not None
        return is_named or not commit.readable
