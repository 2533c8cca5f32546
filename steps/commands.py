"""What each command does: settings in, one step, exit code out."""

from __future__ import annotations

import re
import secrets
import sys
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from steps.contracts import Run, RunResult, RunStart, Verdict
from steps.core.exit_codes import Exit
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.detect import detect
from steps.discover import discover
from steps.download import NoProgress, download
from steps.errors import FixCommandLine, FixConfiguration, SyncError, Terminated, translated
from steps.publish import publish
from steps.publishing.push import PushCount
from steps.report import report
from steps.reporting.delivery import deliver
from steps.reporting.health import health
from steps.reporting.outcome import explained, failed_result, missing_result, unreported_result
from steps.reporting.result import cause
from steps.reporting.serve import serve, serve_during_run
from steps.reporting.state_source import state_source
from steps.run import run
from steps.runtime import logs, signals
from steps.runtime.retry import REQUESTS
from steps.runtime.settings.reading import Needs, misspelt, read
from steps.workdir.files import read_document, write_document
from steps.workdir.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from steps.kubernetes.policy import Policy
    from steps.planning.figures import Progress
    from steps.reporting.delivery import Reported
    from steps.runtime.settings.reading import Settings

D = TypeVar("D", Run, RunResult, Verdict)

# The last error of a run that is not complete. Argo shows it beside the failed workflow.
_INCOMPLETE = {
    Exit.PARTIAL: "Published in part; a new run (Resubmit, not Retry) publishes the rest",
    Exit.REFUSED: "A guard refused a part of the changes; the rest is published",
    Exit.TRANSIENT: "Failed to publish anything: every cluster failed; a later run may succeed",
    Exit.CONFIGURATION: "Failed to publish anything: every cluster failed; a person must act",
}

