"""The scratch repository, and the remote behind it.

Git is used through plumbing commands alone. There is no work tree, no index and no checkout, so no
.gitattributes, filter, hook or file name from the bucket has a meaning for git.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from steps.clients.git.config import (
    CONFIG_MARK,
    Credentials,
    environment,
    repository_config,
    user_config,
)
from steps.clients.git.errors import MESSAGES, not_git
from steps.clients.git.objects import Objects, PathChange, lines
from steps.clients.git.output import moved_to
from steps.clients.git.process import Git, check_installed
from steps.clients.git.trees import Trees
from steps.core.operations import Operation
from steps.errors import FixConfiguration, SyncError, TryAgain
from steps.runtime import hardening
from steps.runtime.redaction import redacted
from steps.workdir.files import atomic_file, naming, remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from steps.runtime.settings.git import GitSettings

_BASE = "refs/git-sync/base"
_LS_REMOTE_SECONDS = 120
_BLOBS_SECONDS = 3600
_MARKER = "git-sync-scratch"
# How many commits of the branch to fetch in search of another one; the last ones are about 12 MB. A server
# without partial clone sends their files, too, so then the search ends earlier.
_CONTAINS_DEPTHS = (1, 50, 1000, 50_000)
_MOST_COMMITS_WITH_FILES = 1000
_IGNORES_FILTERS = "filtering not recognized by server"  # fetch-pack, since Git 2.17
_HASH = re.compile(r"[0-9a-f]{40}")
# In the list of capabilities, or an object id of such a repository.
_SHA256 = re.compile(r"\bobject-format=sha256\b|^[0-9a-f]{64} ")
_EMPTY_COMMIT = (
    b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
    b"author git-sync <> 0 +0000\ncommitter git-sync <> 0 +0000\n\n\n"
)

# upload-pack: "upload-pack: not our ref …"; git: "Server does not allow request for unadvertised object
# …", "couldn't find remote ref …" (Git 2.39)
_NO_SUCH_COMMIT = re.compile(r"not our ref|unadvertised object|couldn't find remote ref")


class Repository(Objects):
    """A new bare repository in ``directory`` with the configured remote; a context manager.

    Entering it removes what an earlier run left in ``directory``, including locks and partial packs of a
    killed one. A link is unlinked. A repository that git-sync did not make is refused. Credentials are in
    memory only, until the block ends.
    """

    def __init__(self, settings: GitSettings, directory: Path, gitconfig: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._gitconfig = gitconfig
        self._ref = f"refs/heads/{settings.branch}"
        self._tracked = f"+{self._ref}:{_BASE}"
        self.moved_to: str | None = None  # the address to which the host redirects
        self._trees: Trees | None = None

    def __enter__(self) -> Repository:
        check_installed()
        self._credentials = Credentials(self._settings)
        self._home = _home(self._directory.parent)
        try:
            variables = environment(self._settings, self._home, self._gitconfig, self._credentials.ssh_key)
            self._git = Git(self._directory, variables, self._credentials.descriptors)
            self._check_ownership()
            with atomic_file(self._gitconfig) as out:
                out.write(user_config(self._settings).encode())
            self._remove_old()
            self._create()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, _: object = None, problem: object = None, *__: object) -> None:
        if isinstance(problem, SyncError) and problem.operation in {Operation.GIT_CLONE, Operation.GIT_PUSH}:
            remote = {"repository": self._settings.repository, "branch": self._settings.branch}
            problem.data = remote | problem.data
        if self._trees is not None:
            self._trees.close()
        self._credentials.close()
        with contextlib.suppress(OSError):
            remove(self._home)

    # -- the scratch repository ---------------------------------------------------------------

    def _check_ownership(self) -> None:
        """Refuse to replace a repository or a configuration that is not ours, as in a clone or a home.

        Links need no check, because they are only unlinked.
        """
        foreign = [
            path
            for path, ours in (
                (self._directory, (self._directory / _MARKER).exists() or _is_empty(self._directory)),
                (self._gitconfig, self._gitconfig.is_file() and _starts_as_ours(self._gitconfig)),
            )
            if os.path.lexists(path) and not path.is_symlink() and not ours
        ]
        if foreign:
            raise FixConfiguration(
                Operation.SETUP_WORKDIR,
                "Failed to use the working directory",
                f"git-sync did not create {', '.join(map(str, foreign))}; set WORK_DIR to another directory",
            )

    def _remove_old(self) -> None:
        """Remove the last scratch repository. It is renamed first, because it loses its marker early."""
        if self._directory.is_symlink():
            self._directory.unlink()
        elif self._directory.exists():
            trash = self._directory.parent / ".git-sync" / "old.git"
            trash.parent.mkdir(exist_ok=True)
            remove(trash)
            self._directory.replace(trash)
            remove(trash)

    def _create(self) -> None:
        """Do what `git init --bare` does, in a tenth of its time."""
        self._directory.mkdir()
        (self._directory / _MARKER).touch()
        # Where git itself fails to make one of these, its message does not say that the disk is full.
        for directory in ("objects", "objects/pack", "refs", "refs/git-sync"):
            (self._directory / directory).mkdir()
        with naming(self._directory / "HEAD"):
            (self._directory / "HEAD").write_text("ref: refs/heads/none\n")
        self._configure()

    def _configure(self) -> None:
        text = repository_config(self._settings, self._credentials.config, hardening.inherited_umask)
        with atomic_file(self._directory / "config") as out:
            out.write(text.encode())

    @property
    def trees(self) -> Trees:
        """The trees of the fetched commits."""
        self._trees = self._trees or Trees(self._git)
        return self._trees

    # -- the remote ---------------------------------------------------------------------------

    def remote_tip(self) -> str | None:
        """Ask the remote for the branch's commit; None if it has no such branch (or nothing).

        One empty answer does not prove that the branch does not exist: a replica may lag, and git takes an
        empty page for an empty repository. So git-sync asks again, and requires an answer in Git's protocol.
        """
        oid = self._listed() or self._listed(is_proof=True)
        if oid and not _HASH.fullmatch(oid):
            raise self._not_sha1()
        return oid

    def _listed(self, *, is_proof: bool = False) -> str | None:
        answer = self._git.ask(
            *("ls-remote", "--heads", "origin", self._ref),
            operation=Operation.GIT_CLONE,
            timeout=_LS_REMOTE_SECONDS,
            traced=is_proof,
        )
        self.moved_to = moved_to(answer.err)
        if is_proof and not answer.packets:
            raise not_git(Operation.GIT_CLONE)
        if is_proof and any(map(_SHA256.search, answer.packets)):
            raise self._not_sha1()
        # ls-remote matches the ends of names: it lists refs/heads/x/refs/heads/main as well.
        lines = answer.out.decode().split("\n")
        tips = {ref: oid for oid, _, ref in (line.partition("\t") for line in lines)}
        return tips.get(self._ref)

    def prove_push(self) -> None:
        """Prove that the remote accepts pushes from this identity; nothing is pushed.

        Most hosts refuse an identity without the right to push when git asks for the refs. Rules about
        branches, authors and content apply only to a push.
        """
        oid = self._git.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=_EMPTY_COMMIT)
        self._git.run(
            *("push", "--dry-run", "--porcelain", "--no-verify", "--no-follow-tags"),
            *("--recurse-submodules=no", "origin", f"{oid.decode().strip()}:{self._ref}"),
            operation=Operation.GIT_PUSH,
            timeout=_LS_REMOTE_SECONDS,
        )

    def _not_sha1(self) -> FixConfiguration:
        return FixConfiguration(
            Operation.GIT_CLONE,
            MESSAGES[Operation.GIT_CLONE],
            "the repository does not use SHA-1 object ids; create it with --object-format=sha1",
        )

    def fetch_tip(self) -> str | None:
        """Fetch the branch's newest commit and its trees (no blobs, no history); None as above."""
        return None if self.remote_tip() is None else self.fetch()

    def fetch(self) -> str:
        """Fetch the same of a branch that exists, and return the commit's id."""
        self._fetch(self._tracked, 1)
        return self._commit_at(_BASE)

    def fetch_history(self, depth: int) -> list[str]:
        """Fetch and return the ids of up to ``depth`` commits of the branch, newest first."""
        if depth > 1:
            self._fetch(self._tracked, depth)
        return self._revisions(_BASE)[:depth]

    def history_without(self, commit: str) -> list[str]:
        """Return the ids of the fetched commits of the branch that are not ancestors of ``commit``.

        The commit is present.
        """
        return self._revisions(_BASE, f"^{commit}")

    def with_parents(self) -> set[str]:
        """Return the ids of the fetched commits whose parents are fetched, too."""
        return set(self._revisions("--min-parents=1", _BASE))

    def path_changes(self, directories: Iterable[str]) -> Iterator[PathChange]:
        """Yield the changes of the fetched commits below these directories ("dir/"), newest first.

        Merges are skipped.
        """
        arguments = (
            "log",
            "-z",
            "--topo-order",
            "--full-history",
            "--raw",
            "-r",
            "--no-renames",
            "--format=%H",
        )
        return self._path_changes(*arguments, _BASE, "--", *directories)

    def contains(self, *commits: str) -> bool:
        """Whether the fetched branch contains one of the commits, among its newest 50,000.

        ``fetch`` has fetched the newest commit with its trees; this fetches only commits, if necessary.
        Among the newest 1,000 if the server does not support partial clones.
        """
        is_filtered = True
        for depth in _CONTAINS_DEPTHS:
            if depth > _MOST_COMMITS_WITH_FILES and not is_filtered:
                break
            if depth > 1:
                is_filtered = self._fetch(self._tracked, depth, "tree:0")
            found = self._revisions(_BASE)
            if not set(commits).isdisjoint(found):
                return True
            if len(found) < depth:
                return False
        return False

    def fetch_commit(self, commit: str, depth: int) -> bool:
        """Fetch a commit, on the branch or not, and up to ``depth`` before it; False if there is none."""
        try:
            self._fetch(commit, depth)
        except SyncError as problem:
            if _NO_SUCH_COMMIT.search(problem.error):
                return False
            raise
        return True

    def _fetch(self, what: str, depth: int, without: str = "blob:none") -> bool:
        """Fetch, and return whether the server supports partial clones."""
        answer = self._git.ask(
            *("fetch", "--quiet", f"--depth={depth}", "--no-tags", "--no-write-fetch-head"),
            *(f"--filter={without}", "--recurse-submodules=no", "--update-shallow", "--", "origin", what),
            operation=Operation.GIT_CLONE,
        )
        # A filtered fetch marks the remote as a promisor in the config. A push over HTTP always tries to
        # make thin packs, and would then fetch old blobs one by one as bases for deltas.
        self._configure()
        return _IGNORES_FILTERS not in answer.err

    def fetch_blobs(self, oids: Iterable[str], *, timeout: float = _BLOBS_SECONDS) -> None:
        """Ask the remote for blobs by id. Those that it sends within ``timeout`` seconds are present then."""
        with contextlib.suppress(SyncError):
            self._git.run(
                *("-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "--no-tags"),
                *("--no-write-fetch-head", "--recurse-submodules=no", "--stdin", "origin"),
                stdin=lines(oids),
                operation=Operation.GIT_CLONE,
                timeout=timeout,
            )

    def push(self, oid: str, base: str | None) -> None:
        """Push exactly ``oid`` to the branch, if the branch still is at ``base`` (None: no branch).

        The lease is this condition. It never forces a push, because ``base`` is the parent of ``oid``.
        A SyncError says that git did not report success; the remote may have the commit all the same.
        """
        out = self._git.run(
            *("push", "--porcelain", "--no-verify", "--no-thin", "--no-follow-tags"),
            *("--recurse-submodules=no", f"--force-with-lease={self._ref}:{base or ''}"),
            *("origin", f"{oid}:{self._ref}"),
            operation=Operation.GIT_PUSH,
        )
        if not re.search(rb"^[ *=]\t", out, re.MULTILINE):  # fast-forward, new branch, or up to date
            output = redacted(out.decode(errors="replace").strip())[:300]
            raise TryAgain(Operation.GIT_PUSH, MESSAGES[Operation.GIT_PUSH], output)


def _home(work_dir: Path) -> Path:
    """Make an empty, private home for git, and remove those that killed runs left.

    The lock on this WORK_DIR excludes other runs, so no other directory with its prefix is in use.
    """
    found = work_dir.stat()
    prefix = f"git-sync-{found.st_dev:x}-{found.st_ino:x}-"
    for old in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if old.lstat().st_uid == os.geteuid():  # the prefix is predictable, and others may write here
                remove(old)
    return Path(tempfile.mkdtemp(prefix=prefix))


def _is_empty(directory: Path) -> bool:
    return directory.is_dir() and not any(directory.iterdir())


def _starts_as_ours(gitconfig: Path) -> bool:
    with gitconfig.open("rb") as file:
        return file.read(len(CONFIG_MARK)) in {b"", CONFIG_MARK.encode()}
