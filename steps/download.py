"""download: list a shard's clusters, prove the listings, and fetch what Git does not hold."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from steps import logs
from steps.clients.object_store import Gone, Listed, ObjectStore, TooLarge
from steps.contracts import (
    BaselineRow,
    ClusterFailure,
    ListedRow,
    ManifestFooter,
    ManifestHeader,
    Mode,
    RowsHeader,
    Run,
)
from steps.core.changes import FETCHED, UNCHANGED, VANISHED, ManifestRow, file_and_directory
from steps.core.exits import Exit, most_severe
from steps.core.flood import Flood, HeldBack, Intake
from steps.core.keys import Reason, escaped, rejection
from steps.core.merge import outer_join
from steps.errors import FixConfiguration, SyncError, Terminated
from steps.rowfile import read_rows, write_rows
from steps.volume import ObjectDirectory, remove, write_document

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from steps.clients.object_store import Listing
    from steps.settings import Settings
    from steps.volume import RunFiles, Volume

# Clusters worked on at a time: LIST waits for the network, mostly.
_CLUSTERS_AT_A_TIME = 4

# How far the fetching may run ahead of the manifest: what bounds the memory.
_AHEAD = 1000

_SAMPLE = 20


class Progress(Protocol):
    """Told about every object: on a terminal, a bar."""

    def found(self) -> None:
        """One more object has to be fetched."""

    def fetched(self, size: int) -> None:
        """One object has come."""


class Silent:
    """Progress that nobody watches."""

    def found(self) -> None:
        """Say nothing."""

    def fetched(self, size: int) -> None:
        """Say nothing."""


def download(
    settings: Settings, volume: Volume, run: Run, clusters: Iterable[str], progress: Progress
) -> Exit:
    """Bring each cluster to a manifest or a failure document; a finished manifest is left alone.

    Returns TRANSIENT if a later try may do better, else CONFIGURATION if a cluster failed for good,
    else OK. What stops every cluster alike (a full disk) is raised.
    """
    store = ObjectStore(settings)
    getters = ThreadPoolExecutor(settings.concurrency, "get")
    listers = ThreadPoolExecutor(_CLUSTERS_AT_A_TIME, "cluster")
    job = _Job(store, run, volume, getters, progress)
    try:
        waiting = [listers.submit(_download_cluster, job, name) for name in clusters]
        exits = {future.result() for future in waiting}
    finally:
        for pool in (listers, getters):
            pool.shutdown(wait=False, cancel_futures=True)
        # The next try must not meet threads of this one; a signal waits for nobody.
        if not isinstance(sys.exc_info()[1], Terminated):
            for pool in (listers, getters):
                pool.shutdown()
    return Exit.TRANSIENT if Exit.TRANSIENT in exits else most_severe(exits)


@dataclass(frozen=True)
class _Job:
    store: ObjectStore
    run: Run
    volume: Volume
    getters: ThreadPoolExecutor
    progress: Progress

    @property
    def files(self) -> RunFiles:
        return self.volume.run(self.run.run_id)


def _download_cluster(job: _Job, cluster: str) -> Exit:
    if job.files.manifest(cluster).exists():
        logs.info("download", f"{escaped(cluster)} is complete already", cluster=escaped(cluster))
        return Exit.OK
    failure = job.files.failure(cluster)
    try:
        _fetch_cluster(job, cluster)
    except HeldBack as flood:
        # detect tells of it: a guard's word is no failure of this step.
        remove(job.volume.objects_of(job.run) / cluster)
        document = ClusterFailure(
            cluster=cluster,
            operation="download",
            error=str(flood),
            transient=False,
            held_back=flood.flood,
        )
        write_document(failure, document)
        return Exit.OK
    except SyncError as problem:
        document = ClusterFailure(
            cluster=cluster,
            operation=problem.operation,
            error=logs.redacted(f"{problem.message}: {problem.error}"),
            transient=problem.transient,
        )
        write_document(failure, document)
        logs.failure(problem, cluster=escaped(cluster))
        return problem.exit
    failure.unlink(missing_ok=True)
    return Exit.OK


def _fetch_cluster(job: _Job, cluster: str) -> None:
    """List, prove, compare, fetch; the manifest comes last, and only if all went well."""
    if cluster in job.run.obstructed:
        where = f"{job.run.git_path}{cluster}"
        raise FixConfiguration("download", "Failed to download", f"Git holds a file at {escaped(where)}")
    with logs.timed() as elapsed:
        figures = _Figures()
        listed_at = _write_listing(job, cluster, figures)
        _check_new_bytes(job, cluster, figures)
        root = job.volume.objects_of(job.run)
        remove(root / cluster)  # another run's, or a failed try's
        directory = ObjectDirectory(root)
        header = ManifestHeader(run_id=job.run.run_id, cluster=cluster, listed_at=listed_at)
        with contextlib.closing(_manifest(job, cluster, directory, figures)) as rows:
            write_rows(job.files.manifest(cluster), header, rows, figures.footer)
    logs.info(
        "download",
        f"{escaped(cluster)}: {figures.objects} objects in the bucket, {figures.fetched} fetched",
        took=elapsed(),
        cluster=escaped(cluster),
        objects=figures.objects,
        fetched=figures.fetched,
        bytes=figures.fetched_bytes,
        quarantined=figures.quarantined.total(),
    )
    if figures.cache_mismatches:
        logs.warning(
            "download",
            "The cache was wrong",
            cluster=escaped(cluster),
            objects=figures.cache_mismatches,
        )
    if figures.foreign_etags:
        logs.warning(
            "download",
            "ETags are no MD5s here: only lengths protect downloads",
            cluster=escaped(cluster),
            objects=figures.foreign_etags,
        )


def _write_listing(job: _Job, cluster: str, figures: _Figures) -> datetime:
    """Write down the proven listing, and return the server's time when it began."""
    listing = job.store.listing(f"{job.run.bucket_prefix}{cluster}/")
    write_rows(
        job.files.listing(cluster), RowsHeader(identity=job.run.identity), _listed(job.run, listing, figures)
    )
    assert listing.started_at is not None  # noqa: S101 - it has been iterated
    return listing.started_at


