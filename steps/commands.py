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
from steps.download import Progress, Silent, download
from steps.errors import FixCommandLine, FixConfiguration, SyncError, Terminated, translated
from steps.publish import publish
from steps.publishing.push import PushCount
from steps.report import report
from steps.reporting.delivery import deliver
from steps.reporting.health import health
from steps.reporting.outcome import failed_result, missing_result
from steps.reporting.result import cause
from steps.reporting.serve import serve, serve_during_run
from steps.reporting.state_source import state_source
from steps.run import run
from steps.runtime import logs, signals
from steps.runtime.settings.reading import Needs, misspelt, read
from steps.workdir.files import read_document, write_document
from steps.workdir.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from steps.runtime.settings.reading import Settings

D = TypeVar("D", Run, RunResult, Verdict)

# The last error of a run that is not complete. Argo shows it beside the failed workflow.
_UNFINISHED = {
    Exit.PARTIAL: "Published in part: a new run (Resubmit, not Retry) completes it",
    Exit.REFUSED: "A guard refused a part; the rest is published",
    Exit.TRANSIENT: "Failed to publish anything: every cluster failed, and may succeed later",
    Exit.CONFIGURATION: "Failed to publish anything: every cluster failed, and somebody must act",
}

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Commands:
    """The commands over one environment; ``overrides`` are options that stand above it."""

    def __init__(self, environ: Mapping[str, str], **overrides: object) -> None:
        self._environ = environ
        self._overrides = overrides

    def run(self) -> Exit:
        """All steps in one process."""
        configured, volume = self._set_up(Needs.MINIO, Needs.GIT)
        with _shown(configured) as progress, serve_during_run(configured.http, volume):
            result = run(configured, volume, self._start(configured, new_run_id()), progress)
        return Exit(result.exit_code)

    def discover(self, run_id: str | None, cache: Path | None) -> Exit:
        """Find clusters, write baselines. ``cache``: what an earlier run left, for an empty volume."""
        configured, volume = self._set_up(Needs.MINIO, Needs.GIT)
        if cache is not None and configured.git.download_only:
            raise FixConfiguration(
                Operation.CONFIGURATION,
                "Nothing of this run would be kept",
                "GIT_REPOSITORY is empty, which is download-only mode, and this volume goes with the run",
            )
        start = self._start(configured, _checked(run_id) if run_id else new_run_id())
        with volume.locked(), _failure_recorded(volume, start):
            if cache is not None:
                volume.adopt_caches(cache)
            discover(configured, volume, start)
        return Exit.OK

    def download(self, run_id: str | None, shards: tuple[int, ...]) -> Exit:
        """Fetch the clusters of some shards, or of all."""
        configured, volume = self._set_up(Needs.MINIO)
        found = _run(volume, run_id)
        _same("MINIO_ENDPOINT", configured.s3.endpoint, found.endpoint)
        _same("MINIO_BUCKET", configured.s3.bucket, found.bucket)
        if unknown := set(shards) - {shard.index for shard in found.shards}:
            asked = ", ".join(map(str, sorted(unknown)))
            last = len(found.shards) - 1
            raise FixCommandLine(Operation.DOWNLOAD, "No such shard", f"{asked}: they are 0 to {last}")
        clusters = [
            name for shard in found.shards if not shards or shard.index in shards for name in shard.clusters
        ]
        return download(configured, volume, found, clusters, Silent())

    def detect(self, run_id: str | None) -> Exit:
        """Plan."""
        _, volume = self._set_up()
        found = _run(volume, run_id)
        with _failure_recorded(volume, found):
            detect(volume, found)
        return Exit.OK

    def publish(self, run_id: str | None) -> Exit:
        """Commit and push."""
        configured, volume = self._set_up(Needs.GIT)
        found = _run(volume, run_id)
        _same("GIT_REPOSITORY", configured.git.repository, found.repository)
        if not found.download_only:
            _same("GIT_BRANCH", configured.git.branch, found.branch)
        if configured.sync.dry_run:
            _same("DRY_RUN", "true", str(found.dry_run).lower())
        pushes = PushCount()
        with volume.locked(), _failure_recorded(volume, found, pushes):
            verdict = _left_by_an_earlier_step(volume.files(found.run_id).verdict, Verdict, found.run_id)
            result = publish(configured, volume, found, verdict, pushes)
        exit_ = Exit(result.exit_code)
        if exit_ in _UNFINISHED:
            logs.error(
                Operation.PUBLISH, _UNFINISHED[exit_], cause(result), run=found.run_id, commit=result.commit
            )
        return exit_

    def report(self, run_id: str | None) -> Exit:
        """Update the state; a run without a result has failed."""
        configured, volume = self._set_up()
        name = _checked(run_id) if run_id else volume.newest_run()
        files = volume.files(name)
        if files.result.exists():
            result = _left_by_an_earlier_step(files.result, RunResult, name)
        else:
            document = files.run_document
            known = read_document(document, Run) if document.exists() else self._start(configured, name)
            result = missing_result(known)
        with volume.locked():
            reported = report(volume.state, result)
        deliver(configured.delivery, reported, result, volume.locked)
        return Exit.OK

    def report_artifacts(self, run_id: str, artifacts: Path, output: Path, started_at: datetime) -> Exit:
        """The same without a volume: what Argo brought goes in, what it is to keep comes out.

        Where Argo had nothing to bring, an empty directory stands in the file's place.
        """
        configured = self._configure()
        result_file, failures = artifacts / "result.json", artifacts / "failures.json"
        if result_file.is_file():
            result = read_document(result_file, RunResult)
        else:
            start = self._start(configured, _checked(run_id)).model_copy(update={"started_at": started_at})
            result = missing_result(start, failures.read_text() if failures.is_file() else "")
        state = Volume(artifacts).state
        deliver(configured.delivery, report(state, result, output=output), result, nullcontext)
        return Exit.OK

    def health(self) -> Exit:
        """Say whether the last success is recent enough."""
        configured = self._configure(Needs.STATE)
        source = state_source(configured.state, configured.sync.work_dir)
        verdict = health(configured.http, source.read(), source.where, datetime.now(UTC))
        if verdict.healthy:
            logs.info(Operation.HEALTH, verdict.reason)
            return Exit.OK
        logs.error(Operation.HEALTH, "The last success is not recent enough", verdict.reason)
        return Exit.UNHEALTHY

    def _start(self, configured: Settings, run_id: str) -> RunStart:
        return RunStart(
            run_id=run_id,
            started_at=datetime.now(UTC),
            identity=configured.identity,
            mode=configured.sync.mode,
            dry_run=configured.sync.dry_run,
            # Filters in the environment are what this installation is for, options are one run's.
            filtered_by_options=not self._overrides.keys().isdisjoint({"clusters", "namespaces", "exclude"}),
        )

    def serve(self) -> Exit:
        """Answer for the runs of others until stopped."""
        configured = self._configure(Needs.STATE)
        serve(configured.http, state_source(configured.state, configured.sync.work_dir))
        return Exit.OK

    def _set_up(self, *needs: Needs) -> tuple[Settings, Volume]:
        configured = self._configure(*needs)
        volume = Volume(configured.sync.work_dir)
        volume.set_up()
        return configured, volume

    def _configure(self, *needs: Needs) -> Settings:
        configured = read(self._environ, *needs, **self._overrides)
        logs.set_up(configured.log.level, configured.log.format, configured.secrets)
        for name, meant in misspelt(self._environ):
            message = f"unknown setting {name}; did you mean {meant}?"
            logs.warning(Operation.CONFIGURATION, message, variable=name)
        return configured


