"""serve: metrics, health and the last report over HTTP, and each run's last word in the log."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from steps.core.operations import Operation
from steps.errors import FixConfiguration, SyncError, Terminated, translated
from steps.reporting.outcome import tell
from steps.reporting.server import answering
from steps.reporting.state_source import StateFile
from steps.runtime import logs, signals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steps.contracts import RunResult
    from steps.reporting.state_source import StateSource
    from steps.runtime.settings.delivery import HttpSettings
    from steps.workdir.volume import Volume


def serve(settings: HttpSettings, source: StateSource) -> None:
    """Answer until a signal comes. FixConfiguration if the port cannot be had."""
    if settings.port == 0:
        raise FixConfiguration(
            Operation.SERVE, "Failed to listen on METRICS_PORT", "it is 0, which means nowhere"
        )
    with answering(settings, source):
        logs.info(Operation.SERVE, f"Serving {source.where}", port=settings.port, state=source.where)
        try:
            _follow(source)
        except Terminated as stop:
            signals.caught()
            logs.info(Operation.SERVE, f"Stopped by {stop.error}")


@contextmanager
def answering_while_working(settings: HttpSettings, volume: Volume) -> Iterator[None]:
    """Answer for a run while it works; that nobody can ask is no reason not to work."""
    with ExitStack() as stack:
        if settings.port:
            try:
                stack.enter_context(answering(settings, StateFile(volume.state)))
            except FixConfiguration as problem:
                logs.warning(problem.operation, problem.message, error=problem.error)
        yield


def _follow(source: StateSource) -> None:
    """Tell each new run; an unreadable state once, until it changes its words."""
    told = trouble = ""
    while True:
        try:
            with translated():
                state = source.read()
        except SyncError as problem:
            if str(problem) != trouble:
                logs.failure(problem)
            trouble = str(problem)
        else:
            trouble = ""
            if state and state.last_run.run_id != told:
                told = state.last_run.run_id
                _retell(state.last_run)
        time.sleep(source.pause_seconds)


def _retell(run: RunResult) -> None:
    """What the run's own log has said of its commit and its end: its pod is gone, and its log with it."""
    if run.commit:
        logs.info(
            Operation.GIT_PUSH,
            f"Pushed {run.commit[:12]} to {run.branch}",
            git_commit=run.commit,
            branch=run.branch,
            attempts=run.push_attempts,
            run=run.run_id,
        )
    elif run.operation and run.error and run.operation != Operation.SYNC_COMPLETE:
        logs.error(run.operation, "The run failed", run.error, run=run.run_id)
    tell(run)