def _listed(run: Run, listing: Listing, figures: _Figures) -> Iterator[ListedRow]:
    intake = Intake(run.flood_limits)
    for listed in listing:
        text = listed.key.removeprefix(run.bucket_prefix)
        path = text.encode(errors="surrogatepass")
        if listed.size == 0 and text.endswith("/"):
            continue  # a marker that some tools leave for a directory
        if not run.selection.has_path(path):
            figures.left_out += 1
            continue
        reason = rejection(text) or (Reason.TOO_LARGE if listed.size > run.max_object_bytes else "")
        modified = listed.modified.isoformat() if listed.modified else ""
        intake.add(path)
        figures.listed_bytes += listed.size
        yield ListedRow(path, reason, listed.etag, listed.size, modified)


def _check_new_bytes(job: _Job, cluster: str, figures: _Figures) -> None:
    """Raise HeldBack where the new and changed objects are too much, before the first is fetched."""
    limit = job.run.flood_limits.max_new_bytes
    if not 0 < limit < figures.listed_bytes:
        return  # not even all of them are: nothing has to be compared
    new = sum(listed.size for held, listed in _pairs(job, cluster) if _is_new(held, listed))
    if new > limit:
        raise HeldBack(Flood.BYTES, new, limit)


def _pairs(job: _Job, cluster: str) -> Iterator[tuple[BaselineRow | None, ListedRow]]:
    """Every listed key, with what Git holds there."""
    baseline = read_rows(job.files.baseline(cluster), BaselineRow)
    listing = read_rows(job.files.listing(cluster), ListedRow)
    return ((held, listed) for held, listed in outer_join(baseline, listing) if listed is not None)


def _is_new(held: BaselineRow | None, listed: ListedRow) -> bool:
    """Whether an object may become a file that Git does not hold."""
    return not listed.reason and not _is_unchanged(held, listed)


def _is_unchanged(held: BaselineRow | None, listed: ListedRow) -> bool:
    return (
        held is not None
        and listed.etag != ""  # a store without ETags tells nothing
        and (held.etag, held.size) == (listed.etag, listed.size)
    )


