"""A cluster's manifest: what the bucket has of the cluster, and what became of each object.

The listing is written first, because it counts only when it is complete. It is then joined with the
baseline: objects that Git does not have are fetched, and the absence of every missing one is proven. The
manifest gets its name only when all of that has succeeded.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from steps.clients.s3.listing import Listed
from steps.clients.s3.store import Denied, Gone, Rejected, TooLarge
from steps.contracts import Mode
from steps.core.changes import (
    FETCHED,
    OMITTED,
    UNAVAILABLE,
    VANISHED,
    Directories,
    ManifestRow,
    add_conflict,
    is_missing,
)
from steps.core.deletion_guard import (
    MOST_FOREIGN_FILES,
    Decision,
    DeletionCount,
    DeletionStats,
    ForeignFiles,
    decide,
    is_named,
)
from steps.core.intake_limits import Excess, Intake, OverLimit
from steps.core.keys import Reason, printable, rejection
from steps.core.limits import DENIED_OBJECTS
from steps.core.operations import Operation
from steps.errors import FixConfiguration, TryAgain
from steps.kubernetes.secret_filter import names_secrets
from steps.planning.etags import ETags
from steps.planning.figures import Figures
from steps.planning.rewriting import TOO_LARGE
from steps.runtime import logs
from steps.workdir.rowfile import (
    RowFile,
    blob_id,
    decoder,
    is_same_object,
    join_lines,
    path_of,
    unchanged_line,
    write_rows,
    written_blob,
)
from steps.workdir.rows import ListedRow, ManifestFooter, ManifestHeader, RowsHeader

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from steps.clients.s3.listing import Listing
    from steps.clients.s3.store import Fetched, ObjectStore
    from steps.contracts import Run
    from steps.planning.figures import Progress, Row
    from steps.planning.rewriting import Rewriting
    from steps.runtime.deadline import Deadline
    from steps.runtime.fair_pool import Share
    from steps.workdir.cache import Caches
    from steps.workdir.files import ObjectDirectory
    from steps.workdir.volume import RunFiles

# Larger objects are written as they are: rewriting needs all of an object in memory.
MOST_REWRITTEN_BYTES = 2 * 1024 * 1024

# How many objects may be requested before the first of them is in the manifest. It bounds the memory.
_AHEAD = 1000

# Errors of a file system that concern one path; all others (a full disk, no descriptors) concern the run.
_ABOUT_A_PATH = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP})

_DAMAGED = "the content does not match its ETag, twice in the same way: the object is damaged in the store"


@dataclass(frozen=True)
class Manifest:
    """Writes one cluster's manifest, until ``deadline``.

    ``directory`` is where the objects go, once it is empty.
    """

    store: ObjectStore
    run: Run
    files: RunFiles
    cluster: str
    getters: Share
    directory: Future[ObjectDirectory]
    progress: Progress
    deadline: Deadline
    caches: Caches
    rewriting: Rewriting
    figures: Figures = field(default_factory=Figures)

    @cached_property
    def etags(self) -> ETags:
        """What is known about the ETags of this cluster."""
        return ETags(self.store, self.run.bucket_prefix, self.files.listing(self.cluster))

    def write(self) -> Figures:
        """List, compare, fetch and prove; the manifest is written last.

        Raises SyncError, OverLimit and DeadlinePassed.
        """
        listed_at = self._write_listing()
        baseline = RowFile(self.files.baseline(self.cluster))
        listing = RowFile(self.files.listing(self.cluster))
        self._check_new_bytes(baseline, listing)
        header = ManifestHeader(run_id=self.run.run_id, cluster=self.cluster, listed_at=listed_at)
        with contextlib.closing(self._rows(baseline, listing)) as rows:
            write_rows(self.files.manifest(self.cluster), header, rows, self._footer)
        return self.figures

    def _footer(self) -> ManifestFooter:
        self.deadline.check()  # a thread that download no longer waits for must not complete its manifest
        return self.figures.footer()

    # -- the listing --------------------------------------------------------------------------

    def _write_listing(self) -> datetime:
        """Write the complete listing, and return the server's time when it began."""
        listing = self._listing()
        header = RowsHeader(identity=self.run.identity)
        write_rows(self.files.listing(self.cluster), header, self._listed(listing))
        assert listing.started_at is not None  # noqa: S101 - it has been iterated
        return listing.started_at

    def _listing(self) -> Listing:
        return self.store.listing(f"{self.run.bucket_prefix}{self.cluster}/")

    def _listed(self, listing: Listing) -> Iterator[ListedRow]:
        run, figures = self.run, self.figures
        intake = Intake(run.intake_limits)
        directories: Directories[None] = Directories()
        newest = datetime.min.replace(tzinfo=UTC)
        for key, etag, size, modified in self.deadline.pace(listing):
            text = key.removeprefix(run.bucket_prefix)
            path = text.encode(errors="surrogatepass")
            if size == 0 and text.endswith("/"):
                intake.add(path)
                continue  # some tools mark directories
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

    def _check_new_bytes(self, baseline: RowFile, listing: RowFile) -> None:
        """Raise OverLimit if the new and changed objects exceed MAX_NEW_BYTES; nothing is fetched yet."""
        limit = self.run.intake_limits.max_new_bytes
        if not 0 < limit < self.figures.listed_bytes:
            return  # all objects together do not exceed it, so nothing has to be compared
        decoded, omitted = decoder(ListedRow), self.caches.omitted(self.cluster)
        new = 0
        for in_git, line in join_lines(baseline, listing):
            if line is None or omitted.has(line):
                continue
            if not (in_git is not None and is_same_object(in_git, line)):
                listed = decoded(line)
                new += 0 if listed.reason else listed.size
        if new > limit:
            raise OverLimit(Excess.BYTES, new, limit)

    # -- the objects --------------------------------------------------------------------------

    def _rows(self, baseline: RowFile, listing: RowFile) -> Generator[Row]:
        """Yield the manifest's rows in order, while up to _AHEAD later objects are being fetched."""
        figures = self.figures
        pending: deque[Row | Future[ManifestRow]] = deque()
        try:
            for row in self._decisions(baseline, listing):
                if not pending and not isinstance(row, Future):
                    yield figures.counted(row)
                    continue
                pending.append(row)
                while pending and (len(pending) > _AHEAD or _is_settled(pending[0])):
                    yield figures.counted(self._result(pending.popleft()))
            while pending:
                yield figures.counted(self._result(pending.popleft()))
            if figures.all_denied:
                raise self._all_denied()
            if figures.vanished:
                self._check_still_listed(figures.vanished)
        finally:
            # The caller may remove the objects, so no thread may still write one. After the deadline it does
            # not, and a request may hang.
            begun = [row for row in pending if isinstance(row, Future) and not row.cancel()]
            wait(begun, timeout=self.deadline.remaining())

    def _check_still_listed(self, vanished: Iterable[bytes]) -> None:
        """Record the keys that the store still lists although GET and HEAD call them absent.

        A deleted object is no longer listed. An object that is listed but absent would be missing in
        every run, silently.
        """
        gone = {self.run.bucket_prefix + path.decode() for path in vanished}
        for listed in self.deadline.pace(self._listing()):
            if listed.key in gone:
                self.figures.add_unavailable(listed.key, "GET and HEAD return 404")

    def _decisions(self, baseline: RowFile, listing: RowFile) -> Iterator[Row | Future[ManifestRow]]:
        """Yield the row of each listed key, or the request that will return it.

        At the end, the absence of each file that Git has and the listing lacks is proven.
        """
        decoded, incremental = decoder(ListedRow), self.run.mode is Mode.INCREMENTAL
        figures, omitted = self.figures, self.caches.omitted(self.cluster)
        count, missing = DeletionCount(self.cluster, self.run.branch), list[bytes]()
        for in_git, line in join_lines(baseline, listing):
            if line is None:
                assert in_git is not None  # noqa: S101 - one of the two has the path
                if is_missing(path := path_of(in_git), line, self.run.selection.has_path):
                    count.add_deletion(path, blob_id(in_git))
                    if len(missing) < _AHEAD:
                        missing.append(path)
                else:
                    figures.add_excluded_in_git(path)
                continue
            count.in_git += in_git is not None
            conflicting = figures.conflicts and path_of(line) in figures.conflicts
            same = in_git is not None and not conflicting and is_same_object(in_git, line)
            known = in_git if same else None
            if known is not None and incremental:
                count.accepted += 1
                yield unchanged_line(known)
                continue
            listed = decoded(line)
            reason = listed.reason or (Reason.PATH_CONFLICT if conflicting else "")
            if reason:
                yield self._rejected(listed, reason, "" if in_git is None else written_blob(in_git))
                continue
            count.accepted += 1
            if in_git is None and self.run.mode is Mode.INCREMENTAL and omitted.has(line):
                yield ManifestRow(listed.path, OMITTED, "", listed.size, listed.etag)
                continue
            if known is None:
                with figures.lock:
                    figures.new_objects += 1
                    figures.new_bytes += listed.size
            self.progress.found()
            self.deadline.check()
            written = "" if in_git is None else written_blob(in_git)
            expected = None if known is None else blob_id(known)
            yield self.getters.submit(self._fetch, listed, expected, written)
        self._prove_absences(count.stats, missing, baseline, listing)
        # Objects of another run that are not removed would be taken for this run's.
        self.deadline.result(self.directory)

    def _rejected(self, listed: ListedRow, reason: str, written: str) -> ManifestRow:
        """Return the row of a quarantined key; ``written`` is the blob in Git if the same policy wrote it.

        A file in Git whose path names Secrets must not keep clear text because its object is too large now.
        """
        hides = self.run.policy.hides_secrets and reason == Reason.TOO_LARGE
        if hides and names_secrets(listed.path.decode(errors="replace")):
            return ManifestRow(listed.path, Reason.SECRET_UNREADABLE, written, listed.size, listed.etag)
        return ManifestRow(listed.path, reason, "", listed.size, listed.etag)

    def _result(self, row: Row | Future[ManifestRow]) -> Row:
        return self.deadline.result(row) if isinstance(row, Future) else row

    # -- the proof of absences ----------------------------------------------------------------

    def _prove_absences(
        self, stats: DeletionStats, first: list[bytes], baseline: RowFile, listing: RowFile
    ) -> None:
        """Request every missing object, unless the run deletes none of them: a small tree has many paths.

        ``first`` are the first missing paths. Foreign files, which the guard does not count, are known later.
        """
        decision = decide(
            stats,
            self.run.deletion_limits,
            approved=is_named(self.cluster, self.run.allow_delete),
            excluded=self.figures.excluded > 0,
            bucket_is_empty=False,
        )
        removes = self.run.deletion_limits.foreign_files is ForeignFiles.REMOVE
        may_be_foreign = stats.deletions <= MOST_FOREIGN_FILES and (decision.refused or removes)
        # The files of a vanished cluster stay in Git even if they are foreign. Other users may push thousands
        # of directories.
        stays = decision is Decision.REFUSED_VANISHED and not removes
        if decision is not Decision.DELETE and (stays or not may_be_foreign):
            self.figures.absences_proven = False
            return
        paths = first if len(first) == stats.deletions else self._missing(baseline, listing)
        proofs: deque[Future[None]] = deque()
        for path in paths:
            # git-sync never wrote a path that the key rules reject.
            if rejection(path.decode(errors="surrogateescape")) is None:
                proofs.append(self.getters.submit(self._prove_absent, path))
            while len(proofs) > _AHEAD:
                self.deadline.result(proofs.popleft())
        for proof in proofs:
            self.deadline.result(proof)
        # To a deleted access key (versitygw 1.8), or in a deleted bucket, the store answers 404 to each HEAD.
        if stats.deletions:
            self.deadline.result(
                self.getters.submit(self.store.check_listable, f"{self.run.bucket_prefix}{self.cluster}/")
            )

    def _missing(self, baseline: RowFile, listing: RowFile) -> Iterator[bytes]:
        for in_git, line in join_lines(baseline, listing):
            if in_git is not None and is_missing(path := path_of(in_git), line, self.run.selection.has_path):
                yield path

    def _prove_absent(self, path: bytes) -> None:
        """Request a missing object: a store may list all objects but some."""
        key = self.run.bucket_prefix + path.decode()
        if self.store.exists(key):
            raise TryAgain(
                Operation.DOWNLOAD,
                "Failed to list",
                f"the listing lacks {printable(key)}, but the object exists",
                key=printable(key),
            )

    def _fetch(self, listed: ListedRow, expected: str | None, written: str) -> ManifestRow:
        """Fetch one object. ``expected`` is the cache's blob id for this ETag.

        ``written`` is the id of the blob in Git if a run with the same policy has written it.
        """
        row = self._fetched(listed, expected)
        return row._replace(oid=written) if row.omitted else row

    def _fetched(self, listed: ListedRow, expected: str | None) -> ManifestRow:
        figures, limit = self.figures, self.run.intake_limits.max_new_bytes
        requested = Listed(self.run.bucket_prefix + listed.path.decode(), listed.etag, listed.size, None)
        try:
            target = self.directory.result().place(listed.path)
            fetched = self.store.fetch(
                requested,
                target,
                max_bytes=self.run.max_object_bytes,
                in_memory=MOST_REWRITTEN_BYTES if self.run.policy.rewrites else None,
                rejects=self.rewriting.rejects(listed.path),
            )
            row = self._written(listed, fetched, target)
        except Gone:
            return ManifestRow(listed.path, VANISHED, "", listed.size, listed.etag)
        except Denied as problem:
            return self._denied(listed, str(problem))
        except OSError as problem:
            if problem.errno not in _ABOUT_A_PATH:
                raise
            with figures.lock:
                reason = f"the volume does not accept the path ({os.strerror(problem.errno).lower()})"
                figures.add_unavailable(requested.key, reason)
            return ManifestRow(listed.path, UNAVAILABLE, "", listed.size, listed.etag)
        except Rejected:
            return self.rewriting.refused(listed.path, TOO_LARGE, listed.size, listed.etag)
        except TooLarge:
            return self._rejected(listed, Reason.TOO_LARGE, "")
        if row.state == UNAVAILABLE:
            return row
        logs.debug(
            Operation.DOWNLOAD,
            "Downloaded object",
            path=printable(listed.path.decode()),
            oid=row.oid,
            size=fetched.size,
        )
        self.progress.fetched(fetched.size)
        with figures.lock:
            figures.fetched += 1
            figures.fetched_bytes += fetched.size
            figures.non_md5_etags += fetched.non_md5_etag
            figures.cache_mismatches += expected not in {None, row.oid}
            # An object may have grown since it was listed.
            figures.new_bytes += fetched.size - listed.size
            if 0 < limit < figures.new_bytes:
                raise OverLimit(Excess.BYTES, figures.new_bytes, limit)
        return row

    def _written(self, listed: ListedRow, fetched: Fetched, target: bytes) -> ManifestRow:
        """Return the row of a fetched object; its content is on the disk then, unless it is damaged."""
        if self._is_damaged(listed, fetched):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target)
            with self.figures.lock:
                self.figures.add_unavailable(self.run.bucket_prefix + listed.path.decode(), _DAMAGED)
            return ManifestRow(listed.path, UNAVAILABLE, "", listed.size, listed.etag)
        if self.run.policy.rewrites:
            return self.rewriting.write(fetched, listed.path, target, self.figures)
        return ManifestRow(listed.path, FETCHED, fetched.oid, fetched.size, fetched.etag)

    def _is_damaged(self, listed: ListedRow, fetched: Fetched) -> bool:
        """Whether the ETag is not the MD5 of the content, while the ETags of other objects are."""
        return fetched.non_md5_etag and not fetched.encrypted and self.etags.are_md5s(listed.path)

    def _denied(self, listed: ListedRow, reason: str) -> ManifestRow:
        """Record one object that the store refuses. If it refuses all, the cluster fails."""
        figures = self.figures
        with figures.lock:
            figures.denied += 1
            figures.add_unavailable(self.run.bucket_prefix + listed.path.decode(), reason)
            if figures.denied >= DENIED_OBJECTS and figures.all_denied:
                raise self._all_denied()
        return ManifestRow(listed.path, UNAVAILABLE, "", listed.size, listed.etag)

    def _all_denied(self) -> FixConfiguration:
        keys = list(self.figures.unavailable_sample)
        error = f"the store refuses every object of the cluster; {keys[0]}"
        return FixConfiguration(Operation.DOWNLOAD, "Failed to download", error, keys=keys)


def _is_settled(row: Row | Future[ManifestRow]) -> bool:
    return not isinstance(row, Future) or row.done()
