"""inspect: summarize what changed between two commits, for people and for CI."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from steps.core.exit_codes import Exit
from steps.core.operations import Operation
from steps.core.wording import plural
from steps.errors import FixCommandLine
from steps.history.clone import Clone
from steps.kubernetes.categories import Category
from steps.publishing.inspection import inspect_changes
from steps.publishing.isolated import Budget
from steps.reporting.changes import counts_of_changes, important_changes, modified_words
from steps.reporting.markdown import markdown
from steps.reporting.page import Badge, Page, Tone
from steps.reporting.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from steps.kubernetes.change_summary import ChangeSummary
    from steps.kubernetes.volatile import Rule


# A person or a CI job waits for the answer, and wants all of it.
def _budget() -> Budget:
    return Budget(seconds=600, total_bytes=2**30, files=100_000, facts=1_000_000, memory_bytes=4 * 2**30)


class Format(StrEnum):
    """How to print the summary."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


# What --fail-on accepts besides the categories.
IMAGES = "image"
NOT_INSPECTED = "not_inspected"
FAILURES = (*(category.value for category in Category), IMAGES, NOT_INSPECTED)


def inspect(directory: Path, revisions: str, path: str, rules: Sequence[Rule]) -> ChangeSummary:
    """Summarize the changes below ``path`` ("dir/") between two commits, ``A..B``.

    ``rules`` say what is volatile.

    The inspection fails as a whole if git fails: the summary would be wrong.
    """
    before, dots, after = revisions.partition("..")
    if not (before and dots and after) or after.startswith("."):
        raise FixCommandLine(
            Operation.GIT_DIFF, "Failed to read the revisions", f"{revisions}: write two commits as A..B"
        )
    path = f"{path.rstrip('/')}/" if path.strip("./") else ""
    clone = Clone(directory)
    base, commit = clone.commit_before(before), clone.commit(after)
    return inspect_changes(clone, path, commit, base, budget=_budget(), rules=rules)


def printed(summary: ChangeSummary, how: Format, revisions: str) -> str:
    """Return the summary as text, Markdown or JSON."""
    if how is Format.JSON:
        return summary.model_dump_json(indent=2)
    words = modified_words(summary.modified_files)
    lead = f"{plural(summary.modified_files.total, 'modified file')}: {words}." if words else ""
    badge = Badge("Changed" if summary.objects.total else "Unchanged", Tone.PLAIN)
    blocks = (*important_changes(summary), *counts_of_changes(summary))
    page = Page(f"Changes {revisions}", badge, (lead,), blocks)
    return markdown(page) if how is Format.MARKDOWN else plain_text(page)


def parse_kinds(fail_on: Iterable[str]) -> frozenset[str]:
    """Parse the values of --fail-on. Raises FixCommandLine."""
    kinds = {kind.strip() for value in fail_on for kind in value.split(",")} - {""}
    if unknown := sorted(kinds - {*FAILURES, "all"}):
        problem = f"unknown: {', '.join(unknown)}; known are {', '.join((*FAILURES, 'all'))}"
        raise FixCommandLine(Operation.GIT_DIFF, "Failed to read --fail-on", problem)
    return frozenset(FAILURES if "all" in kinds else kinds)


def failures(summary: ChangeSummary, fail_on: Collection[str]) -> Iterator[str]:
    """Yield those of the given kinds of changes that the summary contains."""
    found = {category.value for category in summary.security_categories}
    if summary.images:
        found.add(IMAGES)
    if summary.not_inspected:
        found.add(NOT_INSPECTED)
    yield from sorted(found.intersection(fail_on))


def exit_code(summary: ChangeSummary, fail_on: Collection[str]) -> Exit:
    """Return what the command exits with."""
    return Exit.UNHEALTHY if any(failures(summary, fail_on)) else Exit.OK