@dataclass
class _Figures:
    left_out: int = 0
    listed_bytes: int = 0
    new_objects: int = 0
    new_bytes: int = 0
    objects: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    quarantined_sample: list[str] = field(default_factory=list)
    fetched: int = 0
    fetched_bytes: int = 0
    newest: str = ""
    cache_mismatches: int = 0
    foreign_etags: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def counted(self, row: ManifestRow) -> ManifestRow:
        self.objects += 1
        if row.quarantined:
            key = escaped(row.path.decode(errors="replace"))
            logs.debug("download", "Key quarantined", reason=row.state, key=key)
            self.quarantined[row.state] += 1
            if len(self.quarantined_sample) < _SAMPLE:
                self.quarantined_sample.append(key)
        return row

    def footer(self) -> ManifestFooter:
        return ManifestFooter(
            quarantined=dict(self.quarantined),
            quarantined_sample=tuple(self.quarantined_sample),
            left_out=self.left_out,
            new_objects=self.new_objects,
            new_bytes=self.new_bytes,
            fetched=self.fetched,
            fetched_bytes=self.fetched_bytes,
            newest_object_at=datetime.fromisoformat(self.newest) if self.newest else None,
            cache_mismatches=self.cache_mismatches,
            foreign_etags=self.foreign_etags,
        )


def _manifest(
    job: _Job, cluster: str, directory: ObjectDirectory, figures: _Figures
) -> Generator[ManifestRow]:
    """Yield the manifest in order, while up to _AHEAD objects behind it are being fetched."""
    pending: deque[Future[ManifestRow]] = deque()
    try:
        for row in _decisions(job, cluster, directory, figures):
            pending.append(row)
            while len(pending) > _AHEAD or (pending and pending[0].done()):
                yield figures.counted(pending.popleft().result())
        while pending:
            yield figures.counted(pending.popleft().result())
    finally:
        # Whoever clears up after this cluster must not meet threads that still write.
        wait([future for future in pending if not future.cancel()])


def _decisions(
    job: _Job, cluster: str, directory: ObjectDirectory, figures: _Figures
) -> Iterator[Future[ManifestRow]]:
    """Decide each listed key's fate: settled at once, or by a request that is under way."""
    conflicts = file_and_directory(
        row.path for row in read_rows(job.files.listing(cluster), ListedRow) if not row.reason
    )
    for held, listed in _pairs(job, cluster):
        figures.newest = max(figures.newest, listed.modified)
        reason = listed.reason or (Reason.PATH_CONFLICT if listed.path in conflicts else "")
        unchanged = _is_unchanged(held, listed)
        if reason:
            yield _settled(ManifestRow(listed.path, reason, "", listed.size, listed.etag))
        elif held is not None and unchanged and job.run.mode is Mode.INCREMENTAL:
            yield _settled(ManifestRow(listed.path, UNCHANGED, held.oid, listed.size, listed.etag))
        else:
            expected = held.oid if held is not None and unchanged else None
            if not unchanged:
                with figures.lock:
                    figures.new_objects += 1
                    figures.new_bytes += listed.size
            job.progress.found()
            yield job.getters.submit(_fetch, job, listed, expected, directory, figures)


def _settled(row: ManifestRow) -> Future[ManifestRow]:
    future: Future[ManifestRow] = Future()
    future.set_result(row)
    return future


def _fetch(
    job: _Job,
    listed: ListedRow,
    expected: str | None,
    directory: ObjectDirectory,
    figures: _Figures,
) -> ManifestRow:
    """Fetch one object. ``expected`` is the blob id that the cache promises for this ETag, if any."""
    asked = Listed(job.run.bucket_prefix + listed.path.decode(), listed.etag, listed.size, None)
    try:
        came = job.store.fetch(asked, directory.place(listed.path), max_bytes=job.run.max_object_bytes)
    except Gone:
        return ManifestRow(listed.path, VANISHED, "", listed.size, listed.etag)
    except TooLarge:
        return ManifestRow(listed.path, Reason.TOO_LARGE, "", listed.size, listed.etag)
    logs.debug(
        "download",
        "Downloaded object",
        path=escaped(listed.path.decode()),
        oid=came.oid,
        size=came.size,
    )
    job.progress.fetched(came.size)
    with figures.lock:
        figures.fetched += 1
        figures.fetched_bytes += came.size
        figures.foreign_etags += came.foreign_etag
        figures.cache_mismatches += expected not in {None, came.oid}
        # An object may have grown since it was listed.
        figures.new_bytes += came.size - listed.size
        if 0 < job.run.flood_limits.max_new_bytes < figures.new_bytes:
            raise HeldBack(Flood.BYTES, figures.new_bytes, job.run.flood_limits.max_new_bytes)
    return ManifestRow(listed.path, FETCHED, came.oid, came.size, came.etag)
