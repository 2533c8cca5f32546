"""Publishing a plan in parts, after the Git host has refused all of it in one push.

steps/core/refusal_search.py decides which part is next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from steps.clients.git.errors import HostRefusal, PushRefusedForNow
from steps.contracts import RefusedObject
from steps.core.changes import PlanRow
from steps.core.git_objects import Change
from steps.core.host_message import Named, is_about_content
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.core.refusal_search import Part, Refusal, Search
from steps.core.wording import plural
from steps.errors import SyncError
from steps.publishing.commit import commit
from steps.publishing.push import log_moved_branch, push
from steps.publishing.refusals import text_of
from steps.publishing.selection import Fate, Published, needing_a_deletion, select
from steps.runtime import logs
from steps.workdir.rowfile import RowFile, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steps.clients.git.repository import Repository
    from steps.contracts import Run
    from steps.planning.plan import Plan
    from steps.publishing.push import PushCount
    from steps.publishing.refusals import Remembered
    from steps.runtime.settings.git import GitSettings
    from steps.workdir.volume import Volume


class _AnyId(frozenset[str]):
    """Contains every blob id: the first commit wrote all blobs of the plan to the scratch repository."""

    def __contains__(self, _: object) -> bool:
        return True


@dataclass
class PartialPush:
    """The push of a plan in parts; each accepted part is a commit on top of the one before."""

    settings: GitSettings
    volume: Volume
    run: Run
    repository: Repository
    pushes: PushCount
    plan: Plan

    def __post_init__(self) -> None:
        self._plan = replace(self.plan, by_id=_AnyId())
        self._tip = self.plan.tip
        self._commit: str | None = None
        self._fates = bytearray(len(RowFile(self.plan.rows)))  # a Fate for each change; 0 is DEFERRED
        self._refused_for_now: set[int] = set()

    def publish(self, first: HostRefusal, remembered: Remembered) -> Published | None:
        """Push parts until the refused changes are known; ``first`` is the refusal of the whole plan.

        Returns None if the branch moved before the host accepted a part: then plan again. Raises ``first``
        if the cause is not in the changes. If something else fails after an accepted part, the rest is
        deferred to the next run.
        """
        logs.warning(
            Operation.GIT_PUSH,
            "The Git host refused the push; publishing in parts to find the refused changes",
            error=first.host_message,
            changes=len(self._fates),
        )
        later = Part.of(needing_a_deletion(self._rows())) if self._plan.changes.deleted else Part()
        whole = Part(((0, len(self._fates)),))
        search = Search(
            whole,
            self._understood(whole, first, remembered),
            self._boundaries(),
            seed=self.run.run_id,
            later=later,
        )
        messages = {0: first.host_message}  # the plan may be one change
        try:
            while (part := search.next_part()) is not None:
                if (refusal := self._attempt(part)) is None:
                    search.accept()
                else:
                    search.refuse(part, self._understood(part, refusal, remembered))
                    messages[part.number_at(0)] = refusal.host_message
                    if len(part) == 1 and isinstance(refusal, PushRefusedForNow):
                        self._refused_for_now.add(part.number_at(0))
            if later and self._has_made_all_deletions():
                self._attempt(later)
        except _BranchMoved as moved:
            if self._commit is None:
                log_moved_branch(self.run, moved.tip)
                return None
            _log_end(f"branch {self.run.branch} has moved")
        except SyncError as problem:
            if self._commit is None:
                raise
            _log_end(problem.error)
        if search.is_about_the_branch:
            raise first
        return self._published({number: messages[number] for number in search.refused})

    def _attempt(self, part: Part) -> HostRefusal | None:
        """Commit and push one part; return the refusal, None if the host accepted it."""
        fates = self._fates.copy()
        _set(fates, part, Fate.SELECTED)
        plan = replace(self._plan, tip=self._tip)
        selected = select(self.run.identity, plan, self.volume.files(self.run.run_id).part_rows, fates)
        oid = commit(self.settings, self.volume, self.run, self.repository, selected)
        try:
            tip = push(self.repository, self.run, oid, self._tip, self.pushes, retries_refusals=False)
        except HostRefusal as refusal:
            return refusal
        if tip != oid:
            raise _BranchMoved(tip)
        self._tip = self._commit = oid
        _set(self._fates, part, Fate.EARLIER)
        return None

    def _understood(self, part: Part, refusal: HostRefusal, remembered: Remembered) -> Refusal:
        """Return which changes of the part the message names, or were refused in an earlier run."""
        named = Named(refusal.output, self.run.git_path)
        pushed = bytearray(len(self._fates))
        _set(pushed, part, 1)
        suspects = (
            number
            for number, row in enumerate(self._rows())
            if pushed[number] and (named.has(row.path, row.oid) or remembered.is_suspect(row))
        )
        return Refusal(frozenset(suspects), is_about_content(refusal.output))

    def _boundaries(self) -> list[int]:
        """Return the numbers of the first changes of the clusters."""
        by_cluster = groupby(enumerate(self._rows()), key=lambda item: item[1].path.partition(b"/")[0])
        return [next(changes)[0] for _, changes in by_cluster]

    def _has_made_all_deletions(self) -> bool:
        changes = zip(self._rows(), self._fates, strict=True)
        return all(fate == Fate.EARLIER for row, fate in changes if row.change == Change.DELETED)

    def _published(self, messages: dict[int, str]) -> Published:
        """Return the outcome; ``messages`` has the host's message for each refused change."""
        refused: list[RefusedObject] = []
        for number, row in enumerate(self._rows()):
            if (message := messages.get(number)) is not None:
                if number in self._refused_for_now:
                    _log_refused_for_now(text_of(row.path), message)
                    continue
                self._fates[number] = Fate.REFUSED
                refused.append(
                    RefusedObject(
                        path=text_of(row.path),
                        change=row.change,
                        oid=row.oid,
                        since=self.run.started_at,
                        host_message=message,
                    )
                )
        fates = self._fates.replace(bytes([Fate.EARLIER]), bytes([Fate.SELECTED]))
        plan = select(self.run.identity, self._plan, self.volume.files(self.run.run_id).published_rows, fates)
        _log_result(plan, refused, self._fates.count(Fate.DEFERRED))
        return Published(self.plan, plan, self._commit, tuple(refused))

    def _rows(self) -> Iterator[PlanRow]:
        return read_rows(self._plan.rows, PlanRow)


