"""download: list a shard's clusters, prove the listings, and fetch what Git does not hold."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeAlias

from steps.clients.s3.listing import Listed
from steps.clients.s3.store import Gone, ObjectStore, TooLarge
from steps.contracts import (
    ClusterFailure,
    ListedRow,
    ManifestFooter,
    ManifestHeader,
    Mode,
    RowsHeader,
    Run,
)
from steps.core.changes import (
    FETCHED,
    UNCHANGED_FIELD,
    VANISHED,
    Directories,
    ManifestRow,
    add_conflict,
)
from steps.core.exit_codes import Exit, most_severe
from steps.core.git_objects import Mode as GitMode
from steps.core.intake_limits import Excess, Intake, OverLimit
from steps.core.keys import Reason, printable, rejection
from steps.core.operations import Operation
from steps.errors import FixConfiguration, SyncError, Terminated, TryAgain
from steps.runtime import logs
from steps.runtime.redaction import redacted
from steps.workdir.files import ObjectDirectory, remove, write_document
from steps.workdir.rowfile import decoder, join_lines, path_of, write_rows

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

    from steps.clients.s3.listing import Listing
    from steps.runtime.settings.reading import Settings
    from steps.workdir.volume import RunFiles, Volume

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
    store = ObjectStore(settings.s3)
    getters = ThreadPoolExecutor(settings.sync.concurrency, "get")
    listers = ThreadPoolExecutor(_CLUSTERS_AT_A_TIME, "cluster")
    removers = ThreadPoolExecutor(_CLUSTERS_AT_A_TIME, "remove")
    pools = (listers, removers, getters)
    job = _Job(store, run, volume, getters, removers, progress)
    try:
        waiting = [listers.submit(_download_cluster, job, name) for name in clusters]
        exits = {future.result() for future in waiting}
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        # The next try must not meet threads of this one; a signal waits for nobody.
        if not isinstance(sys.exc_info()[1], Terminated):
            for pool in pools:
                pool.shutdown()
    return Exit.TRANSIENT if Exit.TRANSIENT in exits else most_severe(exits)


@dataclass(frozen=True)
class _Job:
    store: ObjectStore
    run: Run
    volume: Volume
    getters: ThreadPoolExecutor
    removers: ThreadPoolExecutor
    progress: Progress

    @property
    def files(self) -> RunFiles:
        return self.volume.files(self.run.run_id)


def _download_cluster(job: _Job, cluster: str) -> Exit:
    if job.files.manifest(cluster).exists():
        logs.info(Operation.DOWNLOAD, f"{printable(cluster)} is complete already", cluster=printable(cluster))
        return Exit.OK
    failure = job.files.failure(cluster)
    objects = job.volume.objects_of(job.run)
    # There may be much to remove: it goes while the server lists.
    directory = job.removers.submit(_emptied, objects, cluster)
    try:
        _fetch_cluster(job, cluster, directory)
    except OverLimit as flood:
        # detect tells of it: a guard's word is no failure of this step.
        directory.result()
        remove(objects / cluster)
        document = ClusterFailure(
            cluster=cluster,
            operation=Operation.DOWNLOAD,
            error=str(flood),
            transient=False,
            over_limit=flood.flood,
        )
        write_document(failure, document)
        return Exit.OK
    except SyncError as problem:
        document = ClusterFailure(
            cluster=cluster,
            operation=problem.operation,
            error=redacted(f"{problem.message}: {problem.error}"),
            transient=problem.transient,
        )
        write_document(failure, document)
        logs.failure(problem, cluster=printable(cluster))
        return problem.exit
    failure.unlink(missing_ok=True)
    return Exit.OK


def _emptied(objects: Path, cluster: str) -> ObjectDirectory:
    """Remove what another run, or a failed try, has fetched of the cluster."""
    remove(objects / cluster)
    return ObjectDirectory(objects)


def _fetch_cluster(job: _Job, cluster: str, directory: Future[ObjectDirectory]) -> None:
    """List, prove, compare, fetch; the manifest comes last, and only if all went well."""
    if cluster in job.run.clusters_blocked_by_file:
        where = f"{job.run.git_path}{cluster}"
        raise FixConfiguration(
            Operation.DOWNLOAD, "Failed to download", f"Git holds a file at {printable(where)}"
        )
    with logs.timed() as elapsed:
        figures = _Figures()
        listed_at = _write_listing(job, cluster, figures)
        _check_new_bytes(job, cluster, figures)
        header = ManifestHeader(run_id=job.run.run_id, cluster=cluster, listed_at=listed_at)
        with contextlib.closing(_manifest(job, cluster, directory, figures)) as rows:
            write_rows(job.files.manifest(cluster), header, rows, figures.footer)
    logs.info(
        Operation.DOWNLOAD,
        f"{printable(cluster)}: {figures.objects} objects in the bucket, {figures.fetched} fetched",
        took=elapsed(),
        cluster=printable(cluster),
        objects=figures.objects,
        fetched=figures.fetched,
        bytes=figures.fetched_bytes,
        quarantined=figures.quarantined.total(),
    )
    if figures.unavailable:
        logs.error(
            Operation.DOWNLOAD,
            "The store lists objects that it does not give",
            "GET says that they are not there; Git keeps what it has of them",
            cluster=printable(cluster),
            objects=len(figures.unavailable),
            keys=figures.unavailable[:_SAMPLE],
        )
    if figures.cache_mismatches:
        logs.warning(
            Operation.DOWNLOAD,
            "The cache was wrong",
            cluster=printable(cluster),
            objects=figures.cache_mismatches,
        )
    if figures.non_md5_etags:
        logs.warning(
            Operation.DOWNLOAD,
            "ETags are no MD5s here: only lengths protect downloads",
            cluster=printable(cluster),
            objects=figures.non_md5_etags,
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
    intake = Intake(run.intake_limits)
    directories: Directories[None] = Directories()
    newest = datetime.min.replace(tzinfo=UTC)
    for key, etag, size, modified in listing:
        text = key.removeprefix(run.bucket_prefix)
        path = text.encode(errors="surrogatepass")
        if size == 0 and text.endswith("/"):
            continue  # a marker that some tools leave for a directory
        if not run.selection.has_path(path):
            figures.excluded += 1
            continue
        reason = rejection(text) or (Reason.TOO_LARGE if size > run.max_object_bytes else "")
        if not reason:
            for above, _ in directories.of(path, None):
                add_conflict(figures.conflicts, above)
        if modified is not None and modified > newest:
            figures.newest = newest = modified
        intake.add(path)
        figures.listed_bytes += size
        yield ListedRow(path, reason, size, etag)


# A row of the manifest. One that is encoded already is an unchanged object's: its baseline's line, but for
# the first field.
_Row: TypeAlias = ManifestRow | bytes


def _check_new_bytes(job: _Job, cluster: str, figures: _Figures) -> None:
    """Raise HeldBack where the new and changed objects are too much, before the first is fetched."""
    limit = job.run.intake_limits.max_new_bytes
    if not 0 < limit < figures.listed_bytes:
        return  # not even all of them are: nothing has to be compared
    decoded = decoder(ListedRow)
    new = 0
    for held, line in join_lines(job.files.baseline(cluster), job.files.listing(cluster)):
        if line is not None and not (held is not None and _is_unchanged(held, line)):
            listed = decoded(line)
            new += 0 if listed.reason else listed.size
    if new > limit:
        raise OverLimit(Excess.BYTES, new, limit)


@dataclass
class _Figures:
    excluded: int = 0
    conflicts: set[bytes] = field(default_factory=set)
    listed_bytes: int = 0
    new_objects: int = 0
    new_bytes: int = 0
    objects: int = 0
    unchanged: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    quarantined_sample: list[str] = field(default_factory=list)
    fetched: int = 0
    fetched_bytes: int = 0
    newest: datetime | None = None
    cache_mismatches: int = 0
    non_md5_etags: int = 0
    vanished: list[bytes] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def counted(self, row: _Row) -> _Row:
        self.objects += 1
        if isinstance(row, bytes):
            self.unchanged += 1
        elif row.state == VANISHED:
            if len(self.vanished) < _AHEAD:
                self.vanished.append(row.path)
        elif row.quarantined:
            key = printable(row.path.decode(errors="replace"))
            logs.debug(Operation.DOWNLOAD, "Key quarantined", reason=row.state, key=key)
            self.quarantined[row.state] += 1
            if len(self.quarantined_sample) < _SAMPLE:
                self.quarantined_sample.append(key)
        return row

    def footer(self) -> ManifestFooter:
        return ManifestFooter(
            quarantined=dict(self.quarantined),
            quarantined_sample=tuple(self.quarantined_sample),
            excluded=self.excluded,
            unchanged=self.unchanged,
            new_objects=self.new_objects,
            new_bytes=self.new_bytes,
            fetched=self.fetched,
            fetched_bytes=self.fetched_bytes,
            newest_object_at=self.newest,
            cache_mismatches=self.cache_mismatches,
            non_md5_etags=self.non_md5_etags,
            unavailable=len(self.unavailable),
        )


def _manifest(
    job: _Job, cluster: str, directory: Future[ObjectDirectory], figures: _Figures
) -> Generator[_Row]:
    """Yield the manifest in order, while up to _AHEAD objects behind it are being fetched."""
    pending: deque[_Row | Future[ManifestRow]] = deque()
    try:
        for row in _decisions(job, cluster, directory, figures):
            if not pending and not isinstance(row, Future):
                yield figures.counted(row)
                continue
            pending.append(row)
            while pending and (len(pending) > _AHEAD or _is_settled(pending[0])):
                yield figures.counted(_outcome(pending.popleft()))
        while pending:
            yield figures.counted(_outcome(pending.popleft()))
        if figures.vanished:
            figures.unavailable = _still_listed(job, cluster, figures.vanished)
    finally:
        # Whoever clears up after this cluster must not meet threads that still write.
        wait([row for row in pending if isinstance(row, Future) and not row.cancel()])


def _still_listed(job: _Job, cluster: str, vanished: Iterable[bytes]) -> list[str]:
    """Return the keys that the store goes on listing, though it says that they are not there.

    What somebody has deleted is listed no more. What is, no run would ever bring, and nobody would know.
    """
    gone = {job.run.bucket_prefix + path.decode() for path in vanished}
    listing = job.store.listing(f"{job.run.bucket_prefix}{cluster}/")
    return [printable(listed.key) for listed in listing if listed.key in gone]


def _is_settled(row: _Row | Future[ManifestRow]) -> bool:
    return not isinstance(row, Future) or row.done()


def _outcome(row: _Row | Future[ManifestRow]) -> _Row:
    return row.result() if isinstance(row, Future) else row


def _decisions(
    job: _Job, cluster: str, directory: Future[ObjectDirectory], figures: _Figures
) -> Iterator[_Row | Future[ManifestRow]]:
    """Decide each listed key's fate: settled at once, or by a request that is under way.

    What Git holds and the listing lacks is asked for before it counts as gone.
    """
    decoded, incremental = decoder(ListedRow), job.run.mode is Mode.INCREMENTAL
    proofs: deque[Future[None]] = deque()
    for held, line in join_lines(job.files.baseline(cluster), job.files.listing(cluster)):
        if line is None:
            if held is not None and _may_be_missed(job.run, path_of(held)):
                proofs.append(job.getters.submit(_prove_absent, job, path_of(held)))
            while len(proofs) > _AHEAD:
                proofs.popleft().result()
            continue
        conflicting = figures.conflicts and path_of(line) in figures.conflicts
        unchanged = held is not None and not conflicting and _is_unchanged(held, line)
        if held is not None and unchanged and incremental:
            yield UNCHANGED_FIELD + held[len(_PLAIN_FIELD) :]
            continue
        listed = decoded(line)
        reason = listed.reason or (Reason.PATH_CONFLICT if conflicting else "")
        if reason:
            yield ManifestRow(listed.path, reason, "", listed.size, listed.etag)
        else:
            expected = held.split(b"\t", 2)[1].decode() if held is not None and unchanged else None
            if not unchanged:
                with figures.lock:
                    figures.new_objects += 1
                    figures.new_bytes += listed.size
            job.progress.found()
            yield job.getters.submit(_fetch, job, listed, expected, directory.result(), figures)
    for proof in proofs:
        proof.result()
    directory.result()  # also where nothing was fetched: what is not removed would be taken for this run's


def _may_be_missed(run: Run, path: bytes) -> bool:
    """Whether its absence from the listing means deletion. What is no safe key, we never wrote."""
    return run.selection.has_path(path) and rejection(path.decode(errors="surrogateescape")) is None


def _prove_absent(job: _Job, path: bytes) -> None:
    """A store that is unwell may list all but some objects: whatever is to be deleted is asked for."""
    key = job.run.bucket_prefix + path.decode()
    if job.store.exists(key):
        raise TryAgain(
            Operation.DOWNLOAD, "Failed to list", f"the listing leaves out {printable(key)}, which is there"
        )


_PLAIN_FIELD = f"{GitMode.FILE}\t".encode()


def _is_unchanged(held: bytes, listed: bytes) -> bool:
    """Whether Git holds the content of an object that is not quarantined: its size and ETag are known.

    Both are lines: ``mode oid size etag path`` and ``reason size etag path``. A store without ETags
    tells nothing.
    """
    known = held.split(b"\t", 2)[2]
    return held.startswith(_PLAIN_FIELD) and listed == b"\t" + known and b"\t\t" not in known


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
        Operation.DOWNLOAD,
        "Downloaded object",
        path=printable(listed.path.decode()),
        oid=came.oid,
        size=came.size,
    )
    job.progress.fetched(came.size)
    with figures.lock:
        figures.fetched += 1
        figures.fetched_bytes += came.size
        figures.non_md5_etags += came.non_md5_etag
        figures.cache_mismatches += expected not in {None, came.oid}
        # An object may have grown since it was listed.
        figures.new_bytes += came.size - listed.size
        if 0 < job.run.intake_limits.max_new_bytes < figures.new_bytes:
            raise OverLimit(Excess.BYTES, figures.new_bytes, job.run.intake_limits.max_new_bytes)
    return ManifestRow(listed.path, FETCHED, came.oid, came.size, came.etag)
