"""The oracle checks the repository after every attempt, whether it succeeded or failed.

The chronicle records every content and every absence of each key, in order. A commit of git-sync may
only move a path forward in the chronicle of its key: to a content of the key, or to its absence.
So nothing is lost or invented, and newer content is never replaced by older content.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from steps.core.message import parse_trailers
from tests.support.repositories import branches, contents, fsck, git

if TYPE_CHECKING:
    from pathlib import Path


class Unsafe(AssertionError):
    """The repository is in a state that git-sync must never create."""


@dataclass
class Chronicle:
    """Every content of every key in order; None for an absence. Thread-safe."""

    _entries: dict[str, list[bytes | None]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def record(self, key: str, content: bytes | None) -> None:
        """Record a write or a deletion before the request, because readers may see it from then on."""
        with self._lock:
            self._entries.setdefault(key, [None]).append(content)

    def next_place(self, key: str, content: bytes | None, begin: int) -> int | None:
        """Return the first place at or after `begin` where the key had `content`, or None."""
        with self._lock:
            entries = self._entries.get(key, [None])
            return next((at for at in range(begin, len(entries)) if entries[at] == content), None)

    def now(self) -> dict[str, bytes]:
        """Return the content of the bucket, if every request succeeded."""
        with self._lock:
            last = {key: entries[-1] for key, entries in self._entries.items()}
        return {key: content for key, content in last.items() if content is not None}


class _Change(NamedTuple):
    path: str
    mode: str
    oid: str


@dataclass
class Oracle:
    """Checks one branch. `foreign` has the commits of other users."""

    repository: Path
    chronicle: Chronicle
    git_path: str = "clusterbackup/"
    branch: str = "main"
    foreign: set[str] = field(default_factory=set)
    commits: int = field(default=0, init=False)
    _tip: str | None = field(default=None, init=False)
    _places: dict[str, int] = field(default_factory=dict, init=False)
    _places_at: dict[str | None, dict[str, int]] = field(default_factory=dict, init=False)

    @property
    def tip(self) -> str | None:
        """The last checked commit."""
        return self._tip

    def check(self) -> None:
        """Check all commits since the last check; raises Unsafe."""
        tip = branches(self.repository).get(self.branch)
        try:
            fsck(self.repository)
        except Exception as problem:
            raise Unsafe(f"fsck: {getattr(problem, '__notes__', problem)}") from problem
        if tip == self._tip:
            return
        if tip is None:
            raise Unsafe("the branch is gone")
        for commit in self._since(tip):
            self._check_commit(commit)
            self._places_at[commit] = dict(self._places)
        self._tip = tip

    def rewritten(self) -> None:
        """Accept the branch after another user has moved or deleted it.

        The place of each key stays recorded, so older content still may not return.
        """
        self._tip = branches(self.repository).get(self.branch)

    def rewound(self) -> None:
        """Accept the branch after a reset to an earlier commit, with the places of that time."""
        self.rewritten()
        self._places = dict(self._places_at[self._tip])

    def forget(self) -> None:
        """Accept the branch after the loss of its history, without any places."""
        self._places.clear()
        self.rewritten()

    def _since(self, tip: str) -> list[str]:
        if self._tip:
            base = git(self.repository, "merge-base", self._tip, tip).decode().strip()
            if base != self._tip:
                raise Unsafe(f"history was rewritten: {self._tip} is not an ancestor of {tip}")
        since = [f"^{self._tip}"] if self._tip else []
        rows = git(self.repository, "rev-list", "--reverse", "--parents", tip, *since, "--").decode()
        parents = [row.split() for row in rows.splitlines()]
        if merges := [row[0] for row in parents if len(row) > 2]:
            raise Unsafe(f"not linear: {merges}")
        return [row[0] for row in parents]

    def _check_commit(self, commit: str) -> None:
        if commit in self.foreign:
            return
        message = git(self.repository, "log", "-1", "--format=%B", commit).decode()
        if not parse_trailers(message).run_id:
            raise Unsafe(f"{commit} is neither of git-sync nor of a known user: {message!r}")
        self.commits += 1
        changes = self._changes(commit)
        if not changes:
            raise Unsafe(f"{commit} changes nothing")
        for change, content in zip(changes, self._contents(changes), strict=True):
            self._advance(commit, change, content)

    def _advance(self, commit: str, change: _Change, content: bytes | None) -> None:
        key = change.path
        if not key.startswith(self.git_path):
            raise Unsafe(f"{commit} touches {key!r}, which is outside GIT_PATH")
        if change.mode not in {"100644", "000000"}:
            raise Unsafe(f"{commit} gives {key!r} mode {change.mode}")
        begin = self._places.get(key, 0)
        place = self.chronicle.next_place(key, content, begin)
        if place is None:
            before = self.chronicle.next_place(key, content, 0)
            what = "invented" if before is None else f"older than the content in Git ({before} after {begin})"
            raise Unsafe(f"{commit}: {key!r} became {content!r}, which is {what}")
        self._places[key] = place

    def _changes(self, commit: str) -> list[_Change]:
        raw = git(
            self.repository,
            *("diff-tree", "-r", "-z", "--root", "--no-renames", "--no-commit-id", "--full-index", commit),
        )
        fields = raw.decode(errors="surrogateescape").split("\0")[:-1]
        meta, paths = fields[0::2], fields[1::2]
        return [_Change(path, *row.split(" ")[1:4:2]) for row, path in zip(meta, paths, strict=True)]

    def _contents(self, changes: list[_Change]) -> list[bytes | None]:
        """Return the new content of each change; None for a deleted path."""
        ids = [change.oid for change in changes if change.mode != "000000"]
        output = git(
            self.repository, "cat-file", "--batch", stdin="".join(f"{id_}\n" for id_ in ids).encode()
        )
        blobs, position = [], 0
        for _ in ids:
            start = output.index(b"\n", position) + 1
            size = int(output[position:start].split()[2])
            blobs.append(output[start : start + size])
            position = start + size + 1
        found = iter(blobs)
        return [None if change.mode == "000000" else next(found) for change in changes]

    def check_exact(self, expected: dict[str, bytes]) -> None:
        """Check that the tree below GIT_PATH is exactly `expected`; raises Unsafe."""
        self.check()
        files = contents(self.repository, self.branch, self.git_path) if self._tip else {}
        if files != expected:
            differing = {k for k in files.keys() | expected.keys() if files.get(k) != expected.get(k)}
            shown = {k: (files.get(k), expected.get(k)) for k in sorted(differing)[:5]}
            raise Unsafe(f"{len(differing)} paths differ (git, bucket): {shown}")
