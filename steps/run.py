"""run: all steps in one process, with the retries that Argo would make."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from steps.core.exit_codes import Exit
from steps.core.operations import Operation
from steps.detect import detect
from steps.discover import discover
from steps.download import Progress, download
from steps.errors import SyncError, Terminated, translated
from steps.publish import publish
from steps.publishing.push import PushCount
from steps.report import previous_state, report
from steps.reporting.delivery import deliver
from steps.reporting.outcome import failed_result
from steps.runtime import logs, signals
from steps.runtime.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from steps.contracts import RunResult, RunStart
    from steps.runtime.settings.reading import Settings
    from steps.workdir.volume import Volume

P = ParamSpec("P")
T = TypeVar("T")


def run(settings: Settings, volume: Volume, start: RunStart, progress: Progress) -> RunResult:
    """Sync once, and report the result in every case. WORK_DIR is locked until that is done."""
    with volume.locked():
        previous_state(volume.state)  # a damaged state is logged before any work
        pushes = PushCount()
        try:
            result = _sync(settings, volume, start, progress, pushes)
        except (SyncError, Terminated) as problem:
            if isinstance(problem, Terminated):
                signals.caught()
            else:
                logs.failure(problem)
            result = failed_result(problem, start, pushes.attempts)
        reported = report(volume.state, result)
    deliver(settings.delivery, reported, result, volume.locked)
    return result


def _sync(
    settings: Settings, volume: Volume, start: RunStart, progress: Progress, pushes: PushCount
) -> RunResult:
    policy = RetryPolicy(settings.retry.attempts, settings.retry.delay.total_seconds())
    found = _retrying(policy, discover)(settings, volume, start)
    _retrying(policy, download)(settings, volume, found, found.clusters, progress)
    verdict = _retrying(policy, detect)(volume, found)
    return _retrying(policy, publish)(settings, volume, found, verdict, pushes)


def _retrying(policy: RetryPolicy, step: Callable[P, T]) -> Callable[P, T]:
    """Return the step with retries: it runs again while it fails for a transient reason.

    The outcome of the last attempt counts. Errors of the volume are translated in each attempt,
    because some of them are transient too.
    """

    def attempts(*arguments: P.args, **options: P.kwargs) -> T:
        for number, pause in enumerate(policy.pauses(), 1):
            problem = None
            try:
                with translated():
                    outcome = step(*arguments, **options)
            except SyncError as raised:
                if pause is None or not raised.transient:
                    raise
                problem = raised
            else:
                if pause is None or outcome is not Exit.TRANSIENT:
                    return outcome
            _log_retry(step.__name__, problem, number + 1, policy.attempts, pause)
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    return attempts


def _log_retry(step: str, problem: SyncError | None, number: int, attempts: int, pause: float) -> None:
    logs.warning(
        problem.operation if problem else Operation.DOWNLOAD,
        f"Retrying {step} (attempt {number} of {attempts}) in {pause:.1f} s",
        error=str(problem) if problem else None,
        attempt=number,
        pause_seconds=round(pause, 1),
    )
