"""report: the run's last word, and the state that outlives it (sync-metadata.json)."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from steps.clients.http import Undelivered
from steps.contracts import ClusterState, LastSuccess, RunResult, RunStart, State, Status
from steps.core.counters import Counters
from steps.core.exit_codes import Exit
from steps.core.keys import escaped
from steps.errors import SyncError, Terminated, TryAgain, translated
from steps.reporting import webhook
from steps.reporting.html import html
from steps.reporting.markdown import markdown
from steps.reporting.run_page import run_page
from steps.runtime import logs, signals
from steps.workdir.volume import atomic_file, read_document, write_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from steps.runtime.settings import Settings

_SHOWN_FAILURES = 5


@dataclass(frozen=True)
class Reported:
    """The state before and after a run was added, and where that now stands."""

    old: State | None
    state: State
    file: Path


def report(state_file: Path, result: RunResult, *, output: Path | None = None) -> Reported | None:
    """Add the run to the state, once however often it is reported; it goes into ``output``, if given.

    None for a dry run, which leaves no trace. A state that is there and cannot be read is an error:
    writing zeros over it would make every counter lie.
    """
    if result.dry_run:
        return None
    old = previous_state(state_file)
    reported = Reported(old, _advanced(old, result), (output or state_file.parent) / state_file.name)
    write_document(reported.file, reported.state)
    return reported


def inform(
    settings: Settings,
    reported: Reported | None,
    result: RunResult,
    lock: Callable[[], AbstractContextManager[None]],
) -> None:
    """Tell whoever is to know: pages, webhook, metrics, and the log last.

    The sync is what it is: whatever goes wrong here is logged, and counted where ``lock`` can be had.
    Nothing is held meanwhile, for others may take their time.
    """
    try:
        if reported is not None:
            with _logged("report", "Failed to write the report"):
                _write_pages(settings, reported.file.parent, result)
            undelivered = _deliver(settings, reported, result)
            if undelivered:
                with _logged("report", "Failed to count what was not delivered"), lock():
                    state = read_document(reported.file, State)  # another run's, by now, perhaps
                    counters = state.counters.with_delivery_errors(**undelivered)
                    write_document(reported.file, state.model_copy(update={"counters": counters}))
    except Terminated as stop:
        signals.caught()
        logs.warning("report", "Stopped while telling of the run", error=stop.error)
    finally:
        tell(result)


@contextmanager
def _logged(operation: str, message: str) -> Iterator[None]:
    try:
        with translated():
            yield
    except SyncError as problem:
        logs.error(operation, message, problem.error)


def _write_pages(settings: Settings, directory: Path, result: RunResult) -> None:
    page = run_page(result, settings.commit_page(result.commit) if result.commit else None)
    for name, text in (("report.md", markdown(page)), ("report.html", html(page))):
        with atomic_file(directory / name) as out:
            out.write(text.encode(errors="replace"))


def _deliver(settings: Settings, reported: Reported, result: RunResult) -> dict[str, int]:
    """Call the webhook and push the metrics; return what failed of that."""
    failed = {}
    if settings.webhook_url and webhook.wanted(settings, result):
        try:
            webhook.tell(settings, result)
        except Undelivered as problem:
            logs.error("webhook", "Failed to call the webhook", str(problem))
            failed["webhook"] = 1
    if settings.pushgateway_url:
        state = reported.state
        if state.identity != result.identity:
            # After a mistyped setting it is still another bucket's or branch's, and the group may be not.
            state = state.model_copy(update={"last_success": None, "clusters": {}})
        try:
            _push(settings, reported.old, state)
        except Undelivered as problem:
            logs.error("metrics_push", "Failed to push the metrics", str(problem))
            failed["pushgateway"] = 1
    return failed


def _push(settings: Settings, old: State | None, state: State) -> None:
    """Push the metrics; new series first at zero, or their first increase would be seen by nobody."""
    from steps.reporting import metrics

    known = old.clusters if old and old.identity == state.identity else {}
    begin = state.clusters.keys() - known.keys()
    if old is None or begin:
        zeros = {
            "counters": old.counters if old else Counters(),
            "clusters": known | {name: ClusterState() for name in begin},
            "last_success": old.last_success if old else None,
        }
        metrics.push(settings, state.model_copy(update=zeros))
        pause = settings.scrape_interval.total_seconds()
        logs.info("metrics_push", "New series begin at zero, and stand so for SCRAPE_INTERVAL", seconds=pause)
        time.sleep(pause)
    metrics.push(settings, state)


def lost(start: RunStart, argo: str = "") -> RunResult:
    """The result of a run that left none: stopped, killed, or never begun.

    ``argo`` is the workflow.failures of an exit handler, the only witness then; "" for none.
    """
    said = "; ".join(_failures(argo)) or "the run left no result"
    return failed(TryAgain("sync_complete", "Git synchronization did not finish", said), start)


def _failures(argo: str) -> list[str]:
    """What Argo says of the nodes that failed, in the order in which they ended.

    It is a JSON list inside a JSON string; ``null`` in there if none failed.
    """
    try:
        nodes = json.loads(json.loads(argo)) or []
        ended = sorted(nodes, key=lambda node: node["finishedAt"] or "")
        said = [f"{node['displayName']}: {node['message']}" for node in ended if node["message"]]
    except (ValueError, TypeError, KeyError):
        return []
    return [escaped(words) for words in said[:_SHOWN_FAILURES]]


def failed(problem: SyncError | Terminated, start: RunStart) -> RunResult:
    """The result of a run that an error ended: what the log has said, and no secret either."""
    result = RunResult.of_failure(problem, start, finished_at=datetime.now(UTC))
    return result.model_copy(update={"error": logs.redacted(result.error or "")})


def previous_state(state_file: Path) -> State | None:
    """Return the state so far, None if there is none. FixConfiguration if it is damaged."""
    try:
        return read_document(state_file, State)
    except (FileNotFoundError, IsADirectoryError):  # the latter is Argo's way to say "no artifact"
        return None


def _advanced(old: State | None, result: RunResult) -> State:
    """Add the run to the state.

    What is known of a bucket and branch (the last success, the listings, the clusters) is not carried
    over to another; but a run that achieved nothing there, by a mistyped setting, must not forget it
    either. The counters go on whatever happens: they are the volume's, and may never fall.
    """
    achieved = result.exit_code in {Exit.OK, Exit.PARTIAL}
    moved = old is not None and old.identity != result.identity and achieved
    if moved:
        logs.warning("setup_workdir", "This volume now serves another bucket or branch")
    known = None if moved else old
    ours = known is None or known.identity == result.identity
    listed = dict(known.listed) if known else {}
    last_success = known.last_success if known else None
    for cluster in result.processed:
        if cluster.listed_at and ours:
            listed[cluster.name] = max(cluster.listed_at, listed.get(cluster.name, cluster.listed_at))
    superseded = any(cluster.status is Status.SUPERSEDED for cluster in result.clusters)
    if result.exit_code == Exit.OK and not result.narrowed and not superseded:
        success = LastSuccess(run_id=result.run_id, at=result.finished_at)
        # An old run may be reported late, or again.
        last_success = max(filter(None, (last_success, success)), key=lambda known: known.at)
    late = old is not None and old.last_run.started_at > result.started_at
    counters = old.counters if old else Counters()
    again = result.run_id in counters.counted_runs
    in_a_row = old.failures_in_a_row if old else 0
    if not late and not again and not result.narrowed:
        in_a_row = in_a_row + 1 if result.exit_code != Exit.OK else 0
    clusters = known.clusters if known else {}
    if ours and not again:
        clusters = _clusters(clusters, result, late=late)
    return State(
        identity=known.identity if known else result.identity,
        last_run=old.last_run if old and late else result,
        last_success=last_success,
        failures_in_a_row=in_a_row,
        listed=listed,
        clusters=clusters,
        counters=counters.with_run(
            result.run_id,
            duration_seconds=result.duration_seconds,
            failed=result.exit_code != Exit.OK,
            files_processed=sum(cluster.accepted for cluster in result.processed),
            bytes_downloaded=sum(cluster.fetched_bytes for cluster in result.clusters),
            push_attempts=result.push_attempts,
            push_failed=result.operation == "git_push",
        ),
    )


def _clusters(known: dict[str, ClusterState], result: RunResult, *, late: bool) -> dict[str, ClusterState]:
    """Add the run to what is known of each cluster; forget those that neither bucket nor Git holds."""
    clusters = dict(known)
    if not late:
        for cluster in result.clusters:
            if cluster.processed or cluster.held_back:
                before = clusters.get(cluster.name, ClusterState())
                held_back = cluster.held_back is not None
                clusters[cluster.name] = before.model_copy(update={"held_back": held_back})
    for cluster in result.processed:
        before = clusters.get(cluster.name, ClusterState())
        update: dict[str, object] = {
            "added": before.added + cluster.added,
            "modified": before.modified + cluster.modified,
            "deleted": before.deleted + cluster.deleted,
        }
        if not late:
            update["files"] = cluster.files
        if not late and not result.narrowed:  # which has seen a part only
            update |= {
                "quarantined": sum(cluster.quarantined.values()),
                "deletions_refused": cluster.deletions_refused,
                "missing": cluster.accepted == 0 and cluster.files_before > 0,
                "newest_object_at": cluster.newest_object_at or before.newest_object_at,
            }
            if cluster.status is Status.OK and not cluster.left_for_next_run:
                update["last_success_at"] = result.finished_at
        clusters[cluster.name] = before.model_copy(update=update)
    if result.clusters and not result.narrowed and not late:
        there = {cluster.name for cluster in result.clusters}
        clusters = {name: cluster for name, cluster in clusters.items() if name in there}
    return clusters


def tell(result: RunResult) -> None:
    """Log sync_complete."""
    duration_ms = round(result.duration_seconds * 1000, 2)
    data = {
        "clusters_processed": len(result.processed),
        "files_downloaded": sum(cluster.fetched for cluster in result.clusters),
        "files_changed": result.files_changed,
        "git_commit": result.commit,
        "duration_ms": duration_ms,
        "run": result.run_id,
        "outcome": result.outcome,
        "exit_code": result.exit_code,
    }
    if result.exit_code == Exit.OK:
        message = (
            "Dry run completed: nothing was changed"
            if result.dry_run
            else "Git synchronization completed successfully"
        )
        logs.info("sync_complete", message, took=duration_ms, **data)
    else:
        logs.error(
            "sync_complete",
            f"Git synchronization ended with exit code {result.exit_code}",
            result.cause,
            took=duration_ms,
            **data,
        )
