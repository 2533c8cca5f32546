"""run: all steps in one process, with the retries that Argo would make."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
    wait_exponential_jitter,
)

from steps.core.exit_codes import Exit
from steps.core.operations import Operation
from steps.detect import detect
from steps.discover import discover
from steps.download import Progress, download
from steps.errors import SyncError, Terminated, translated
from steps.publish import publish
from steps.publishing.push import PushCount
from steps.report import previous_state, report
from steps.reporting.delivery import inform
from steps.reporting.outcome import failed
from steps.runtime import logs, signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from steps.contracts import RunResult, RunStart
    from steps.runtime.settings.reading import Settings
    from steps.runtime.settings.sync import RetrySettings
    from steps.workdir.volume import Volume

P = ParamSpec("P")
T = TypeVar("T")

_LONGEST_PAUSE_SECONDS = 300


def run(settings: Settings, volume: Volume, start: RunStart, progress: Progress) -> RunResult:
    """Sync once and report it, whatever happens; WORK_DIR is ours alone meanwhile."""
    with volume.locked():
        previous_state(volume.state)  # damaged? Then say so before any work
        pushes = PushCount()
        try:
            result = _sync(settings, volume, start, progress, pushes)
        except (SyncError, Terminated) as problem:
            if isinstance(problem, Terminated):
                signals.caught()
            else:
                logs.failure(problem)
            result = failed(problem, start, pushes.attempts)
        reported = report(volume.state, result)
    inform(settings.delivery, reported, result, volume.locked)
    return result


def _sync(
    settings: Settings, volume: Volume, start: RunStart, progress: Progress, pushes: PushCount
) -> RunResult:
    again = _retrying(settings.retry)
    found = again(_step(discover), settings, volume, start)
    again(_step(download), settings, volume, found, found.clusters, progress)
    verdict = again(_step(detect), volume, found)
    return again(_step(publish), settings, volume, found, verdict, pushes)


def _step(step: Callable[P, T]) -> Callable[P, T]:
    """The step, with no errors but ours: a volume in trouble may be itself again at the next try."""

    @wraps(step)
    def ours(*arguments: P.args, **options: P.kwargs) -> T:
        with translated():
            return step(*arguments, **options)

    return ours


def _retrying(settings: RetrySettings) -> Retrying:
    """Try a step RETRY_ATTEMPTS times while what is wrong may pass; its last outcome counts."""
    return Retrying(
        retry=retry_if_exception(_may_pass) | retry_if_result(lambda exit_: exit_ is Exit.TRANSIENT),
        stop=stop_after_attempt(settings.attempts),
        wait=wait_exponential_jitter(
            multiplier=settings.delay.total_seconds(),
            max=_LONGEST_PAUSE_SECONDS,
            jitter=settings.delay.total_seconds(),
        ),
        before_sleep=_announce,
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )


def _may_pass(problem: BaseException) -> bool:
    return isinstance(problem, SyncError) and problem.transient


def _announce(state: RetryCallState) -> None:
    step = state.fn.__name__ if state.fn else ""
    problem = state.outcome.exception() if state.outcome else None
    logs.warning(
        problem.operation if isinstance(problem, SyncError) else Operation.DOWNLOAD,
        f"{step} is tried again",
        error=str(problem) if problem else None,
        attempt=state.attempt_number + 1,
        pause_seconds=round(state.upcoming_sleep, 1),
    )
