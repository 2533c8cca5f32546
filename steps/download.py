"""download: list a shard's clusters completely, and fetch the objects that Git does not have."""

from __future__ import annotations

import itertools
import sys
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from steps.clients.s3.store import ObjectStore
from steps.contracts import Run, StepWork
from steps.core import limits
from steps.core.exit_codes import Exit, most_severe
from steps.core.intake_limits import OverLimit
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.core.wording import plural
from steps.errors import FixConfiguration, SyncError, Terminated
from steps.planning.failures import over_limit_failure, record_failure
from steps.planning.manifest import Manifest
from steps.planning.rewriting import Rewriting
from steps.runtime import logs
from steps.runtime.deadline import Deadline, DeadlinePassed
from steps.runtime.fair_pool import FairPool
from steps.workdir.cache import Caches
from steps.workdir.files import ObjectDirectory, remove, write_document

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from steps.planning.figures import Figures, Progress
    from steps.runtime.settings.reading import Settings
    from steps.workdir.volume import RunFiles, Volume

_AT_A_TIME = limits.CLUSTERS_AT_A_TIME_THREADS


class NoProgress:
    """Progress that is not shown."""

    def found(self) -> None:
        """Do nothing."""

    def fetched(self, size: int) -> None:
        """Do nothing."""


def download(
    settings: Settings, volume: Volume, run: Run, clusters: Iterable[str], progress: Progress
) -> Exit:
    """Write a manifest or a failure document for each cluster; a complete manifest is kept.

    Returns TRANSIENT if a retry may help a cluster, else CONFIGURATION if a cluster failed, else OK.
    Raises what stops every cluster alike (a full disk).
    """
    names = list(clusters)
    started_at = datetime.now(UTC)
    deadline = _deadline(settings.sync.download_timeout, run.started_at)
    getters = FairPool(settings.sync.concurrency, min(_AT_A_TIME, len(names)), "get")
    listers = ThreadPoolExecutor(_AT_A_TIME, "cluster")
    removers = ThreadPoolExecutor(_AT_A_TIME, "remove")
    rewriting = Rewriting.of(run.policy, settings.content)
    shard = _Shard(ObjectStore(settings.s3), run, volume, getters, removers, progress, deadline, rewriting)
    try:
        waiting = {listers.submit(shard.download_cluster, name): name for name in names}
        finished = itertools.count(1)
        for future in waiting:
            future.add_done_callback(lambda _: getters.expect(min(_AT_A_TIME, len(names) - next(finished))))
        done, late = _wait(waiting, deadline)
        exits = {future.result() for future in done} | {shard.give_up(waiting[future]) for future in late}
    finally:
        for pool in (listers, removers):
            pool.shutdown(wait=False, cancel_futures=True)
        # A retry in this process must not run beside threads of this attempt. A signal does not wait for
        # them, and after the deadline a request may hang.
        must_wait = not deadline.has_passed and not isinstance(sys.exc_info()[1], Terminated)
        getters.shutdown(wait=must_wait)
        for pool in (listers, removers):
            pool.shutdown(wait=must_wait)
    if names:
        work = StepWork(started_at=started_at, finished_at=datetime.now(UTC))
        write_document(volume.files(run.run_id).work(names[0]), work)
    if deadline.has_passed and Exit.TRANSIENT in exits:
        return Exit.CONFIGURATION  # a retry would begin after the deadline
    return Exit.TRANSIENT if Exit.TRANSIENT in exits else most_severe(exits)


def _wait(
    futures: Collection[Future[Exit]], deadline: Deadline
) -> tuple[set[Future[Exit]], set[Future[Exit]]]:
    """Wait for the clusters, until one raises or the deadline passes; return those that are done, and others.

    Python handles a signal in the main thread, but the kernel may interrupt another thread with it. So the
    main thread wakes up every second.
    """
    while True:
        left = deadline.remaining(limits.DOWNLOAD_LATE_SECONDS)
        done, others = wait(futures, 1 if left is None else min(left, 1), FIRST_EXCEPTION)
        if not others or left == 0 or any(future.exception() for future in done):
            return done, others


def _deadline(timeout: timedelta | None, started_at: datetime) -> Deadline:
    """Return the deadline of the downloads. The clock of discover's machine may differ from this one's."""
    if timeout is None:
        return Deadline()
    elapsed = max(timedelta(), datetime.now(UTC) - started_at)
    return Deadline.after((timeout - elapsed).total_seconds())


