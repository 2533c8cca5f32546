"""serve: metrics, health and the last report over HTTP; logs the result of each run."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from steps.core.operations import Operation
from steps.errors import FixConfiguration, SyncError, Terminated
from steps.reporting.outcome import log_sync_complete
from steps.reporting.state_source import LastReading, StateFile
from steps.runtime import logs, signals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from steps.contracts import RunResult
    from steps.reporting.state_source import StateSource
    from steps.runtime.settings.delivery import HttpSettings
    from steps.workdir.volume import Volume

_LOOPBACK = "127.0.0.1"


def serve(settings: HttpSettings, source: StateSource) -> None:
    """Answer requests until a signal arrives. Raises FixConfiguration if the port is unavailable."""
    if settings.port == 0:
        raise FixConfiguration(
            Operation.SERVE,
            "Failed to listen on METRICS_PORT",
            "METRICS_PORT=0 disables the server; set a port",
            setting="METRICS_PORT",
        )
    states = LastReading(source)
    with _http_server(settings, states, settings.bind):
        logs.info(Operation.SERVE, f"Serving {source.where}", port=settings.port, state=source.where)
        try:
            _log_new_runs(states)
        except Terminated as stop:
            signals.ignore()
            logs.info(Operation.SERVE, f"Stopped by {stop.error}")


@contextmanager
def serve_during_run(settings: HttpSettings, volume: Volume) -> Iterator[None]:
    """Answer requests while a run works. An unavailable port is logged and does not stop the run."""
    with ExitStack() as stack:
        if settings.port:
            try:
                address = settings.bind or _LOOPBACK
                states = LastReading(StateFile(volume.state))
                stack.enter_context(_http_server(settings, states, address))
            except FixConfiguration as problem:
                logs.warning(problem.operation, problem.message, error=problem.error, **problem.data)
        yield


def _http_server(
    settings: HttpSettings, states: LastReading, address: str | None
) -> AbstractContextManager[None]:
    # Steps of a pipeline have no server, and asyncio is a twentieth of the modules that they would load.
    from steps.reporting.server import http_server  # noqa: PLC0415

    return http_server(settings, states, address=address)


def _log_new_runs(states: LastReading) -> None:
    """Log each new run, and each problem with the state when it begins or changes."""
    logged_runs: set[str] = set()
    logged_problem = ""
    while True:
        problem: SyncError | None
        try:
            reading = states.read()
        except SyncError as raised:
            problem = raised
        else:
            problem = reading.problem
            runs = reading.state.runs if reading.state else ()
            for run in sorted(runs, key=lambda run: run.started_at):
                if run.run_id not in logged_runs:
                    _log_run(run)
            logged_runs = {run.run_id for run in runs}
        text = str(problem or "")
        if problem and text != logged_problem:
            logs.failure(problem)
        logged_problem = text
        time.sleep(states.pause_seconds)


def _log_run(run: RunResult) -> None:
    """Repeat the run's log lines about its commit and its result, because the log of its pod is gone."""
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
    log_sync_complete(run)
