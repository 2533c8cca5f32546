"""restore: write the objects of a cluster at a point in time as files that an empty cluster accepts."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from steps.core.exit_codes import Exit
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.errors import FixCommandLine, FixConfiguration
from steps.history.directory import new_directory, require_new, write_file
from steps.history.restoration import Restoration
from steps.history.restore_manifest import RestoreManifest
from steps.history.snapshot import cluster_rows, read_files
from steps.kubernetes.restoration import script
from steps.kubernetes.restoration.namespaces import NAMESPACE
from steps.kubernetes.restoration.split import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from steps.history.restoration import Request
    from steps.history.session import Session

MANIFEST = "MANIFEST.json"


def restore(opened: Session, request: Request, at: str | None, output: Path | None) -> RestoreManifest:
    """Write the directory ``output``, and return what is in it; without ``output``, only the latter."""
    if output:
        require_new(output)
    view = opened.at(opened.moment("--at", at), [request.cluster])
    snapshot = view.clusters[request.cluster]
    rows = cluster_rows(view.objects, view.commit.oid, opened.source.path, request.cluster)
    with new_directory(output) if output else nullcontext() as directory:
        restoration = Restoration(request, directory)
        restoration.add(read_files(opened.source, view.objects, rows, MAX_BYTES))
        manifest = RestoreManifest(
            cluster=request.cluster,
            commit=snapshot.commit,
            committed_at=snapshot.committed_at,
            listed_at=snapshot.listed_at,
            options=tuple(sorted(request.options)),
            namespaces=dict(request.namespaces),
            warnings=(*view.warnings, *restoration.notes.warnings()),
            files=tuple(sorted(restoration.files, key=lambda one: one.file)),
            exact_files=tuple(restoration.exact_files),
            skipped=tuple(restoration.skipped),
            unread=tuple(restoration.unread),
        )
        if manifest.is_empty:
            raise FixConfiguration(
                Operation.GIT_DIFF,
                "Failed to find the objects",
                f"no object of {snapshot.statement} matches --namespace, --select and --exclude",
                cluster=snapshot.cluster,
            )
        if directory:
            write_file(directory, MANIFEST, manifest.model_dump_json(indent=2).encode() + b"\n")
            if not request.exact:
                write_file(directory, script.NAME, script.SCRIPT.encode())
                (directory / script.NAME).chmod(0o700)
    return manifest


def exit_code(manifest: RestoreManifest) -> Exit:
    """Return what the command exits with."""
    return Exit.OK if manifest.is_complete else Exit.PARTIAL


def parse_mapping(values: Iterable[str]) -> dict[str, str]:
    """Parse the values of --map-namespace, ``OLD=NEW``. Raises FixCommandLine."""
    found: dict[str, str] = {}
    for value in values:
        old, equals, new = value.partition("=")
        problem = ""
        if not (equals and NAMESPACE.fullmatch(old) and NAMESPACE.fullmatch(new)):
            problem = "write the names of two namespaces as OLD=NEW"
        elif old in found or new in found.values():
            problem = "each namespace can be in one mapping only"
        if problem:
            raise FixCommandLine(
                Operation.GIT_DIFF, "Failed to read --map-namespace", f"{printable(value)}: {problem}"
            )
        found[old] = new
    return found
