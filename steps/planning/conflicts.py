"""Edits of other people below GIT_PATH: where they are, and that the bucket's content wins."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

from steps.core.changes import PlanRow, TreeRow
from steps.core.keys import printable
from steps.core.message import parse_trailers
from steps.core.operations import Operation
from steps.core.sorted_join import outer_join
from steps.planning.planner import baseline_tree
from steps.runtime import logs
from steps.workdir.rowfile import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from steps.clients.git.repository import Commit, Repository
    from steps.contracts import Run
    from steps.planning.plan import Plan
    from steps.workdir.volume import RunFiles

_SHOWN_CONFLICTS = 20


def log_conflicts(
    repository: Repository, files: RunFiles, run: Run, plan: Plan, since: Iterable[Commit]
) -> None:
    """Say which edits of other people lose to the bucket."""
    if plan.tip is None or all(parse_trailers(commit.message).run_id for commit in since):
        return
    before = chain.from_iterable(baseline_tree(files, name) for name in run.clusters)
    now = below(run.git_path, repository.tree(plan.tip, run.git_path))
    edited = (a or b for a, b in outer_join(before, now) if a != b)
    pairs = outer_join(read_rows(plan.rows, PlanRow), filter(None, edited))
    lost = (row.path for row, edit in pairs if row is not None and edit is not None)
    shown = list(islice(lost, _SHOWN_CONFLICTS))
    log_edits(run.git_path, shown, conflicts=len(shown) + sum(1 for _ in lost))


def log_edits(git_path: str, paths: Iterable[bytes], **data: int) -> None:
    """Call each of these paths a conflict: somebody else has changed it, and the bucket's content wins."""
    for path in paths:
        shown = printable(git_path + path.decode(errors="replace"))
        logs.error(
            Operation.GIT_COMMIT,
            "Git conflict detected",
            f"merge conflict in {shown}",
            resolution="the bucket's content wins",
            **data,
        )


def below(git_path: str, rows: Iterable[TreeRow]) -> Iterator[TreeRow]:
    """The rows with their paths taken from GIT_PATH on: ``<cluster>/<rest>``."""
    cut = len(git_path.encode())
    return (row._replace(path=row.path[cut:]) for row in rows)