# The options that narrow a run.
_FILTERS = ("clusters", "namespaces", "exclude")

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Commands:
    """The commands with the settings of one environment; ``overrides`` take precedence over it."""

    def __init__(self, environ: Mapping[str, str], **overrides: object) -> None:
        self._environ = environ
        self._overrides = overrides

    def run(self) -> Exit:
        """Run all steps in this process."""
        configured = self._configure(Needs.MINIO, Needs.GIT)
        volume = Volume(configured.sync.work_dir)
        with _progress(configured) as progress, serve_during_run(configured.http, volume):
            result = run(configured, volume, self._start(configured, new_run_id()), progress)
        return Exit(result.exit_code)

    def discover(self, run_id: str | None, cache: Path | None) -> Exit:
        """Find the clusters and write their baselines.

        ``cache`` is the cache directory of an earlier run, for a volume that lasts only one run.
        """
        configured, volume = self._set_up(Needs.MINIO, Needs.GIT)
        if cache is not None and configured.git.download_only:
            raise FixConfiguration(
                Operation.CONFIGURATION,
                "Failed to start a download-only run",
                "its files would be lost: with --cache, a volume exists for one run; set GIT_REPOSITORY",
                setting="GIT_REPOSITORY",
            )
        start = self._start(configured, _checked(run_id) if run_id else new_run_id())
        with volume.locked(), _failure_recorded(volume, start):
            if cache is not None:
                volume.adopt_caches(cache)
            discover(configured, volume, start)
        return Exit.OK

    def download(self, run_id: str | None, shards: tuple[str, ...]) -> Exit:
        """Download the clusters of these shards (indices or labels), or of all shards if there are none."""
        configured, volume = self._set_up(Needs.MINIO)
        found = _run(volume, run_id)
        _require_same("MINIO_ENDPOINT", configured.s3.endpoint, found.endpoint)
        _require_same("MINIO_BUCKET", configured.s3.bucket, found.bucket)
        names = {shard.index: {str(shard.index), shard.label} for shard in found.shards}
        if unknown := set(shards).difference(*names.values()):
            given = ", ".join(sorted(unknown))
            problem = f"--shard {given}: the shards of this run are 0 to {len(found.shards) - 1}"
            raise FixCommandLine(Operation.DOWNLOAD, "Failed to find the shard", problem)
        clusters = [
            name
            for shard in found.shards
            if not shards or not names[shard.index].isdisjoint(shards)
            for name in shard.clusters
        ]
        return download(configured, volume, found, clusters, NoProgress())

    def detect(self, run_id: str | None) -> Exit:
        """Plan the changes."""
        _, volume = self._set_up()
        found = _run(volume, run_id)
        with _failure_recorded(volume, found):
            detect(volume, found)
        return Exit.OK

    def publish(self, run_id: str | None) -> Exit:
        """Commit the plan and push the commit."""
        configured, volume = self._set_up(Needs.GIT)
        found = _run(volume, run_id)
        _require_same("GIT_REPOSITORY", configured.git.repository, found.repository)
        if not found.download_only:
            _require_same("GIT_BRANCH", configured.git.branch, found.branch)
        if configured.sync.dry_run:
            _require_same("DRY_RUN", "true", str(found.dry_run).lower())
        pushes = PushCount()
        with volume.locked(), _failure_recorded(volume, found, pushes):
            verdict = _read_document_of(volume.files(found.run_id).verdict, Verdict, found.run_id)
            result = publish(configured, volume, found, verdict, pushes)
        exit_ = Exit(result.exit_code)
        if exit_ in _INCOMPLETE:
            logs.error(
                Operation.PUBLISH, _INCOMPLETE[exit_], cause(result), run=found.run_id, commit=result.commit
            )
        return exit_

    def report(self, run_id: str | None) -> Exit:
        """Update the state and deliver the result. A run without a result counts as failed."""
        configured = self._configure()
        volume = Volume(configured.sync.work_dir)
        unusable: SyncError | None = None
        try:
            volume.set_up()
        except SyncError as problem:  # a full or read-only volume may still have the result
            unusable = problem
        try:
            with translated():
                result = self._result(configured, volume, run_id)
        except SyncError as problem:
            raise unusable or problem from None

        def reported() -> Reported | None:
            if unusable is not None:
                raise unusable
            with volume.locked():
                return report(volume.state, result)

        return _finish(configured, result, reported, volume.locked)

    def _result(self, configured: Settings, volume: Volume, run_id: str | None) -> RunResult:
        """Read the result of a run. A run without one counts as failed."""
        name = _checked(run_id) if run_id else volume.newest_run()
        files = volume.files(name)
        if files.result.exists():
            return _read_document_of(files.result, RunResult, name)
        document = files.run_document
        start = read_document(document, Run) if document.exists() else self._start(configured, name)
        return missing_result(start)

    def report_artifacts(
        self, run_id: str, artifacts: Path, output: Path, started_at: datetime, *, filtered: bool
    ) -> Exit:
        """Do the same without a volume: read Argo's input artifacts, write its output artifacts.

        ``started_at`` and ``filtered`` describe a run that wrote no result.

        If an optional input artifact does not exist, Argo creates an empty directory at its path.
        """
        configured = self._configure()
        result_file, failures_file = artifacts / "result.json", artifacts / "failures.json"
        failures = failures_file.read_text() if failures_file.is_file() else ""
        if result_file.is_file():
            result = explained(read_document(result_file, RunResult), failures)
        else:
            start = self._start(configured, _checked(run_id)).model_copy(
                update={"started_at": started_at, "filtered_by_options": filtered}
            )
            result = missing_result(start, failures)
        state = Volume(artifacts).state
        return _finish(configured, result, lambda: report(state, result, output=output), nullcontext)

    def policy(self) -> Policy:
        """Return what decides about the content of files."""
        return self._configure().content.policy

    def health(self) -> Exit:
        """Check and log whether the last success is recent enough."""
        configured = self._configure(Needs.STATE)
        source = state_source(configured.state, configured.sync.work_dir)
        state = REQUESTS.call(source.read)
        verdict = health(configured.http, state, source.where, datetime.now(UTC))
        if verdict.healthy:
            logs.info(Operation.HEALTH, verdict.reason)
            return Exit.OK
        logs.error(Operation.HEALTH, "The last success is not recent enough", verdict.reason)
        return Exit.UNHEALTHY

    def _start(self, configured: Settings, run_id: str) -> RunStart:
        # Filters in the environment define the installation; filters in options narrow one run.
        filters = {n: str(self._overrides[n]) for n in _FILTERS if n in self._overrides}
        return RunStart(
            run_id=run_id,
            started_at=datetime.now(UTC),
            identity=configured.identity,
            mode=configured.sync.mode,
            dry_run=configured.sync.dry_run,
            filtered_by_options=bool(filters),
            filter_options=filters,
            argo=configured.sync.argo,
        )

    def serve(self) -> Exit:
        """Serve the state that other processes write, until a signal arrives."""
        configured = self._configure(Needs.STATE)
        serve(configured.http, state_source(configured.state, configured.sync.work_dir))
        return Exit.OK

    def _set_up(self, *needs: Needs) -> tuple[Settings, Volume]:
        configured = self._configure(*needs)
        volume = Volume(configured.sync.work_dir)
        volume.set_up()
        return configured, volume

    def _configure(self, *needs: Needs) -> Settings:
        try:
            configured = read(self._environ, *needs, **self._overrides)
        except FixConfiguration:
            self._warn_about_misspelt_settings()  # a required one may be among them
            raise
        logs.set_up(configured.log.level, configured.log.format, configured.secrets)
        self._warn_about_misspelt_settings()
        return configured

    def _warn_about_misspelt_settings(self) -> None:
        for name, meant in misspelt(self._environ):
            message = f"unknown setting {name}; did you mean {meant}?"
            logs.warning(Operation.CONFIGURATION, message, variable=name)


