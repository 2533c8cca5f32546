"""run: all steps in one process, with the retries that Argo would make."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

from steps.core.exit_codes import Exit
from steps.core.operations import Operation
from steps.detect import detect
from steps.discover import discover
from steps.download import download
from steps.errors import SyncError, Terminated, translated
from steps.publish import publish
from steps.publishing.push import PushCount
from steps.report import report
from steps.reporting.delivery import deliver
from steps.reporting.outcome import failed_result, unreported_result
from steps.runtime import logs, signals
from steps.runtime.retry import RetryPolicy
from steps.workdir.state_file import read_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from steps.contracts import RunResult, RunStart
    from steps.planning.figures import Progress
    from steps.reporting.delivery import Reported
    from steps.runtime.retry import Retry
    from steps.runtime.settings.reading import Settings
    from steps.workdir.volume import Volume

P = ParamSpec("P")
T = TypeVar("T")


def run(settings: Settings, volume: Volume, start: RunStart, progress: Progress) -> RunResult:
    """Sync once, and end with sync_complete in every case. WORK_DIR is locked until the state is written."""
    result: RunResult | None = None
    reported: Reported | None = None
    try:
        with translated():
            volume.set_up()
            with volume.locked():
                read_state(volume.state)  # fails before any work if the state is damaged
                result = _result(settings, volume, start, progress)
                reported = report(volume.state, result)
    except SyncError as problem:
        logs.failure(problem)
        result = unreported_result(problem, result or failed_result(problem, start))
    deliver(settings.delivery, reported, result, volume.locked)
    return result


def _result(settings: Settings, volume: Volume, start: RunStart, progress: Progress) -> RunResult:
    """Sync once, and return the result also if that fails."""
    pushes = PushCount()
    try:
        return _sync(settings, volume, start, progress, pushes)
    except (SyncError, Terminated) as problem:
        if isinstance(problem, Terminated):
            signals.ignore()
        else:
            logs.failure(problem)
        return failed_result(problem, start, pushes.attempts)


def _sync(
    settings: Settings, volume: Volume, start: RunStart, progress: Progress, pushes: PushCount
) -> RunResult:
    policy = RetryPolicy(settings.retry.attempts, settings.retry.delay.total_seconds())
    found = _retrying(policy, discover)(settings, volume, start)
    _retrying(policy, download)(settings, volume, found, found.clusters, progress)
    verdict = _retrying(policy, detect)(volume, found)
    return _retrying(policy, publish)(settings, volume, found, verdict, pushes)


def _retrying(policy: RetryPolicy, step: Callable[P, T]) -> Callable[P, T]:
    """Return the step with retries while it fails for a transient reason."""

    def with_retries(*arguments: P.args, **options: P.kwargs) -> T:
        def attempt() -> T:
            with translated():  # some errors of the volume are transient too
                return step(*arguments, **options)

        return policy.call(
            attempt,
            is_transient=lambda outcome: outcome is Exit.TRANSIENT,
            on_retry=lambda retry: _log_retry(step.__name__, retry),
        )

    return with_retries


def _log_retry(step: str, retry: Retry) -> None:
    logs.warning(
        retry.problem.operation if retry.problem else Operation.DOWNLOAD,
        f"Retrying {step} (attempt {retry.number} of {retry.attempts}) in {retry.pause:.1f} s",
        error=str(retry.problem) if retry.problem else None,
        attempt=retry.number,
        pause_seconds=round(retry.pause, 1),
    )
