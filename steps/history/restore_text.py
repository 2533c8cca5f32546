"""What restore prints: what it found, what it wrote, what it skipped and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from steps.core.keys import printable
from steps.core.wording import plural
from steps.history.moments import stamp
from steps.kubernetes.restoration.decide import VOLATILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from steps.history.restore_manifest import RestoreManifest, SkippedObject

_SHORT_ID = 8


def summary(manifest: RestoreManifest, output: str) -> Iterator[str]:
    """Yield the lines after a directory was written."""
    yield from _found(manifest)
    if manifest.exact_files:
        yield f"wrote {plural(len(manifest.exact_files), 'file')} as Git has them to {output}"
    else:
        yield f"wrote {plural(len(manifest.files), 'object')} to {output}"
        yield from _by_stage(manifest)
    yield from _skipped(manifest)
    yield from _left_out(manifest)
    if manifest.files:
        yield f"next: read {output}/MANIFEST.json, then run {output}/apply.sh"


def table(manifest: RestoreManifest) -> Iterator[str]:
    """Yield the lines of --dry-run: one for each object."""
    yield from _found(manifest)
    for exact in manifest.exact_files:
        yield f"write    {printable(exact.file)}"
    for file in manifest.files:
        source = f"from {printable(file.path)}" if file.path else "made by git-sync"
        yield f"write    {printable(file.file)}  {source}"
        if removed := [printable(one.field) for one in file.removed if one.why != VOLATILE]:
            yield f"         without {', '.join(removed)}"
        if file.replaced:
            changed = (f"{printable(one.field)}: {printable(one.value)}" for one in file.replaced)
            yield f"         with {', '.join(changed)}"
    for one in manifest.skipped:
        if not one.left_out:
            yield f"skip     {_object(one)}  {printable(one.why)}"
    yield from _left_out(manifest)
    yield (
        f"{plural(len(manifest.files) + len(manifest.exact_files), 'file')} to write, "
        f"{plural(len(manifest.skipped) - len(manifest.left_out), 'object')} skipped, "
        f"{len(manifest.left_out) + len(manifest.unread)} left out; nothing is written"
    )


def _found(manifest: RestoreManifest) -> Iterator[str]:
    listed = (
        f"as listed {stamp(manifest.listed_at)}" if manifest.listed_at else "without the time of a listing"
    )
    yield f"{printable(manifest.cluster)} {listed}, commit {manifest.commit[:_SHORT_ID]}"
    for warning in manifest.warnings:
        yield f"warning: {warning}"


def _by_stage(manifest: RestoreManifest) -> Iterator[str]:
    stages: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for file in manifest.files:
        stages[file.file.partition("/")[0]][file.kind] += 1
    for stage, kinds in sorted(stages.items()):
        yield f"  {stage:<14} {_counted(kinds.items())}"


def _skipped(manifest: RestoreManifest) -> Iterator[str]:
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in manifest.skipped:
        if not one.left_out:
            reasons[one.why][one.kind or "other"] += 1
    if reasons:
        yield f"skipped {plural(sum(map(Counter.total, reasons.values())), 'object')}"
    for why, kinds in sorted(reasons.items(), key=lambda row: -row[1].total()):
        yield f"  {_counted(kinds.items())}: {printable(why)}"


def _left_out(manifest: RestoreManifest) -> Iterator[str]:
    for one in manifest.left_out:
        yield f"left out {_object(one)} in {printable(one.path)}: {printable(one.why)}"
    for file in manifest.unread:
        yield f"left out {printable(file.path)}: {printable(file.why)}"


def _object(one: SkippedObject) -> str:
    return str(one.named) if one.kind else printable(one.path)


def _counted(kinds: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count:,} {printable(kind)}" for kind, count in sorted(kinds))
