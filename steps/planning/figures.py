"""What the download of a cluster counts."""

from __future__ import annotations

import threading
from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from steps.core.changes import EXCLUDED_SECRET, OMITTED, VANISHED, ManifestRow
from steps.core.keys import printable, printable_path
from steps.core.operations import Operation
from steps.core.wording import SAMPLE_SIZE
from steps.kubernetes.secret_filter import names_secrets
from steps.runtime import logs
from steps.workdir.rowfile import path_of
from steps.workdir.rows import ManifestFooter

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

# How many names of vanished objects a cluster keeps.
_MOST_VANISHED = 1000

# A row of the manifest; the row of an unchanged object is a line, made of its line in the baseline.
Row: TypeAlias = ManifestRow | bytes


class Progress(Protocol):
    """Receives every object that is fetched; on a terminal, a progress bar."""

    def found(self) -> None:
        """One more object must be fetched."""

    def fetched(self, size: int) -> None:
        """One object has been fetched."""


@dataclass
class Figures:
    """Counts of one cluster's download, and samples of names."""

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
    rewritten: int = 0
    cut_bytes: int = 0
    kept_exactly: int = 0
    slow_seconds: float = 0
    omitted: int = 0
    secrets: int = 0
    secret_paths: int = 0
    excluded_in_git: int = 0
    excluded_in_git_sample: list[str] = field(default_factory=list)
    non_md5_etags: int = 0
    vanished: list[bytes] = field(default_factory=list)
    denied: int = 0
    unavailable: int = 0
    unavailable_sample: list[str] = field(default_factory=list)
    absences_proven: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)

    def counted(self, row: Row) -> Row:
        """Count a row of the manifest, and return it."""
        self.objects += 1
        if isinstance(row, bytes):
            self.unchanged += 1
            self.secret_paths += _names_secrets(row, path_of)
        elif row.accepted:
            self.secret_paths += _names_secrets(row.path, bytes)
        elif row.state in {OMITTED, EXCLUDED_SECRET}:
            self.omitted += 1
        elif row.state == VANISHED:
            if len(self.vanished) < _MOST_VANISHED:
                self.vanished.append(row.path)
        elif row.quarantined:
            key = printable_path(row.path)
            logs.debug(Operation.DOWNLOAD, "Key quarantined", reason=row.state, key=key)
            self.quarantined[row.state] += 1
            if len(self.quarantined_sample) < SAMPLE_SIZE:
                self.quarantined_sample.append(key)
        return row

    @property
    def all_denied(self) -> bool:
        """Whether the store has refused objects, and the cluster has no other content so far."""
        return self.denied > 0 and not self.fetched and not self.unchanged

    def add_unavailable(self, key: str, reason: str) -> None:
        """Record an object that the store lists but does not return. The sample has the first ones by key.

        Threads find them in any order, but the same failure has the same text.
        """
        self.unavailable += 1
        insort(self.unavailable_sample, f"{printable(key)}: {printable(reason, len(reason))}")
        del self.unavailable_sample[SAMPLE_SIZE:]

    def add_excluded_in_git(self, path: bytes) -> None:
        """Count a file in Git that the filters exclude."""
        self.excluded_in_git += 1
        if len(self.excluded_in_git_sample) < SAMPLE_SIZE:
            self.excluded_in_git_sample.append(printable_path(path))

    def by_policy(self) -> dict[str, int]:
        """Return what VOLATILE_FIELDS and SECRETS change; empty if that is nothing."""
        names = ("rewritten", "cut_bytes", "kept_exactly", "omitted", "secrets")
        return {name: count for name in names if (count := getattr(self, name))}

    def footer(self) -> ManifestFooter:
        """Return the manifest's footer."""
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
            rewritten=self.rewritten,
            cut_bytes=self.cut_bytes,
            kept_exactly=self.kept_exactly,
            omitted=self.omitted,
            secrets=self.secrets,
            secret_paths=self.secret_paths,
            excluded_in_git=self.excluded_in_git,
            excluded_in_git_sample=tuple(self.excluded_in_git_sample),
            non_md5_etags=self.non_md5_etags,
            unavailable=self.unavailable,
            unavailable_sample=tuple(self.unavailable_sample),
            absences_proven=self.absences_proven,
        )


def _names_secrets(row: bytes, path: Callable[[bytes], bytes]) -> bool:
    """Whether the path of a row names Secrets. There may be a million rows, and few have this word."""
    return (b"ecret" in row or b"ECRET" in row or b"helm.release" in row) and names_secrets(
        path(row).decode(errors="replace")
    )
