"""The report of one run as a page: whether it succeeded, what to do, what changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from steps.contracts import ClusterResult, Outcome, RunResult, Status
from steps.core.approvals import approval_command, approval_link
from steps.core.deletion_guard import REFUSALS
from steps.core.keys import printable
from steps.core.source_age import staleness
from steps.core.wording import SAMPLE_SIZE, plural
from steps.kubernetes.change_summary import Count
from steps.reporting.changes import counts_of_changes, important_changes, modified_words, more
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
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from steps.contracts import ClearSecrets
    from steps.core.approvals import Origin
    from steps.core.source_age import MaxAges

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
    Status.KEPT: Badge("kept", Tone.PLAIN),
    Status.OVER_LIMIT: Badge("over limit", Tone.WARN),
    Status.SUPERSEDED: Badge("superseded", Tone.PLAIN),
}
_MAX_KEYS = 5
_SHORT_ID = 12
_TRY_AGAIN = "a full run (SYNC_MODE=full) tries it again"
# Chat programs interpret <!here>, @everyone, #1 and [a](link). These characters only look similar.
_CHAT_SAFE = str.maketrans("<>[]@#", "\u2039\u203a()\uff20\uff03")


def headline(result: RunResult) -> str:
    """The run in one line of plain text for chats, without control characters, mentions or links."""
    where = f" on {result.branch}" if result.branch else ""
    if result.filtered_by_options:
        where += ", filtered by options"
    lead = "".join(part if isinstance(part, str) else part.text for part in _lead(result))
    line = printable(f"git-sync: {_OUTCOMES[result.outcome].text}{where}. {lead}", 1000)
    return line.translate(_CHAT_SAFE).replace("://", ":\u2215\u2215")


def run_page(
    result: RunResult,
    commit_url: str | None,
    *,
    max_ages: MaxAges = (),
    clear_secrets: ClearSecrets | None = None,
) -> Page:
    """Return the page; ``commit_url`` is the web page of its commit, None if unknown.

    ``clear_secrets`` is what the state says about Secrets in clear text.
    """
    return Page(
        title="git-sync run report",
        badge=_OUTCOMES[result.outcome],
        lead=(*_lead(result), *_commit(result, commit_url)),
        blocks=(
            *_to_do(result),
            *_stale(result, max_ages),
            *important_changes(result.changes),
            *_clusters(result.clusters),
            *_pending(result.clusters),
            *_foreign(result.clusters),
            *_policy(result.clusters, clear_since(clear_secrets, result)),
            *counts_of_changes(result.changes),
            *_facts(result),
        ),
    )


def _lead(result: RunResult) -> Parts:
    if result.error:
        return f"Exit code {result.exit_code}: ", Code(result.error)
    counts = _sum(result)
    # "Refused" or "Partial" precedes the counts, but these changes were made.
    verb = "Committed " if result.branch and result.outcome is not Outcome.SUCCESS else ""
    changed = (
        f"{verb}{counts.added:,} new, {counts.modified:,} modified, {counts.deleted:,} deleted"
        if counts.total
        else "Nothing changed"
    )
    words = modified_words(result.changes.modified_files)
    modified = f" {plural(result.changes.modified_files.total, 'modified file')}: {words}." if words else ""
    processed = f"{changed} in {plural(len(result.processed), 'cluster')}.{modified}"
    problems = [
        f"{plural(count, 'cluster')} {word}"
        for word, count in (
            (_STATUSES[status].text, sum(cluster.status is status for cluster in result.clusters))
            for status in (
                Status.FAILED,
                Status.REFUSED,
                Status.KEPT,
                Status.OVER_LIMIT,
                Status.SUPERSEDED,
            )
        )
        if count
    ]
    if refused := sum(cluster.refused_by_host for cluster in result.clusters):
        problems.append(f"{plural(refused, 'change')} refused by the Git host")
    lead = f"{processed} {', '.join(problems)}.".removesuffix(" .")
    return (" ".join((lead, *_vanished_namespaces(result))),)


def _vanished_namespaces(result: RunResult) -> Iterator[str]:
    """Name the first vanished namespaces, each in a sentence."""
    lost = [(cluster, one) for cluster in result.clusters for one in cluster.vanished_namespaces_sample]
    for cluster, one in lost[:_MAX_KEYS]:
        where = f"Namespace {one.name} of {printable(cluster.name)}"
        yield f"{where} disappeared: {plural(one.files, 'file')} {one.fate}."
    if (count := sum(cluster.vanished_namespaces for cluster in result.clusters)) > _MAX_KEYS:
        yield f"{plural(count - _MAX_KEYS, 'more namespace')} disappeared."


def _names(sample: Sequence[str], number: int) -> Iterator[Inline]:
    """Yield the first names of a sample; an ellipsis if there are more."""
    shown = sample[:_MAX_KEYS]
    for name in shown:
        yield " "
        yield Code(name)
    if number > len(shown):
        yield " …"


def _to_do(result: RunResult) -> Iterator[Block]:
    """The section of what a person must do; empty if there is nothing to do."""
    items: list[Parts] = []
    if skipped := result.clusters_skipped:
        what = f"{plural(skipped, 'new cluster')} skipped, because there are more clusters than MAX_CLUSTERS:"
        items.append((what, *_names(result.clusters_skipped_sample, skipped)))
    if skipped := result.clusters_only_in_git_skipped:
        what = f"{plural(skipped, 'cluster')} only in Git skipped, because Git has more than MAX_CLUSTERS:"
        items.append((what, *_names(result.clusters_only_in_git_sample, skipped)))
    for cluster in result.clusters:
        items += _cluster_to_do(cluster, result.origin)
    if len(result.approvals) > 1:
        items.append(("To approve all refused deletions: ", *_approval(result.approvals, result.origin)))
    items += _refused_by_host(result)
    items += _quarantined("Outside every cluster", result.quarantined, result.quarantined_sample)
    for cluster in result.clusters:
        items += _quarantined(Code(cluster.name), cluster.quarantined, cluster.quarantined_sample)
    if items:
        yield Heading("What to do")
        yield Items(tuple(items))


def _cluster_to_do(cluster: ClusterResult, origin: Origin) -> Iterator[Parts]:
    name = Code(cluster.name)
    if cluster.status is Status.FAILED:
        advice = "The next run retries it." if cluster.transient else "Fix the cause; a retry does not help."
        yield name, " failed and is unchanged in Git: ", Code(cluster.error or ""), f". {advice}"
    if cluster.status is Status.REFUSED:
        how: Parts = ()
        if approval := cluster.suggested_approval:
            intended = " Fix the backup job. If the deletions are intended, approve exactly these: "
            how = (intended, *_approval([approval], origin))
        refused = plural(cluster.deletions_refused, "deletion")
        yield (name, f": {refused} refused: {REFUSALS[cluster.decision]}.", *how)
    if cluster.status is Status.OVER_LIMIT:
        yield (
            name,
            " is over an intake limit, was skipped and is unchanged in Git: ",
            Code(cluster.error or ""),
            ". Fix the backup job. If the growth is intended, raise that setting for one run.",
        )
    for unavailable in cluster.unavailable_sample[:_MAX_KEYS]:
        yield name, ": the store lists an object but does not return it: ", Code(unavailable)
    if cluster.secrets_unreadable:
        unreadable = plural(cluster.secrets_unreadable, "file")
        yield name, f": {unreadable} may contain a Secret and cannot be read, so Git does not have them."
    if cluster.changes_deferred:
        changes = plural(cluster.changes_deferred, "change")
        yield name, f": {changes} deferred to the next run; the log has the cause."


def clear_since(known: ClearSecrets | None, result: RunResult) -> str:
    """Say since when Git contains Secrets in clear text; empty if it is not known, or if SECRETS is set."""
    if known is None or not result.clusters or result.secrets is not None:
        return ""
    return f"at least since commit {known.commit[:_SHORT_ID]} of {at(known.at)}"


def _policy(clusters: Sequence[ClusterResult], since: str) -> Iterator[Block]:
    """The section of what SECRETS, VOLATILE_FIELDS and the filters do with files in Git."""
    items: list[Parts] = [(f"{words}.",)] if (words := rewritten_words(clusters)) else []
    if named := sum(cluster.secret_paths for cluster in clusters):
        files = f"{plural(named, 'file')} with a path that names Secrets, and any Secret in other files"
        since = f"{files}, {since}" if since else files
    if since:
        items.append((f"Secrets are stored in clear text: {since}. Set SECRETS to redact, exclude or keep.",))
    for cluster in clusters:
        name = Code(cluster.name)
        if cluster.secrets:
            items.append((name, f": {plural(cluster.secrets, 'Secret')} redacted or excluded in this run."))
        if cluster.removed_by_policy:
            files = plural(cluster.removed_by_policy, "file")
            items.append(
                (name, f": {files} removed by SECRETS or VOLATILE_FIELDS; the bucket has the objects.")
            )
        if cluster.excluded_in_git:
            files = f"{plural(cluster.excluded_in_git, 'file')} in Git excluded by EXCLUDE or NAMESPACES"
            items.append((name, f": {files}, and unchanged. To remove, delete in a clone and push."))
    if items:
        yield Heading("Volatile fields, Secrets and filters")
        yield Items(tuple(items))


def rewritten_words(clusters: Iterable[ClusterResult]) -> str:
    """Say what VOLATILE_FIELDS=strip did, as in ``1,204 objects rewritten, 3 kept exactly, 1.2 MB cut``.

    Empty if it changed nothing.
    """
    found = tuple(clusters)
    rewritten, kept, cut, omitted = (
        sum(getattr(cluster, name) for cluster in found)
        for name in ("rewritten", "kept_exactly", "cut_bytes", "omitted")
    )
    if not rewritten + kept + omitted:
        return ""
    parts = [f"{plural(rewritten, 'object')} rewritten"]
    if kept:
        parts.append(f"{kept:,} kept exactly")
    if omitted:
        parts.append(f"{omitted:,} omitted")
    return ", ".join((*parts, f"{_size(cut)} cut"))


def _size(count: int) -> str:
    """A number of bytes as in 512 bytes, 340 kB or 1.2 MB."""
    if count < 1000:  # noqa: PLR2004 - a kilobyte
        return plural(count, "byte")
    return f"{count / 1e3:,.0f} kB" if count < 1_000_000 else f"{count / 1e6:,.1f} MB"  # noqa: PLR2004 - a megabyte


def _approval(approvals: Sequence[str], origin: Origin) -> Iterator[Inline]:
    yield Code(approval_command(approvals, origin))
    if link := approval_link(approvals, origin):
        yield " or "
        yield Link("the form in Argo", link)


def _refused_by_host(result: RunResult) -> Iterator[Parts]:
    for one in result.refused_by_host[:SAMPLE_SIZE]:
        yield (
            Code(one.path),
            f" ({one.change.word}) has been refused by the Git host since {at(one.since)}: ",
            Code(one.host_message or "see the log of that run"),
            f". Change the object, or the host's rule; then {_TRY_AGAIN}.",
        )
    count = sum(cluster.refused_by_host for cluster in result.clusters)
    if count > SAMPLE_SIZE:
        yield (f"The Git host refuses {count - SAMPLE_SIZE:,} more.",)


def _quarantined(where: Inline, reasons: Mapping[str, int], sample: tuple[str, ...]) -> Iterator[Parts]:
    if not reasons:
        return
    total = sum(reasons.values())
    counts = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items()))
    what = "it" if total == 1 else "them"
    keys = [part for key in sample[:_MAX_KEYS] for part in (" ", Code(key))]
    yield (
        where,
        f": {plural(total, 'key')} quarantined ({counts}). Rename or remove {what} in the bucket:",
        *keys,
        " …" if total > _MAX_KEYS else "",
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
        (f"Mode {result.mode.value}{', filtered by options' if result.filtered_by_options else ''}",),
    ]
    if result.step_seconds:
        work = result.work_seconds or result.step_seconds
        facts.append((", ".join(f"{step} {_duration(seconds)}" for step, seconds in work.items()),))
        waited = sum(result.step_seconds.values()) - sum(work.values())
        if waited >= 1:
            facts.append((f"Waited {_duration(waited)} for pods and volumes",))
    yield Items(tuple(facts))


def _clusters(clusters: tuple[ClusterResult, ...]) -> Iterator[Block]:
    if clusters:
        yield Heading("Clusters")
        head = ("Cluster", "Status", "Files", "New", "Modified", "Deleted", "Fetched", "Newest object")
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


def _stale(result: RunResult, max_ages: MaxAges) -> Iterator[Block]:
    """The section of the clusters whose newest object is older than SOURCE_MAX_AGE."""
    found = (
        (cluster.name, staleness(cluster.name, cluster.newest_object_at, cluster.listed_at, max_ages))
        for cluster in result.processed
    )
    items: tuple[Parts, ...] = tuple((Code(name), f": {why}") for name, why in found if why)
    if items:
        yield Heading("Clusters that are not being backed up")
        yield Items(items[:SAMPLE_SIZE])
        yield from more(len(items) - SAMPLE_SIZE)


def _pending(clusters: tuple[ClusterResult, ...]) -> Iterator[Block]:
    pending = [one for cluster in clusters for one in cluster.deletions_pending_sample]
    if pending:
        yield Heading("Pending deletions")
        yield Paragraph(("Missing from the bucket, and in Git until DELETE_GRACE is over:",))
        yield Items(tuple((Code(one.path), f" since {at(one.since)}") for one in pending[:SAMPLE_SIZE]))
        yield from more(sum(cluster.deletions_pending for cluster in clusters) - SAMPLE_SIZE)


def _foreign(clusters: tuple[ClusterResult, ...]) -> Iterator[Block]:
    files = [file for cluster in clusters for file in cluster.foreign]
    if files:
        yield Heading("Foreign files")
        yield Paragraph(("Pushed by others, not in the bucket, and written by no run (FOREIGN_FILES):",))
        shown = ((Code(file.path), " removed" if file.removed else " kept") for file in files[:SAMPLE_SIZE])
        yield Items(tuple(shown))
        yield from more(len(files) - SAMPLE_SIZE)


def _sum(result: RunResult) -> Count:
    return Count(
        added=sum(cluster.added for cluster in result.processed),
        modified=sum(cluster.modified for cluster in result.processed),
        deleted=sum(cluster.deleted for cluster in result.processed),
    )


def at(moment: datetime | None) -> str:
    """Date and time in UTC; a dash for None."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else "–"


def _duration(seconds: float) -> str:
    """A duration as in 0.4 s, 45 s, 2 min 5 s or 1 h 2 min."""
    if seconds < 10:  # noqa: PLR2004 - below, tenths are shown
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
