"""The commits that an earlier attempt of this publish pushed before it was killed."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from steps.core.limits import SEARCH_PUSHES
from steps.core.operations import Operation
from steps.core.sorted_join import OutOfOrder
from steps.publishing.commit import is_made, joined_with_plan
from steps.publishing.selection import Fate, select
from steps.runtime import logs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from steps.clients.git.repository import Repository
    from steps.contracts import Run
    from steps.planning.plan import Plan


def made_by_commits(
    repository: Repository, run: Run, plan: Plan, commits: Sequence[str], target: Path
) -> Plan | None:
    """Return the plan of the changes that these commits made; ``target`` gets its rows.

    A run pushes at most SEARCH_PUSHES commits, and each needs a process of git here: of more commits, other
    users have made some.
    If the attempt was killed while it published in parts, the other changes are deferred to the next run.
    Returns None if the commits contain a change that is not in the plan, or no change: then another user
    made them, although they name the run.
    """
    if len(commits) > SEARCH_PUSHES:
        return None
    fates = _fates(repository, run, plan, commits)
    if fates is None:
        return None
    if deferred := fates.count(Fate.DEFERRED):
        logs.warning(
            Operation.GIT_PUSH,
            "The branch already contains a part of this run's changes; the next run publishes the rest",
            commit=commits[0],
            deferred=deferred,
        )
    else:
        logs.info(Operation.GIT_PUSH, "The branch already contains this run's commit", commit=commits[0])
    return select(run.identity, plan, target, fates)


def _fates(repository: Repository, run: Run, plan: Plan, commits: Sequence[str]) -> bytearray | None:
    fates = bytearray()
    changes = heapq.merge(*map(repository.changes, commits), key=lambda change: change.path)
    try:
        for row, made in joined_with_plan(changes, run, plan):
            if row is None or (made is not None and not is_made(row, made)):
                return None
            fates.append(Fate.DEFERRED if made is None else Fate.SELECTED)
    except OutOfOrder:  # two of the commits change the same path
        return None
    return fates if Fate.SELECTED in fates else None
