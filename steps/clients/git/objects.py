"""Commits, trees and blobs of the scratch repository: reading them, and writing a commit."""

from __future__ import annotations

import contextlib
import os
from io import BytesIO
from typing import IO, TYPE_CHECKING, NamedTuple

from steps.clients.git.commits import Commit, parsed, readable
from steps.core.changes import TreeRow
from steps.core.git_objects import BlobChange, Change
from steps.core.git_objects import Mode as GitMode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from steps.clients.git.process import Git

NEW = "refs/git-sync/new"

_LAST_SECOND = 253_402_300_799  # of the year 9999, the last one that datetime has


class PathChange(NamedTuple):
    """One path that a commit changed; ``change`` is git's letter: A, M, D or T."""

    commit: str
    path: bytes
    change: str


class LoggedCommit(NamedTuple):
    """A commit of a branch's own line; ``parent`` is its first parent, "" if it has none (or none is known).

    ``committed_at`` is in Unix seconds; None if the commit has no time that the calendar has. A push may
    contain such commits: by default, a server does not check them (receive.fsckObjects in git-config(1)).
    """

    oid: str
    parent: str
    committed_at: int | None
    message: str


class Objects:
    """What is in the scratch repository. Blobs that were not fetched are absent, and stay so."""

    _git: Git

    def tree(self, commit: str, path: str = "") -> Iterator[TreeRow]:
        """Yield all files (links, submodules) below ``path`` ("" or "dir/"), with full paths."""
        arguments = ("ls-tree", "-r", "-z", "--full-tree", commit, *((path,) if path else ()))
        with self._git.stream(*arguments) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            yield from map(_tree_row, _null_terminated(process.stdout))

    def children(self, commit: str, path: str) -> list[TreeRow]:
        """Return the entries of directory ``path`` ("" or "a/b/"), subdirectories too; paths are names."""
        out = self._git.run("ls-tree", "-z", "--full-tree", commit, *((path,) if path else ()))
        rows = (_tree_row(entry) for entry in out.split(b"\0")[:-1])
        return [row._replace(path=row.path[len(path.encode()) :]) for row in rows]

    def changes(self, commit: str, path: str = "", *, base: str | None = None) -> Iterator[BlobChange]:
        """Yield the changes of ``commit`` against ``base``, below ``path`` ("" or "dir/").

        The base is the parent by default. It must have been fetched. Links, submodules and executable files
        have blob id "".
        """
        commits = (base, commit) if base else (commit,)
        arguments = ("diff-tree", "--root", "-r", "-z", "--no-commit-id", "--no-renames", *commits)
        with self._git.stream(*arguments, *(("--", path) if path else ())) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            fields = _null_terminated(process.stdout)
            for head in fields:
                yield _blob_change(head, next(fields))

    def line_changes(
        self, newest: str, count: int, path: str = ""
    ) -> Iterator[tuple[LoggedCommit, list[BlobChange]]]:
        """Yield the newest ``count`` commits of a branch's own line with their changes below ``path``.

        The parents' trees must be present. Blob ids are as in ``changes``; a commit without changes is left
        out.
        """
        arguments = (
            *("log", "-z", "--first-parent", "--diff-merges=first-parent", "--root", "--raw", "-r"),
            *("--no-renames", "--no-abbrev", f"--max-count={count}", "--format=%H%n%P%n%ct%n%B"),
        )
        with self._git.stream(*arguments, newest, "--") as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            commit: LoggedCommit | None = None
            found: list[BlobChange] = []
            prefix = path.encode()
            fields = _null_terminated(process.stdout)
            for field in fields:
                head = field.lstrip(b"\n")
                if head.startswith(b":"):
                    name = next(fields)
                    if name.startswith(prefix):
                        found.append(_blob_change(head, name))
                    continue
                if commit is not None and found:
                    yield commit, found
                commit, found = _logged(field), []
            if commit is not None and found:
                yield commit, found

    def _path_changes(self, *arguments: str) -> Iterator[PathChange]:
        """Read `git log -z --raw --format=%H`: ids, each followed by heads (":…") with their paths."""
        with self._git.stream(*arguments) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            commit = ""
            fields = _null_terminated(process.stdout)
            for field in fields:
                head = field.lstrip(b"\n").decode()
                if head.startswith(":"):
                    yield PathChange(commit, next(fields), head[-1])
                else:
                    commit = head

    def line_of(self, revision: str) -> Iterator[LoggedCommit]:
        """Yield the commits of a branch's own line, newest first: a merge counts as one commit."""
        arguments = ("log", "-z", "--first-parent", "--format=%H%n%P%n%ct%n%B", revision, "--")
        with self._git.stream(*arguments) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            for entry in _null_terminated(process.stdout):
                yield _logged(entry)

    def blobs_among(self, oids: Iterable[str]) -> set[str]:
        """Return those of these ids that are blobs and present."""
        found = self._git.run("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=lines(oids))
        answers = (line.split() for line in found.decode().split("\n") if line)
        return {oid for oid, kind in answers if kind == "blob"}

    def commits(self, oids: Iterable[str], clusters: Collection[str] = ()) -> list[Commit]:
        """Return these commits, which must be present, newest first, with the trailers about ``clusters``.

        git itself takes the memory of the largest commit whenever it walks the history.
        """
        sizes = self._sizes(oids, "commit")
        read = (one for batch in readable(sizes) for one in self.contents(batch))
        found = {oid: parsed(oid, raw, clusters) for oid, raw in read}
        return [found.get(oid) or Commit(oid) for oid in sizes]

    def _revisions(self, *arguments: str) -> list[str]:
        return self._git.run("rev-list", "--topo-order", *arguments).decode().split()

    def sizes(self, oids: Iterable[str]) -> dict[str, int]:
        """Return the sizes of those of these ids that are blobs and present."""
        return self._sizes(oids, "blob")

    def _sizes(self, oids: Iterable[str], kind: str) -> dict[str, int]:
        found = self._git.run(
            "cat-file", "--batch-check=%(objecttype) %(objectsize) %(objectname)", stdin=lines(oids)
        )
        of_kind = (fields for line in found.decode().split("\n") if (fields := line.split())[:1] == [kind])
        return {oid: int(size) for _, size, oid in of_kind}

    def contents(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield id and bytes of these objects, which must be present."""
        output = BytesIO(self._git.run("cat-file", "--batch", "--buffer", stdin=lines(oids)))
        for head in output:
            oid, _, size = head.split()
            yield oid.decode(), output.read(int(size))
            output.read(1)

    @contextlib.contextmanager
    def blob_stream(self, oids: Iterable[str]) -> Iterator[IO[bytes]]:
        """Let git write these blobs as `git cat-file --batch` does, for another process."""
        with os.fdopen(os.memfd_create("oids"), "w+b") as file:
            file.write(lines(oids))
            file.seek(0)
            with self._git.source("cat-file", "--batch", "--buffer", stdin=file) as blobs:
                yield blobs

    def with_trailer(self, commit: str, trailer: str) -> str:
        """Write a commit like ``commit`` whose message has one more line, and return its id."""
        raw = self._git.run("cat-file", "commit", commit)
        oid = self._git.run(
            *("hash-object", "-t", "commit", "-w", "--stdin"), stdin=raw + f"{trailer}\n".encode()
        )
        return oid.decode().strip()

    def fast_import(self, commands: Iterable[bytes]) -> str:
        """Feed git fast-import, which must write ref NEW, and return the new commit's id."""
        with self._git.stream("fast-import", "--quiet", "--done", "--force", stdin=True) as process:
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            with contextlib.suppress(BrokenPipeError):  # its exit status and its output say why
                for command in commands:
                    process.stdin.write(command)
                process.stdin.close()
        return self._commit_at(NEW)

    def _commit_at(self, ref: str) -> str:
        """Read a ref that git has just written: each is a file, because reftable is not enabled."""
        return (self._git.directory / ref).read_text().strip()


def lines(oids: Iterable[str]) -> bytes:
    """Return object ids as git reads them from stdin, one on each line."""
    return "".join(f"{oid}\n" for oid in oids).encode()


def _logged(entry: bytes) -> LoggedCommit:
    oid, parents, seconds, message = entry.decode(errors="replace").split("\n", 3)
    return LoggedCommit(oid, parents.partition(" ")[0], _seconds(seconds), message)


def _seconds(text: str) -> int | None:
    """Return the time that git read from a commit; git writes nothing if it read none."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(_LAST_SECOND))
    return int(text) if is_number and int(text) <= _LAST_SECOND else None


def _blob_change(head: bytes, path: bytes) -> BlobChange:
    """Return a change in the raw format of git-diff-tree(1)."""
    old_mode, mode, before, after, change = head.decode().lstrip(":").split(" ")
    ids = (oid if at == GitMode.FILE else "" for at, oid in ((old_mode, before), (mode, after)))
    return BlobChange(path, Change(change.replace("T", "M")), *ids)


def _tree_row(entry: bytes) -> TreeRow:
    head, _, path = entry.partition(b"\t")
    mode, _, oid = head.decode().split(" ")
    return TreeRow(path, mode, oid)


def _null_terminated(stream: IO[bytes]) -> Iterator[bytes]:
    rest: list[bytes] = []  # joined once, because a name in Git may have any length
    while chunk := stream.read(1 << 16):
        first, *others = chunk.split(b"\0")
        rest.append(first)
        if others:
            yield b"".join(rest)
            yield from others[:-1]
            rest = others[-1:]