@dataclass(frozen=True)
class _Shard:
    store: ObjectStore
    run: Run
    volume: Volume
    getters: FairPool
    removers: ThreadPoolExecutor
    progress: Progress
    deadline: Deadline
    rewriting: Rewriting

    @property
    def files(self) -> RunFiles:
        return self.volume.files(self.run.run_id)

    def download_cluster(self, cluster: str) -> Exit:
        """Download one cluster. A failure is written to its document and returned, not raised."""
        if self.files.manifest(cluster).exists():
            logs.info(
                Operation.DOWNLOAD,
                f"{printable(cluster)} is complete already",
                cluster=printable(cluster),
            )
            return Exit.OK
        if not self.files.baseline(cluster).exists() and self.files.failure(cluster).exists():
            return Exit.OK  # discover has skipped it: its tree in Git is over a limit
        if self.deadline.has_passed:
            return self.give_up(cluster)
        objects = self.volume.objects_of(self.run)
        # There may be many files to remove, so this runs while the server lists.
        directory = self.removers.submit(_emptied, objects, cluster)
        try:
            self._check_blocked(cluster)
            with logs.timed() as elapsed, self.getters.share() as getters:
                manifest = Manifest(
                    self.store,
                    self.run,
                    self.files,
                    cluster,
                    getters,
                    directory,
                    self.progress,
                    self.deadline,
                    Caches(self.volume, self.run.identity, self.run.policy.digest),
                    self.rewriting,
                )
                figures = manifest.write()
            _log_figures(cluster, figures, elapsed())
        except OverLimit as problem:
            # detect logs it: a cluster over a limit is not a failure of this step.
            directory.result()
            remove(objects / cluster)
            failure = over_limit_failure(cluster, Operation.DOWNLOAD, problem)
            write_document(self.files.failure(cluster), failure)
            return Exit.OK
        except DeadlinePassed:
            return self.give_up(cluster)
        except SyncError as problem:
            return self._failed(cluster, problem)
        self.files.failure(cluster).unlink(missing_ok=True)
        return Exit.OK

    def give_up(self, cluster: str) -> Exit:
        """Record that the cluster is not complete at the deadline."""
        cause = "not complete after DOWNLOAD_TIMEOUT: raise it, or see why the store is slow"
        # Not TryAgain: a retry of this run would begin after the deadline, too.
        return self._failed(
            cluster,
            FixConfiguration(Operation.DOWNLOAD, "Failed to download", cause, setting="DOWNLOAD_TIMEOUT"),
        )

    def _failed(self, cluster: str, problem: SyncError) -> Exit:
        record_failure(self.files, cluster, problem)
        return problem.exit

    def _check_blocked(self, cluster: str) -> None:
        if cluster in self.run.clusters_blocked_by_file:
            path = printable(f"{self.run.git_path}{cluster}")
            raise FixConfiguration(
                Operation.DOWNLOAD,
                "Failed to download",
                f"Git has a file at {path}, where the cluster's directory must be",
                path=path,
            )


def _emptied(objects: Path, cluster: str) -> ObjectDirectory:
    """Remove the cluster's objects of another run or a failed attempt."""
    remove(objects / cluster)
    return ObjectDirectory(objects)


def _log_figures(cluster: str, figures: Figures, took: float) -> None:
    name = printable(cluster)
    less = f", {figures.rewritten} rewritten with {plural(figures.cut_bytes, 'byte')} less"
    stripped = less if figures.rewritten else ""
    logs.info(
        Operation.DOWNLOAD,
        f"{name}: {plural(figures.objects, 'object')} in the bucket, {figures.fetched} fetched{stripped}",
        took=took,
        cluster=name,
        objects=figures.objects,
        fetched=figures.fetched,
        bytes=figures.fetched_bytes,
        **figures.by_policy(),
        quarantined=figures.quarantined.total(),
    )
    if figures.unavailable:
        logs.error(
            Operation.DOWNLOAD,
            "The store lists objects that it does not return",
            f"{figures.unavailable_sample[0]}; their files in Git stay unchanged",
            cluster=name,
            objects=figures.unavailable,
            keys=figures.unavailable_sample,
        )
    if figures.cache_mismatches:
        logs.warning(
            Operation.DOWNLOAD, "The cache was wrong", cluster=name, objects=figures.cache_mismatches
        )
    if figures.non_md5_etags:
        logs.warning(
            Operation.DOWNLOAD,
            "The store's ETags are not MD5 sums: only lengths protect downloads",
            cluster=name,
            objects=figures.non_md5_etags,
        )
