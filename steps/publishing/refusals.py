"""The changes that the Git host has refused in earlier runs: this run skips them.

The state stores them. If the state is lost, the host refuses them again, and git-sync searches for them
again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps.contracts import Mode, RefusedObject
from steps.core.changes import PlanRow
from steps.core.git_objects import Change
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.core.wording import SAMPLE_SIZE, plural
from steps.publishing.selection import Fate, needing_a_deletion, select
from steps.runtime import logs
from steps.workdir.rowfile import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from steps.contracts import Run, State
    from steps.planning.plan import Plan


def text_of(path: bytes) -> str:
    """Return a path of Git as the documents write it; other people's paths need not be UTF-8."""
    return path.decode(errors="backslashreplace")


class Remembered:
    """The refused changes that the state stores; ``target`` gets the rows of plans without them."""

    def __init__(self, run: Run, state: State | None, target: Path) -> None:
        self._run = run
        self._target = target
        known = state.refused_by_host if state else ()
        self._known = {(one.path, one.oid): one for one in known}
        self._paths = {one.path for one in known}
        self._ids = {one.oid for one in known if one.change != Change.DELETED}

    def is_suspect(self, row: PlanRow) -> bool:
        """Whether the host has refused this path, or this content, before."""
        return bool(self._known) and (text_of(row.path) in self._paths or row.oid in self._ids)

    def split_off(self, plan: Plan) -> tuple[Plan, tuple[RefusedObject, ...]]:
        """Return the plan without the remembered changes, and these changes.

        Full mode skips nothing, so that the host decides again.
        """
        if not self._known or self._run.mode is Mode.FULL:
            return plan, ()
        refused = [
            known
            for row in read_rows(plan.rows, PlanRow)
            if (known := self._known.get((text_of(row.path), row.oid)))
        ]
        if not refused:
            return plan, ()
        later: set[int] = set()
        if any(one.change == Change.DELETED for one in refused):
            later = set(needing_a_deletion(read_rows(plan.rows, PlanRow)))
        logs.warning(
            Operation.GIT_PUSH,
            f"{plural(len(refused), 'change')} skipped: the Git host has refused the same content before",
            paths=[printable(one.path) for one in refused[:SAMPLE_SIZE]],
            since=min(one.since for one in refused),
        )
        return select(self._run.identity, plan, self._target, self._fates(plan, later)), tuple(refused)

    def _fates(self, plan: Plan, later: set[int]) -> Iterable[Fate]:
        for place, row in enumerate(read_rows(plan.rows, PlanRow)):
            if (text_of(row.path), row.oid) in self._known:
                yield Fate.REFUSED
            else:
                yield Fate.DEFERRED if place in later else Fate.SELECTED
