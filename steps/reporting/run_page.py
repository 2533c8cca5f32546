"""The report of one run, as a page: is it fine, what must I do, what has changed."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from steps.contracts import ClusterResult, Outcome, RunResult, Status
from steps.core.deletion_guard import Decision
from steps.core.keys import printable
from steps.core.wording import plural
from steps.kubernetes.change_summary import (
    ChangeSummary,
    Count,
    ImageChange,
    SecurityCategory,
    SecurityChange,
)
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
    Parts,
    Table,
    Tone,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OUTCOMES = {
    Outcome.SUCCESS: Badge("Success", Tone.GOOD),
    Outcome.PARTIAL: Badge("Partial", Tone.WARN),
    Outcome.REFUSED: Badge("Refused", Tone.WARN),
    Outcome.FAILED: Badge("Failed", Tone.BAD),
}
_STATUSES = {
    Status.OK: Badge("ok", Tone.GOOD),
    Status.FAILED: Badge("failed", Tone.BAD),
    Status.REFUSED: Badge("refused", Tone.WARN),
    Status.OVER_LIMIT: Badge("held back", Tone.WARN),
    Status.SUPERSEDED: Badge("superseded", Tone.PLAIN),
}
_REFUSALS = {
    Decision.REFUSED_MASS_DELETION: "more are gone from the bucket than the limits allow",
    Decision.REFUSED_VANISHED: "the bucket holds nothing of this cluster any more",
    Decision.REFUSED_EMPTY_BUCKET: "the bucket holds no cluster at all: check MINIO_BUCKET and MINIO_PREFIX",
}
_CATEGORIES = {
    SecurityCategory.RBAC: Badge("RBAC", Tone.WARN),
    SecurityCategory.SECRET: Badge("Secret", Tone.WARN),
    SecurityCategory.NETWORK_POLICY: Badge("NetworkPolicy", Tone.WARN),
}
_SHOWN_KEYS = 5
_SHORT_ID = 12
# Chat programs take <!here>, @everyone and [a](link) for more than text. These only look like it.
_NO_CHAT = str.maketrans("<>[]@", "\u2039\u203a()\uff20")


def headline(result: RunResult) -> str:
    """The run in one line of plain text, for chats: no control character, no mention, no hidden link."""
    where = f" on {result.branch}" if result.branch else ""
    lead = "".join(part if isinstance(part, str) else part.text for part in _lead(result))
    return printable(f"git-sync: {_OUTCOMES[result.outcome].text}{where}. {lead}", 1000).translate(_NO_CHAT)


def run_page(result: RunResult, commit_url: str | None) -> Page:
    """Return the page; ``commit_url`` is where people look at its commit, None where nobody knows."""
    return Page(
        title="git-sync run report",
        badge=_OUTCOMES[result.outcome],
        lead=(*_lead(result), *_commit(result, commit_url)),
        blocks=(
            *_to_do(result),
            *_clusters(result.clusters),
            *_changes(result.changes),
            *_facts(result),
        ),
    )


def _lead(result: RunResult) -> Parts:
    if result.error:
        return f"Exit code {result.exit_code}: ", Code(result.error)
    counts = _sum(result)
    changed = (
        f"{counts.added:,} new, {counts.modified:,} modified, {counts.deleted:,} deleted"
        if counts.total
        else "Nothing changed"
    )
    done = f"{changed} in {plural(len(result.processed), 'cluster')}."
    wrong = [
        f"{plural(count, 'cluster')} {word}"
        for word, count in (
            (_STATUSES[status].text, sum(cluster.status is status for cluster in result.clusters))
            for status in (Status.FAILED, Status.REFUSED, Status.OVER_LIMIT, Status.SUPERSEDED)
        )
        if count
    ]
    return (f"{done} {', '.join(wrong)}.".removesuffix(" ."),)


def _to_do(result: RunResult) -> Iterator[Block]:
    """What a person must do; nothing where there is nothing."""
    items: list[Parts] = []
    if result.clusters_skipped:
        sample = result.clusters_skipped_sample[:_SHOWN_KEYS]
        names = [part for name in sample for part in (" ", Code(name))]
        new = plural(result.clusters_skipped, "new cluster")
        items.append((f"{new} held back, for there are more than MAX_CLUSTERS allows:", *names, " …"))
    for cluster in result.clusters:
        items += _cluster_to_do(cluster)
    items += _quarantined("outside every cluster", result.quarantined, result.quarantined_sample)
    for cluster in result.clusters:
        items += _quarantined(cluster.name, cluster.quarantined, cluster.quarantined_sample)
    if items:
        yield Heading("What to do")
        yield Items(tuple(items))


def _cluster_to_do(cluster: ClusterResult) -> Iterator[Parts]:
    name = Code(cluster.name)
    if cluster.status is Status.FAILED:
        advice = "The next run tries again." if cluster.transient else "Somebody must act."
        yield name, " failed and is left as it was: ", Code(cluster.error or ""), f". {advice}"
    if cluster.status is Status.REFUSED:
        why = _REFUSALS[cluster.decision]
        yield (
            name,
            f": {plural(cluster.deletions_refused, 'deletion')} refused, for {why}. ",
            "Mend the backup job; or, if the loss is meant, allow just this one: ",
            Code(f"git-sync run --allow-delete {shlex.quote(cluster.allow_delete or '')}"),
        )
    if cluster.status is Status.OVER_LIMIT:
        yield (
            name,
            " is held back and left as it was: ",
            Code(cluster.error or ""),
            ". Mend the backup job; or, if the growth is meant, raise that setting for a run.",
        )
    if cluster.changes_deferred:
        left = plural(cluster.changes_deferred, "change")
        yield name, f": {left} left for the next run, for the branch had moved."


def _quarantined(where: str, reasons: Mapping[str, int], sample: tuple[str, ...]) -> Iterator[Parts]:
    if not reasons:
        return
    counted = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items()))
    quarantined = f"{plural(sum(reasons.values()), 'key')} quarantined ({counted})"
    keys = [part for key in sample[:_SHOWN_KEYS] for part in (" ", Code(key))]
    yield (
        Code(where),
        f": {quarantined}. Rename or remove them in the bucket:",
        *keys,
        " …" if sum(reasons.values()) > _SHOWN_KEYS else "",
    )


def _commit(result: RunResult, url: str | None) -> Parts:
    if not result.commit:
        return ()
    return " Commit ", Link(result.commit[:_SHORT_ID], url) if url else Code(result.commit[:_SHORT_ID])


def _facts(result: RunResult) -> Iterator[Block]:
    yield Heading("The run")
    facts: list[Parts] = [
        ("Run ", Code(result.run_id), *((" on ", Code(result.branch)) if result.branch else ())),
        (f"Ended {at(result.finished_at)}, after {_duration(result.duration_seconds)}",),
        (f"Mode {result.mode.value}{', narrowed by options' if result.filtered_by_options else ''}",),
    ]
    if result.step_seconds:
        steps = (f"{step} {_duration(seconds)}" for step, seconds in result.step_seconds.items())
        facts.append((", ".join(steps),))
    yield Items(tuple(facts))


def _clusters(clusters: tuple[ClusterResult, ...]) -> Iterator[Block]:
    if clusters:
        yield Heading("Clusters")
        head = ("Cluster", "Status", "Files", "New", "Modified", "Deleted", "Fetched", "Youngest object")
        rows = [
            (
                Code(cluster.name),
                _STATUSES[cluster.status],
                cluster.files,
                cluster.added,
                cluster.modified,
                cluster.deleted,
                cluster.fetched,
                at(cluster.newest_object_at),
            )
            for cluster in clusters
        ]
        yield Table(head, tuple(rows))


def _changes(changes: ChangeSummary) -> Iterator[Block]:
    if changes.security_changes:
        yield Heading("Security-relevant changes")
        yield Items(tuple(map(_security_change, changes.security_changes)))
        yield from _more(changes.more_security_changes)
    if changes.images:
        yield Heading("Images")
        yield Items(tuple(map(_image, changes.images)))
        yield from _more(changes.more_images)
    for title, counts in (("Kinds", changes.kinds), ("Namespaces", changes.namespaces)):
        if counts:
            yield Heading(title)
            yield Table(
                ("", "New", "Modified", "Deleted"), tuple(map(_counted, *zip(*counts.items(), strict=True)))
            )
    if changes.not_inspected:
        files = plural(changes.not_inspected, "modified file")
        yield Paragraph((f"{files} were not looked into for images and rules.",))


def _counted(name: str, count: Count) -> tuple[Inline | int, ...]:
    return Code(name), count.added, count.modified, count.deleted


def _security_change(change: SecurityChange) -> Parts:
    rules = [("granted", rule) for rule in change.granted] + [("revoked", rule) for rule in change.revoked]
    parts = [part for word, rule in rules for part in (f" {word} ", Code(rule))]
    return (_CATEGORIES[change.category], " ", Code(change.path), f" {change.change.word}", *parts)


def _image(image: ImageChange) -> Parts:
    before, after = (Code(name) if name else "none" for name in (image.before, image.after))
    return Code(image.path), " ", Code(image.container), ": ", before, " → ", after


def _more(count: int) -> Iterator[Block]:
    if count:
        yield Paragraph((f"… and {count:,} more.",))


def _sum(result: RunResult) -> Count:
    return Count(
        added=sum(cluster.added for cluster in result.processed),
        modified=sum(cluster.modified for cluster in result.processed),
        deleted=sum(cluster.deleted for cluster in result.processed),
    )


def at(moment: datetime | None) -> str:
    """A moment as people read it; a dash for none."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else "–"


def _duration(seconds: float) -> str:
    """As people say it: 0.4 s, 45 s, 2 min 5 s, 1 h 2 min."""
    if seconds < 10:  # noqa: PLR2004 - below, tenths matter
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
