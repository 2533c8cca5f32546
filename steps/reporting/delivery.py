"""Delivering a reported run: pages, webhook, metrics, and sync_complete last."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steps.clients.http import Undelivered
from steps.contracts import ClusterState, RunResult, State
from steps.core.counters import Counters
from steps.core.operations import Operation
from steps.errors import SyncError, Terminated, translated
from steps.reporting import webhook
from steps.reporting.html import html
from steps.reporting.markdown import markdown
from steps.reporting.outcome import tell
from steps.reporting.run_page import run_page
from steps.runtime import logs, signals
from steps.workdir.files import atomic_file, read_document, write_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from steps.runtime.settings.delivery import DeliverySettings, PushgatewaySettings
    from steps.runtime.settings.git import CommitPages


@dataclass(frozen=True)
class Reported:
    """The state before and after a run was added, and where that now stands."""

    old: State | None
    state: State
    file: Path


def inform(
    settings: DeliverySettings,
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
            with _logged(Operation.REPORT, "Failed to write the report"):
                _write_pages(settings.pages, reported.file.parent, result)
            undelivered = _deliver(settings, reported, result)
            if undelivered:
                with _logged(Operation.REPORT, "Failed to count what was not delivered"), lock():
                    state = read_document(reported.file, State)  # another run's, by now, perhaps
                    counters = state.counters.with_delivery_errors(**undelivered)
                    write_document(reported.file, state.model_copy(update={"counters": counters}))
    except Terminated as stop:
        signals.caught()
        logs.warning(Operation.REPORT, "Stopped while telling of the run", error=stop.error)
    finally:
        tell(result)


@contextmanager
def _logged(operation: Operation, message: str) -> Iterator[None]:
    try:
        with translated():
            yield
    except SyncError as problem:
        logs.error(operation, message, problem.error)


def _write_pages(pages: CommitPages, directory: Path, result: RunResult) -> None:
    page = run_page(result, pages.commit_page(result.commit) if result.commit else None)
    for name, text in (("report.md", markdown(page)), ("report.html", html(page))):
        with atomic_file(directory / name) as out:
            out.write(text.encode(errors="replace"))


def _deliver(settings: DeliverySettings, reported: Reported, result: RunResult) -> dict[str, int]:
    """Call the webhook and push the metrics; return what failed of that."""
    failed = {}
    if settings.webhook and webhook.wanted(settings.webhook, result):
        try:
            webhook.tell(settings.webhook, result)
        except Undelivered as problem:
            logs.error(Operation.WEBHOOK, "Failed to call the webhook", str(problem))
            failed["webhook"] = 1
    if settings.pushgateway:
        state = reported.state
        if state.identity != result.identity:
            # After a mistyped setting it is still another bucket's or branch's, and the group may be not.
            state = state.model_copy(update={"last_success": None, "clusters": {}})
        try:
            _push(settings.pushgateway, reported.old, state)
        except Undelivered as problem:
            logs.error(Operation.METRICS_PUSH, "Failed to push the metrics", str(problem))
            failed["pushgateway"] = 1
    return failed


def _push(settings: PushgatewaySettings, old: State | None, state: State) -> None:
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
        logs.info(
            Operation.METRICS_PUSH,
            "New series begin at zero, and stand so for SCRAPE_INTERVAL",
            seconds=pause,
        )
        time.sleep(pause)
    metrics.push(settings, state)
