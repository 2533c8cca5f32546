"""Writing the commit of a plan, and verifying it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from steps.clients.git.objects import NEW
from steps.contracts import Status
from steps.core import fast_import
from steps.core.changes import PlanRow
from steps.core.git_objects import BlobChange, Change
from steps.core.keys import printable_path
from steps.core.message import ClusterLine, commit_message
from steps.core.operations import Operation
from steps.core.sorted_join import outer_join
from steps.errors import TryAgain
from steps.planning.plan import checked_rows
from steps.runtime import logs
from steps.workdir.files import open_plain
from steps.workdir.rowfile import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from steps.clients.git.repository import Repository
    from steps.contracts import Run
    from steps.planning.plan import Plan
    from steps.runtime.settings.git import GitSettings
    from steps.workdir.volume import Volume

_CHUNK = 1 << 20


def commit(  # noqa: PLR0913 - what to commit, and where
    settings: GitSettings,
    volume: Volume,
    run: Run,
    repository: Repository,
    plan: Plan,
    *,
    described: Callable[[str, Plan], str] = lambda oid, _: oid,
) -> str:
    """Write the commit, verify that its changes are exactly those of the plan, and return its id.

    ``described`` returns the id of the same commit with more trailers. Raises TryAgain if the changes differ;
    then a file on this volume has changed, and its caches are removed.
    """
    with logs.timed() as elapsed:
        oid = repository.fast_import(_commands(settings, volume, run, plan))
        if (path := _first_difference(repository.changes(oid), run, plan)) is not None:
            volume.remove_caches()
            raise TryAgain(
                Operation.GIT_COMMIT,
                "Failed to commit",
                f"the commit differs from the plan at {printable_path(path)}",
            )
        oid = described(oid, plan)
    changed = plan.changes
    logs.info(
        Operation.GIT_COMMIT,
        f"Committed {oid[:12]}",
        took=elapsed(),
        git_commit=oid,
        new=changed.new,
        modified=changed.modified,
        deleted=changed.deleted,
    )
    return oid


def _first_difference(changes: Iterable[BlobChange], run: Run, plan: Plan) -> bytes | None:
    """Return the first path, anywhere in the repository, whose change is not that of the plan."""
    for row, made in joined_with_plan(changes, run, plan):
        if row is None:
            assert made is not None  # noqa: S101 - an outer join yields no empty pair
            return made.path
        if made is None or not is_made(row, made):
            return row.path
    return None


def joined_with_plan(
    changes: Iterable[BlobChange], run: Run, plan: Plan
) -> Iterator[tuple[PlanRow | None, BlobChange | None]]:
    """Pair the plan's rows with changes of the repository; paths are those of the repository."""
    prefix = run.git_path.encode()
    planned = (row._replace(path=prefix + row.path) for row in read_rows(plan.rows, PlanRow))
    return outer_join(planned, changes)


def is_made(row: PlanRow, made: BlobChange) -> bool:
    """Whether the change of the repository is that of the plan's row."""
    return (row.change, "" if row.change == Change.DELETED else row.oid) == (made.change, made.after)


def _commands(settings: GitSettings, volume: Volume, run: Run, plan: Plan) -> Iterator[bytes]:
    """Yield the input of git fast-import. Deletions come first, so that a directory may replace a file."""
    prefix = run.git_path.encode()
    objects = os.fsencode(volume.objects_of(run))
    yield fast_import.commit(
        ref=NEW,
        name=settings.username,
        email=settings.email,
        at=run.started_at,
        message=_message(run, plan),
        parent=plan.tip,
    )
    for row in checked_rows(plan):
        if row.change == Change.DELETED:
            yield fast_import.delete(prefix + row.path)
    for row in read_rows(plan.rows, PlanRow):
        if row.change != Change.DELETED and row.oid in plan.by_id:
            yield fast_import.write_blob(prefix + row.path, row.oid)
        elif row.change != Change.DELETED:
            yield fast_import.write_inline(prefix + row.path, row.size)
            yield from _exactly(os.path.join(objects, row.path), row.size)
            yield fast_import.END_OF_DATA
    yield fast_import.DONE


def _message(run: Run, plan: Plan) -> str:
    processed = [cluster for cluster in plan.clusters if cluster.processed]
    return commit_message(
        started_at=run.started_at,
        clusters=[ClusterLine(c.name, c.files, c.listed_at) for c in processed if c.listed_at],
        changes=plan.changes,
        run_id=run.run_id,
        allowed=[(c.name, c.allowed_deletion) for c in processed if c.allowed_deletion],
        refused=[
            *((c.name, c.decision) for c in processed if c.status is Status.REFUSED),
            *((c.name, c.over_limit) for c in plan.clusters if c.over_limit),
            *((c.name, "refused_by_host") for c in plan.clusters if c.refused_by_host),
        ],
        failed=[c.name for c in plan.clusters if c.status is Status.FAILED],
        rules=run.policy.digest,
    )


def _exactly(path: bytes, size: int) -> Iterator[bytes]:
    """Yield the file's bytes; TryAgain unless it exists and has exactly ``size`` bytes."""
    where = printable_path(path)
    changed = TryAgain(
        Operation.GIT_COMMIT, "Failed to commit", f"{where} has changed on the volume since it was downloaded"
    )
    try:
        file = open_plain(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise changed from None
    with file:
        while chunk := file.read(_CHUNK):
            size -= len(chunk)
            if size < 0:
                break
            yield chunk
    if size != 0:
        raise changed