class _BranchMoved(Exception):
    """Another push came first."""

    def __init__(self, tip: str | None) -> None:
        self.tip = tip


def _set(fates: bytearray, part: Part, fate: int) -> None:
    for start, stop in part.ranges:
        fates[start:stop] = bytes([fate]) * (stop - start)


def _log_end(error: str) -> None:
    logs.error(
        Operation.GIT_PUSH, "Failed to publish every part", f"{error}; the next run publishes the rest"
    )


def _log_refused_for_now(path: str, message: str) -> None:
    """Log a change that the next run pushes again, because the host's words may mean a passing problem."""
    logs.warning(
        Operation.GIT_PUSH,
        f"The Git host refused {printable(path)} for now; the next run tries again",
        error=message,
        path=printable(path),
    )


def _log_result(plan: Plan, refused: list[RefusedObject], deferred: int) -> None:
    for one in refused:
        logs.error(
            Operation.GIT_PUSH,
            f"The Git host refused {printable(one.path)}",
            one.host_message,
            path=printable(one.path),
            change=one.change.word,
            oid=one.oid,
            cluster=printable(one.cluster),
        )
    changed = plan.changes
    logs.info(
        Operation.GIT_PUSH,
        f"{plural(changed.new + changed.modified + changed.deleted, 'change')} published, "
        f"{len(refused):,} refused by the Git host, {deferred:,} deferred",
        refused=len(refused),
        deferred=deferred,
    )
