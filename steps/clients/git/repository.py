"""Git: a scratch repository that talks to one remote, and nothing else of Git.

GitPython starts the processes; plumbing commands do the work. No work tree, no index and no checkout
exist, so no .gitattributes, filter, hook or file name of the bucket can mean anything to Git.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from steps.clients.git.config import (
    CONFIG_MARK,
    Credentials,
    environment,
    repository_config,
    user_config,
)
from steps.clients.git.errors import MESSAGES, explained
from steps.core.changes import TreeRow
from steps.core.git_objects import Change
from steps.core.git_objects import Mode as GitMode
from steps.core.operations import Operation
from steps.errors import FixConfiguration, SyncError, TryAgain
from steps.kubernetes.change_summary import BlobChange
from steps.runtime import logs, signals
from steps.workdir.volume import atomic_file, remove

try:
    import git as gitpython
except ImportError as problem:  # GitPython looks for git as soon as it is imported
    _GIT_IS_MISSING = " ".join(str(problem).split())
else:
    _GIT_IS_MISSING = ""

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from steps.runtime.settings import Settings

_BASE = "refs/git-sync/base"
NEW = "refs/git-sync/new"
_HOUR = 3600
_ANSWER_SECONDS = 120  # for what has no size: where a branch is
_MARKER = "git-sync-scratch"
_HASH = re.compile(r"[0-9a-f]{40}")
_NO_SUCH_COMMIT = re.compile(r"not our ref|unadvertised object|couldn't find remote ref")


class Commit(NamedTuple):
    """A commit of the remote's history."""

    oid: str
    message: str


