"""Deliver a reported run: pages, webhook, Pushgateway, and the log line sync_complete."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steps.clients.http import Undelivered
from steps.contracts import ClusterState, RunResult, State
from steps.core.counters import Counters
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.core.source_age import staleness
from steps.errors import SyncError, Terminated, translated
from steps.reporting import webhook
from steps.reporting.html import html
from steps.reporting.markdown import markdown
from steps.reporting.outcome import log_sync_complete
from steps.reporting.run_page import clear_since, run_page
from steps.runtime import logs, signals
from steps.workdir.files import atomic_file, read_document, write_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from steps.contracts import ClearSecrets
    from steps.core.source_age import MaxAges
    from steps.runtime.settings.delivery import DeliverySettings, PushgatewaySettings, WebhookSettings
    from steps.runtime.settings.git import CommitPages


@dataclass(frozen=True)
class Reported:
    """The state before and after a run was added, its result as added, and the file of the state.

    ``pages`` is the name of the run's pages, without suffix.
    """

    old: State | None
    state: State
    result: RunResult
    file: Path
    pages: str = "report"


def deliver(
    settings: DeliverySettings,
    reported: Reported | None,
    result: RunResult,
    lock: Callable[[], AbstractContextManager[None]],
) -> None:
    """Write the pages, call the webhook, push the metrics, and log sync_complete last.

    ``reported`` is None for a dry run, which is only logged, and if the state could not be written: then
    there are no pages and no metrics. A delivery error never changes the result of the run: it is logged,
    and counted in the state. Only that update takes the ``lock``, because a receiver may answer slowly and
    the next run must not wait for it.
    """
    try:
        if reported is not None:
            result = reported.result
            _log_stale(settings.max_ages, result)
            _log_clear_secrets(reported.state.clear_secrets, result)
            with _errors_logged(Operation.REPORT, "Failed to write the report"):
                _write_pages(settings.pages, settings.max_ages, reported, result)
            errors = {
                "webhook": _call_webhook(settings.webhook, result),
                "pushgateway": _push_metrics(settings.pushgateway, reported, result),
            }
            if any(errors.values()):
                with _errors_logged(Operation.REPORT, "Failed to count the delivery errors"), lock():
                    _count(errors, reported.file)
        elif not result.dry_run:
            _call_webhook(settings.webhook, result)
    except Terminated as stop:
        signals.ignore()
        logs.warning(Operation.REPORT, "Stopped while delivering the report", error=stop.error)
    finally:
        log_sync_complete(result)


@contextmanager
def _errors_logged(operation: Operation, message: str) -> Iterator[None]:
    try:
        with translated():
            yield
    except SyncError as problem:
        logs.error(operation, message, problem.error)


def _log_stale(max_ages: MaxAges, result: RunResult) -> None:
    for cluster in result.processed:
        why = staleness(cluster.name, cluster.newest_object_at, cluster.listed_at, max_ages)
        if why:
            name = printable(cluster.name)
            logs.warning(Operation.REPORT, f"{name} is not being backed up: {why}", cluster=name)


def _log_clear_secrets(known: ClearSecrets | None, result: RunResult) -> None:
    """Log what detect cannot know: that Secrets are in files whose path does not name them."""
    if not any(cluster.secret_paths for cluster in result.clusters) and (since := clear_since(known, result)):
        logs.warning(
            Operation.REPORT,
            "Secrets are stored in clear text",
            error=f"{since}; set SECRETS to redact, exclude or keep",
        )


def _write_pages(pages: CommitPages, max_ages: MaxAges, reported: Reported, result: RunResult) -> None:
    url = pages.commit_page(result.commit) if result.commit else None
    page = run_page(result, url, max_ages=max_ages, clear_secrets=reported.state.clear_secrets)
    for suffix, text in ((".md", markdown(page)), (".html", html(page))):
        with atomic_file(reported.file.parent / f"{reported.pages}{suffix}") as out:
            out.write(text.encode(errors="replace"))


def _call_webhook(settings: WebhookSettings | None, result: RunResult) -> bool:
    """Call the webhook if one is configured for this run; return whether that failed."""
    if settings is None or not webhook.is_wanted(settings, result):
        return False
    try:
        webhook.send(settings, result)
    except Undelivered as problem:
        logs.error(Operation.WEBHOOK, "Failed to call the webhook", str(problem), setting="WEBHOOK_URL")
        return True
    return False


def _push_metrics(settings: PushgatewaySettings | None, reported: Reported, result: RunResult) -> bool:
    """Push the metrics if a Pushgateway is configured; return whether that failed."""
    if settings is None:
        return False
    state = reported.state
    if state.identity != result.identity:
        # A run with a mistyped setting failed. The state still describes another bucket or branch, and the
        # Pushgateway group may be named after the mistyped branch.
        state = state.model_copy(update={"last_success": None, "clusters": {}})
    try:
        _push(settings, reported.old, state)
    except Undelivered as problem:
        logs.error(Operation.METRICS_PUSH, "Failed to push the metrics", str(problem), url=settings.url)
        return True
    return False


def _push(settings: PushgatewaySettings, old: State | None, state: State) -> None:
    """Push the metrics. A new series is pushed as 0 first: ``increase()`` ignores a series' first value."""
    from steps.reporting import metrics

    known = old.clusters if old and old.identity == state.identity else {}
    new = state.clusters.keys() - known.keys()
    if old is None or new:
        zeros = {
            "counters": old.counters if old else Counters(),
            "clusters": known | {name: ClusterState() for name in new},
            "last_success": old.last_success if old else None,
        }
        metrics.push(settings, state.model_copy(update=zeros))
        pause = settings.scrape_interval.total_seconds()
        logs.info(
            Operation.METRICS_PUSH,
            "Pushed new series as 0; pushing their values after SCRAPE_INTERVAL",
            seconds=pause,
        )
        time.sleep(pause)
    metrics.push(settings, state)


def _count(errors: Mapping[str, bool], file: Path) -> None:
    """Add delivery errors to the counters in ``file``, into which another run may have been reported."""
    state = read_document(file, State)
    counters = state.counters.with_delivery_errors(**errors)
    write_document(file, state.model_copy(update={"counters": counters}))