def _shown(configured: Settings) -> AbstractContextManager[Progress]:
    if not (sys.stdout.isatty() and logs.is_for_people(configured.log.format)):
        return nullcontext(Silent())
    from steps.runtime.progress import bar  # which takes its time to start, and mostly nobody watches

    return bar()


def new_run_id() -> str:
    """An id that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _same(name: str, here: str | None, found: str | None) -> None:
    """Refuse a step whose setting is not the one that discover found: one run, one configuration."""
    if here != found:
        raise FixConfiguration(
            Operation.CONFIGURATION,
            "The settings are not those of the run",
            f"{name} is {here!r}, the run's is {found!r}",
        )


def _run(volume: Volume, run_id: str | None) -> Run:
    name = _checked(run_id) if run_id else volume.newest_run()
    return _left_by_an_earlier_step(volume.files(name).run_document, Run, name)


def _left_by_an_earlier_step(path: Path, kind: type[D], run_id: str) -> D:
    if not path.exists():
        raise FixConfiguration(Operation.SETUP_WORKDIR, "Failed to find the run", f"{path} does not exist")
    document = read_document(path, kind)
    if document.run_id != run_id:
        said = f"{path} is of run {printable(document.run_id)}: restore or remove it"
        raise FixConfiguration(Operation.SETUP_WORKDIR, "Failed to read the working directory", said)
    return document


def _checked(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise FixCommandLine(
            Operation.DISCOVER, "No usable run id", "use letters, digits, dots, dashes, underscores"
        )
    return run_id


@contextmanager
def _failure_recorded(volume: Volume, start: RunStart, pushes: PushCount | None = None) -> Iterator[None]:
    """Leave a result for report also where the step fails."""
    try:
        with translated():
            yield
    except (SyncError, Terminated) as problem:
        if isinstance(problem, Terminated):
            signals.caught()
        attempts = pushes.attempts if pushes else 0
        write_document(volume.files(start.run_id).result, failed_result(problem, start, attempts))
        raise