def _progress(configured: Settings) -> AbstractContextManager[Progress]:
    if not (sys.stdout.isatty() and logs.is_text(configured.log.format)):
        return nullcontext(NoProgress())
    from steps.runtime.progress import bar  # slow to import, and most runs have no terminal

    return bar()


def new_run_id() -> str:
    """Return a new id. Ids sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _require_same(name: str, here: str | None, found: str | None) -> None:
    """Raise FixConfiguration if a setting of this step differs from that of discover."""
    if here != found:
        raise FixConfiguration(
            Operation.CONFIGURATION,
            "The settings differ from those of the run",
            f"{name} is {here!r}, but {found!r} in the run: use the run's settings, or another --run-id",
            setting=name,
        )


def _run(volume: Volume, run_id: str | None) -> Run:
    """Read the document that discover wrote; without an id, that of the newest run."""
    name = _checked(run_id) if run_id else volume.newest_run()
    return _read_document_of(volume.files(name).run_document, Run, name)


def _read_document_of(path: Path, kind: type[D], run_id: str) -> D:
    """Read what an earlier step of this run wrote."""
    if not path.exists():
        cause = f"{path} does not exist"
        raise FixConfiguration(Operation.SETUP_WORKDIR, "Failed to find the run", cause, path=str(path))
    document = read_document(path, kind)
    if document.run_id != run_id:
        raise FixConfiguration(
            Operation.SETUP_WORKDIR,
            "Failed to read the working directory",
            f"{path} belongs to another run: restore or remove it",
            path=str(path),
            run=printable(document.run_id),
        )
    return document


def _checked(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise FixCommandLine(
            Operation.DISCOVER,
            "Invalid run id",
            f"{printable(run_id)!r}: use up to 128 letters, digits, dots, dashes and underscores",
            run=printable(run_id),
        )
    return run_id


def _finish(
    configured: Settings,
    result: RunResult,
    reported: Callable[[], Reported | None],
    lock: Callable[[], AbstractContextManager[None]],
) -> Exit:
    """Report and deliver a result. If that fails, the run has failed, and still ends with sync_complete."""
    try:
        with translated():
            done = reported()
    except SyncError as problem:
        logs.failure(problem)
        deliver(configured.delivery, None, unreported_result(problem, result), lock)
        return problem.exit
    deliver(configured.delivery, done, result, lock)
    return Exit.OK


@contextmanager
def _failure_recorded(volume: Volume, start: RunStart, pushes: PushCount | None = None) -> Iterator[None]:
    """Write a failed result for report if the step fails or is stopped."""
    try:
        with translated():
            yield
    except (SyncError, Terminated) as problem:
        if isinstance(problem, Terminated):
            signals.ignore()
        attempts = pushes.attempts if pushes else 0
        write_document(volume.files(start.run_id).result, failed_result(problem, start, attempts))
        raise
