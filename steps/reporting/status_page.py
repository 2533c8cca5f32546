"""The status page: whether the sync is healthy, the last run, and the state of each cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps.contracts import Status
from steps.core.clock import is_ahead
from steps.core.wording import SAMPLE_SIZE, plural
from steps.reporting.page import (
    Badge,
    Block,
    Code,
    Heading,
    Inline,
    Items,
    Link,
    Page,
    Paragraph,
    Table,
    Tone,
)
from steps.reporting.run_page import at, headline, rewritten_words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from steps.contracts import ClusterState, RunResult, State


def status_page(
    state: State | None, now: datetime, *, healthy: bool, reason: str, stale: Collection[str] = ()
) -> Page:
    """Return the page; ``reason`` is the sentence of the health check."""
    badge = Badge("Healthy", Tone.GOOD) if healthy else Badge("Unhealthy", Tone.BAD)
    links: tuple[Inline, ...] = (Link("Metrics", "metrics"), " · ", Link("Health", "health"))
    if state is None:
        blocks: tuple[Block, ...] = (Paragraph(links),)
    else:
        blocks = (
            *_run("Last run", state.last_run, "report"),
            *_run("Last run with filter options", state.last_filtered_run, "report/filtered"),
            Paragraph(links),
            *_clusters(state, now, stale),
        )
    return Page("git-sync", badge, (reason,), blocks)


def _run(title: str, run: RunResult | None, report: str) -> Iterator[Block]:
    if run:
        yield Heading(title)
        words = rewritten_words(run.clusters)
        yield Paragraph((headline(run), f" {words}. " if words else " ", Link("Report", report)))


def _clusters(state: State, now: datetime, stale: Collection[str]) -> Iterator[Block]:
    if state.clusters:
        yield Heading("Clusters")
        last = state.last_run.clusters if state.last_run else ()
        failed = {c.name for c in last if c.status is Status.FAILED}
        head = (
            "Cluster",
            "Status",
            "Files",
            "Last success",
            "Newest object",
            "Quarantined",
            "Unreadable Secrets",
            "Deletions refused",
            "Deletions pending",
            "Refused by host",
        )
        rows = [
            (
                Code(name),
                Badge("failed", Tone.BAD) if name in failed else _badge(known, is_stale=name in stale),
                known.files,
                _at(known.last_success_at, now),
                _at(known.newest_object_at, now),
                known.quarantined,
                known.secrets_unreadable,
                known.deletions_refused,
                known.deletions_pending,
                known.refused_by_host,
            )
            for name, known in sorted(state.clusters.items())
        ]
        yield Table(head, tuple(rows))
    if hidden := sum(known.secrets for known in state.clusters.values()):
        yield Paragraph((f"{plural(hidden, 'Secret')} redacted or excluded so far.",))
    if files := [file for _, known in sorted(state.clusters.items()) for file in known.foreign]:
        yield Heading("Foreign files")
        yield Items(tuple((Code(file.path),) for file in files[:SAMPLE_SIZE]))
        if len(files) > SAMPLE_SIZE:
            yield Paragraph((f"… and {len(files) - SAMPLE_SIZE:,} more.",))


def _at(moment: datetime | None, now: datetime) -> str:
    return f"{at(moment)}, in the future" if moment and is_ahead(moment, now) else at(moment)


def _badge(known: ClusterState, *, is_stale: bool) -> Badge:
    if known.over_limit:
        return Badge("over limit", Tone.WARN)
    if known.missing:
        return Badge("missing", Tone.BAD)
    if known.deletions_refused:
        return Badge("refused", Tone.WARN)
    if known.refused_by_host:
        return Badge("refused by host", Tone.WARN)
    if known.secrets_unreadable:
        return Badge("unreadable Secrets", Tone.WARN)
    if is_stale:
        return Badge("stale", Tone.WARN)
    if known.kept:
        return Badge("kept", Tone.PLAIN)
    return Badge("quarantined keys", Tone.WARN) if known.quarantined else Badge("ok", Tone.GOOD)