class PushFailed(Exception):
    """The push did not report success. Whether it landed is for the remote to say."""

    def __init__(self, cause: SyncError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Repository:
    """A fresh bare repository in ``directory``, with the configured remote; a context manager.

    What an earlier run left at ``directory`` is thrown away, a killed one's locks and half-written
    packs included; a link is unlinked, and a repository that is not ours is refused. Credentials live
    in memory and go when the block ends.
    """

    def __init__(self, settings: Settings, directory: Path, gitconfig: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._gitconfig = gitconfig
        self._ref = f"refs/heads/{settings.git_branch}"
        self._tracked = f"+{self._ref}:{_BASE}"
        self._environment: dict[str, str] = {}

    def __enter__(self) -> Repository:
        if _GIT_IS_MISSING:
            raise FixConfiguration(
                Operation.GIT_CLONE, "Failed to start git", f"is it installed? {_GIT_IS_MISSING}"
            )
        _refuse_inherited_settings()
        self._credentials = Credentials(self._settings)
        self._home = _home(self._directory.parent)
        try:
            self._environment = environment(self._settings, self._home, self._gitconfig)
            self._claim()
            with atomic_file(self._gitconfig) as out:
                out.write(user_config(self._settings).encode())
            self._discard()
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _claim(self) -> None:
        """Refuse to replace a repository or a configuration that is not ours: somebody's clone, a home.

        Links are only unlinked, so they need no such care.
        """
        theirs = [
            path
            for path, ours in (
                (self._directory, (self._directory / _MARKER).exists() or _is_empty(self._directory)),
                (self._gitconfig, self._gitconfig.is_file() and _starts_as_ours(self._gitconfig)),
            )
            if os.path.lexists(path) and not path.is_symlink() and not ours
        ]
        if theirs:
            raise FixConfiguration(
                Operation.SETUP_WORKDIR,
                "Failed to use the working directory",
                f"{', '.join(map(str, theirs))} is not git-sync's: give it a WORK_DIR of its own",
            )

    def _discard(self) -> None:
        """Remove the last scratch repository, at one stroke: half of one would not look like ours."""
        if self._directory.is_symlink():
            self._directory.unlink()
        elif self._directory.exists():
            trash = self._directory.parent / ".git-sync" / "old.git"
            trash.parent.mkdir(exist_ok=True)
            remove(trash)
            self._directory.replace(trash)
            remove(trash)

    def _make(self) -> None:
        """Do what `git init --bare` does, in a tenth of its time."""
        self._directory.mkdir()
        (self._directory / _MARKER).touch()
        # Where git has to make one of these, and cannot, it does not say that the disk is full.
        for directory in ("objects", "objects/pack", "refs", "refs/git-sync"):
            (self._directory / directory).mkdir()
        (self._directory / "HEAD").write_text("ref: refs/heads/none\n")
        self._configure()

    def _configure(self) -> None:
        (self._directory / "config").write_text(repository_config(self._settings, self._credentials.config))

    def __exit__(self, *_: object) -> None:
        self._credentials.close()
        shutil.rmtree(self._home, ignore_errors=True)

    # -- the remote ---------------------------------------------------------------------------

    def remote_tip(self) -> str | None:
        """Ask the remote for the branch's commit; None if it has no such branch (or nothing)."""
        asked = ("ls-remote", "--heads", "origin", self._ref)
        out = self._git(*asked, failed=Operation.GIT_CLONE, timeout=_ANSWER_SECONDS).decode()
        # ls-remote matches by the ends of names: refs/heads/x/refs/heads/main is in the answer as well.
        tips = {ref: oid for oid, _, ref in (line.partition("\t") for line in out.split("\n"))}
        oid = tips.get(self._ref)
        if oid and not _HASH.fullmatch(oid):
            raise FixConfiguration(
                Operation.GIT_CLONE,
                MESSAGES[Operation.GIT_CLONE],
                "the repository does not use SHA-1 object ids",
            )
        return oid

    def fetch_tip(self) -> str | None:
        """Bring the branch's newest commit and its trees (no blobs, no history); None as above."""
        return None if self.remote_tip() is None else self.fetch()

    def fetch(self) -> str:
        """Bring the same where the branch is known to exist, and return the commit's id."""
        self._fetch(self._tracked, 1)
        return self._commit_at(_BASE)

    def history(self, depth: int) -> list[Commit]:
        """Return up to ``depth`` commits of the branch that was fetched, newest first."""
        if depth > 1:
            self._fetch(self._tracked, depth)
        return self._log(_BASE)[:depth]

    def history_beside(self, commit: str) -> list[Commit]:
        """Return the fetched branch's commits that ``commit``, which is here, was not built upon."""
        return self._log(_BASE, f"^{commit}")

    def fetch_commit(self, commit: str, depth: int) -> bool:
        """Bring a commit, on the branch or not, and up to ``depth`` before it; False if there is none."""
        try:
            self._fetch(commit, depth)
        except SyncError as problem:
            if _NO_SUCH_COMMIT.search(problem.error):
                return False
            raise
        return True

    def _log(self, *revisions: str) -> list[Commit]:
        arguments = ("log", "-z", "--topo-order", "--format=%H%n%B", *revisions)
        out = self._git(*arguments).decode(errors="replace")
        return [Commit(*entry.split("\n", 1)) for entry in out.split("\0") if entry]

    def _fetch(self, what: str, depth: int) -> None:
        self._git(
            *("fetch", "--quiet", f"--depth={depth}", "--no-tags", "--no-write-fetch-head"),
            *("--filter=blob:none", "--recurse-submodules=no", "--update-shallow", "--", "origin", what),
            failed=Operation.GIT_CLONE,
        )
        # A filtered fetch declares the remote a promisor, and then pushing over HTTP (which always
        # tries to make thin packs) fetches old blobs one by one, as bases for deltas. Without the
        # promise it does without them.
        self._configure()

    def fetch_blobs(self, oids: Iterable[str], *, timeout: float = _HOUR) -> None:
        """Ask the remote for blobs by id; what it gives within ``timeout`` seconds is here then."""
        with contextlib.suppress(SyncError):
            self._git(
                *("-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "--no-tags"),
                *("--no-write-fetch-head", "--recurse-submodules=no", "--stdin", "origin"),
                stdin=_lines(oids),
                failed=Operation.GIT_CLONE,
                timeout=timeout,
            )

    def blobs_among(self, oids: Iterable[str]) -> set[str]:
        """Return those of these ids that are blobs which are here."""
        asked = _lines(oids)
        found = self._git("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=asked)
        answers = (line.split() for line in found.decode().split("\n") if line)
        return {oid for oid, kind in answers if kind == "blob"}

    def push(self, oid: str, base: str | None) -> None:
        """Push exactly ``oid`` to the branch, if the branch still is at ``base`` (None: not there).

        The lease is what makes it "if still"; it never forces, for the caller has made sure that
        ``base`` is the commit's parent. Raises PushFailed: then look at the remote.
        """
        try:
            out = self._git(
                *("push", "--porcelain", "--no-verify", "--no-thin", "--no-follow-tags"),
                *("--recurse-submodules=no", f"--force-with-lease={self._ref}:{base or ''}"),
                *("origin", f"{oid}:{self._ref}"),
                failed=Operation.GIT_PUSH,
            )
        except SyncError as cause:
            raise PushFailed(cause) from cause
        if not re.search(rb"^[ *=]\t", out, re.MULTILINE):  # pushed, new, or there already
            said = logs.redacted(out.decode(errors="replace").strip())[:300]
            raise PushFailed(TryAgain(Operation.GIT_PUSH, MESSAGES[Operation.GIT_PUSH], said))

    # -- objects ------------------------------------------------------------------------------

    def tree(self, commit: str, path: str = "") -> Iterator[TreeRow]:
        """Yield all files (links, submodules) below ``path`` ("" or "dir/"), with full paths."""
        arguments = ("ls-tree", "-r", "-z", "--full-tree", commit, *((path,) if path else ()))
        with self._stream(*arguments) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            yield from map(_tree_row, _null_terminated(process.stdout))

    def children(self, commit: str, path: str) -> list[TreeRow]:
        """Return the entries of directory ``path`` ("a/b/"), trees among them, with their names alone."""
        out = self._git("ls-tree", "-z", "--full-tree", commit, path)
        rows = (_tree_row(entry) for entry in out.split(b"\0")[:-1])
        return [row._replace(path=row.path[len(path.encode()) :]) for row in rows]

    def changes(self, commit: str, path: str = "") -> Iterator[BlobChange]:
        """Yield what ``commit`` changed below ``path`` ("" or "dir/") against its parent, which must be here.

        A link or a submodule counts as no blob.
        """
        arguments = ("diff-tree", "--root", "-r", "-z", "--no-commit-id", "--no-renames", commit)
        with self._stream(*arguments, *(("--", path) if path else ())) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            fields = _null_terminated(process.stdout)
            for head in fields:
                old_mode, mode, before, after, change = head.decode().lstrip(":").split(" ")
                ids = (oid if at == GitMode.FILE else "" for at, oid in ((old_mode, before), (mode, after)))
                yield BlobChange(next(fields), Change(change.replace("T", "M")), *ids)

    def contents(self, oids: Iterable[str], *, each: int, total: int) -> Iterator[tuple[str, bytes]]:
        """Yield the bytes of these blobs, but for those that are not here.

        Blobs of more than ``each`` bytes are left out, and all once ``total`` bytes have come.
        """
        asked = _lines(oids)
        answers = self._git(
            "cat-file", "--batch-check=%(objecttype) %(objectsize) %(objectname)", stdin=asked
        )
        wanted = bytearray()
        for _blob, size, oid in (line.split() for line in answers.splitlines() if line.startswith(b"blob ")):
            if int(size) <= min(each, total):
                total -= int(size)
                wanted += oid + b"\n"
        came = BytesIO(self._git("cat-file", "--batch", "--buffer", stdin=bytes(wanted)))
        for head in came:
            oid, _, size = head.split()
            yield oid.decode(), came.read(int(size))
            came.read(1)

    def is_obstructed(self, commit: str, path: str) -> bool:
        """Whether a file, link or submodule stands where directory ``path`` ("a/b/") must be."""
        parts = path.rstrip("/").split("/")
        for depth in range(1, len(parts) + 1):
            entry = self._git("ls-tree", "-z", "--full-tree", commit, "/".join(parts[:depth]))
            if entry and entry.split(b" ")[1] != b"tree":
                return True
        return False

    def fast_import(self, commands: Iterable[bytes]) -> str:
        """Feed git fast-import, which must write NEW, and return the new commit's id."""
        with self._stream("fast-import", "--quiet", "--done", "--force", stdin=True) as process:
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            with contextlib.suppress(BrokenPipeError):  # its exit status and words say more
                for command in commands:
                    process.stdin.write(command)
                process.stdin.close()
        return self._commit_at(NEW)

    def _commit_at(self, ref: str) -> str:
        """Read a ref that git has just written: without reftable each is a file."""
        return (self._directory / ref).read_text().strip()

    # -- processes ----------------------------------------------------------------------------

    def _git(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        cwd: str | None = None,
        failed: Operation = Operation.GIT_COMMIT,
        timeout: float = _HOUR,
    ) -> bytes:
        """Run git to its end and return what it printed."""
        try:
            with self._process(*arguments, stdin=stdin is not None, cwd=cwd) as process:
                out, said = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as late:
            raise TryAgain(
                failed, MESSAGES[failed], f"git {arguments[0]} took over {timeout:.0f} seconds"
            ) from late
        # What became of a push stands in its porcelain output, beside what was said on the way.
        words = said + b"\n" + out if failed == Operation.GIT_PUSH else said
        _check(arguments, process.returncode, words, failed)
        return bytes(out)

    @contextlib.contextmanager
    def _stream(self, *arguments: str, stdin: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        """Run git while the block reads from it or writes to it."""
        with self._process(*arguments, stdin=stdin) as process:
            yield process
            said = process.stderr.read() if process.stderr else b""
            process.wait()
        _check(arguments, process.returncode, said, Operation.GIT_COMMIT)

    @contextlib.contextmanager
    def _process(
        self, *arguments: str, stdin: bool, cwd: str | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start git; whatever ends the block ends git and its children."""
        process: subprocess.Popen[bytes] | None = None
        try:
            with signals.over_limit():  # or it would run, and nobody would know it
                started = gitpython.Git(cwd or self._directory).execute(
                    ["git", "--literal-pathspecs", *arguments],
                    as_process=True,
                    istream=subprocess.PIPE if stdin else None,
                    env=self._environment,
                    start_new_session=True,
                    pass_fds=self._credentials.descriptors,
                )
                process = cast("subprocess.Popen[bytes]", started.proc)
            yield process
        finally:
            if process is not None:
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _lines(oids: Iterable[str]) -> bytes:
    return "".join(f"{oid}\n" for oid in oids).encode()


def _tree_row(entry: bytes) -> TreeRow:
    head, _, path = entry.partition(b"\t")
    mode, _, oid = head.decode().split(" ")
    return TreeRow(path, mode, oid)


def _null_terminated(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(1 << 16):
        *entries, rest = (rest + chunk).split(b"\0")
        yield from entries


def _check(arguments: tuple[str, ...], status: int, stderr: bytes, operation: Operation) -> None:
    said = stderr.decode(errors="replace").strip()
    logs.debug(Operation.GIT_COMMAND, f"git {arguments[0]}", arguments=arguments, status=status, output=said)
    if status != 0:
        raise explained(operation, said)


def _refuse_inherited_settings() -> None:
    """GitPython hands our own environment on to git; the command line has cleaned it (see cli)."""
    inherited = sorted(
        name for name in os.environ if name.startswith("GIT_") and not name.startswith("GIT_PYTHON_")
    )
    if inherited:
        raise FixConfiguration(
            Operation.GIT_CLONE,
            MESSAGES[Operation.GIT_CLONE],
            f"{', '.join(inherited)} would reach git: unset",
        )


def _home(work_dir: Path) -> Path:
    """Make an empty home for git that is nobody else's; those that killed runs have left are removed.

    Who holds the lock of this WORK_DIR is alone, so no other directory of its name is in use.
    """
    found = work_dir.stat()
    prefix = f"git-sync-{found.st_dev:x}-{found.st_ino:x}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=prefix))


def _is_empty(directory: Path) -> bool:
    return directory.is_dir() and not any(directory.iterdir())


def _starts_as_ours(gitconfig: Path) -> bool:
    with gitconfig.open("rb") as file:
        return file.read(len(CONFIG_MARK)) in {b"", CONFIG_MARK.encode()}
