"""Edits by others below GIT_PATH. The bucket's content replaces them; the log names each as a conflict."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

from steps.core.changes import PlanRow
from steps.core.keys import printable_path
from steps.core.operations import Operation
from steps.core.sorted_join import outer_join
from steps.core.wording import SAMPLE_SIZE
from steps.planning.cluster_trees import ClusterTrees
from steps.planning.planner import baseline_tree
from steps.runtime import logs
from steps.workdir.rowfile import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from steps.clients.git.commits import Commit
    from steps.clients.git.repository import Repository
    from steps.contracts import Run
    from steps.planning.plan import Plan
    from steps.workdir.volume import RunFiles


def log_conflicts(
    repository: Repository, files: RunFiles, run: Run, plan: Plan, since: Iterable[Commit]
) -> None:
    """Log the edits by others that ``plan`` reverts, if any commit in ``since`` is not git-sync's own.

    An edit is a difference between the baselines and the tip of the plan.
    """
    if plan.tip is None or all(commit.trailers.run_id for commit in since):
        return
    trees = ClusterTrees(repository.trees, plan.tip, run.git_path, run.intake_limits)
    names = [cluster.name for cluster in plan.clusters if cluster.processed]
    names.sort(key=lambda name: f"{name}/".encode())
    before = chain.from_iterable(baseline_tree(files, name) for name in names)
    now = chain.from_iterable(map(trees.rows, names))
    edited = (a or b for a, b in outer_join(before, now) if a != b)
    pairs = outer_join(read_rows(plan.rows, PlanRow), filter(None, edited))
    reverted = (row.path for row, edit in pairs if row is not None and edit is not None)
    first = list(islice(reverted, SAMPLE_SIZE))
    log_edits(run.git_path, first, conflicts=len(first) + sum(1 for _ in reverted))


def log_edits(git_path: str, paths: Iterable[bytes], **data: int) -> None:
    """Log each of these paths (``<cluster>/<rest>``) as a conflict. ``data`` is added to each line."""
    for path in paths:
        shown = printable_path(git_path.encode() + path)
        logs.error(
            Operation.GIT_COMMIT,
            "Git conflict detected",
            f"merge conflict in {shown}",
            resolution="the bucket's content wins",
            **data,
        )
