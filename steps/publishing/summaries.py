"""The summary of what a publish commits: made before the push, if the commit names a part of it.

Whether a file is inspected depends on time and memory, but a repeated publish must make the same commit. So
the volume keeps the summary from before the push, and a repeated publish uses it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from steps.contracts import Document
from steps.core import limits
from steps.core.changes import PlanRow
from steps.core.git_objects import EMPTY_TREE
from steps.core.message import substance_trailer
from steps.errors import SyncError
from steps.kubernetes.change_summary import ChangeSummary
from steps.publishing.isolated import Budget
from steps.workdir.files import read_document, write_document
from steps.workdir.rowfile import read_rows

if TYPE_CHECKING:
    from steps.clients.git.repository import Repository
    from steps.contracts import Run
    from steps.planning.plan import Plan
    from steps.publishing.selection import Published
    from steps.workdir.volume import RunFiles


class StoredSummary(Document):
    """What a commit changes. ``draft`` is the id of the same commit without the trailer about it."""

    schema_version: Literal[1] = 1
    draft: str
    commit: str
    summary: ChangeSummary


@dataclass(frozen=True)
class Summaries:
    """Summarizes the commits of one publish, within one budget for all of them."""

    repository: Repository
    run: Run
    files: RunFiles
    budget: Budget = field(default_factory=Budget)

    def described(self, draft: str, plan: Plan) -> str:
        """Return the commit with the trailer about its modified files; ``draft`` if it has no such trailer.

        A commit that modifies no file, or a file that was not inspected, has no trailer.
        """
        if not plan.changes.modified:
            return draft
        stored = self._stored()
        is_repeated = stored is not None and stored.draft == draft
        summary = stored.summary if stored and is_repeated else self._inspected(draft, plan.tip, plan)
        files = summary.modified_files
        commit = draft
        if not files.not_inspected:
            trailer = substance_trailer(files.substance, files.total)
            commit = self.repository.with_trailer(draft, trailer)
        if not is_repeated:
            write_document(self.files.summary, StoredSummary(draft=draft, commit=commit, summary=summary))
        return commit

    def of(self, published: Published) -> ChangeSummary:
        """Return what the commits of the publish changed."""
        if published.commit is None:
            return ChangeSummary()
        return self.stored_of(published.commit) or self._inspected(
            published.commit, published.planned.tip, published.made
        )

    def stored_of(self, commit: str) -> ChangeSummary | None:
        """Return the summary from before the push of this commit; None if there was none."""
        stored = self._stored()
        return stored.summary if stored and stored.commit == commit else None

    def _stored(self) -> StoredSummary | None:
        if not self.files.summary.exists():
            return None
        try:
            return read_document(self.files.summary, StoredSummary)
        except SyncError:  # of another version: then the summary is made again
            return None

    def _inspected(self, commit: str, base: str | None, plan: Plan) -> ChangeSummary:
        from steps.publishing.inspection import inspect_published  # few runs change something

        if base is None:
            self.budget.files = min(self.budget.files, limits.INSPECTED_FIRST_FILES)
        found = inspect_published(
            self.repository,
            self.run.git_path,
            commit,
            base or EMPTY_TREE,
            budget=self.budget,
            rules=self.run.policy.rules,
        )
        return not_inspected(plan, found) if isinstance(found, str) else found


def not_inspected(plan: Plan, reason: str) -> ChangeSummary:
    """Return the summary of a plan from the paths of its files alone."""
    if plan.is_empty:
        return ChangeSummary()
    from steps.kubernetes.summarize import summarize  # few runs need it

    changes = ((row.path, row.change) for row in read_rows(plan.rows, PlanRow))
    return ChangeSummary.model_validate(summarize(changes, {}, reason))
