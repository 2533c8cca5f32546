"""Where the commands of the history read: the configured repository, or a clone on this machine.

Nothing is pushed, and WORK_DIR is not used. Of a remote repository, commits are fetched first, then the
trees of the chosen commits, then the blobs, each in one request. A host without partial clone sends all of
them at once.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from steps.clients.git.errors import MESSAGES
from steps.clients.git.repository import Repository
from steps.core.operations import Operation
from steps.errors import FixConfiguration, SyncError, TryAgain
from steps.history.clone import Clone

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from steps.clients.git.objects import LoggedCommit, Objects
    from steps.runtime.retry import RetryPolicy
    from steps.runtime.settings.git import GitSettings

_WHOLE_HISTORY = 2**31 - 1  # git-fetch(1): this depth is infinite


class Source(Protocol):
    """The commits of a branch, and what is in them."""

    path: str
    """The directory of the clusters, "" or "clusterbackup/"."""
    is_remote: bool
    """Whether blobs must be fetched before they are read."""

    def commits(self, newest: str = "") -> Iterator[LoggedCommit]:
        """Yield the commits from ``newest``, by default the tip of the branch; newest first."""

    def with_trees(self, commits: Sequence[str], depth: int = 1) -> Objects:
        """Return a repository that has the trees of these commits, and of ``depth`` - 1 before each."""

    def fetch_blobs(self, oids: Collection[str]) -> None:
        """Fetch these blobs of commits whose trees are present. Raises TryAgain if the host sends not all."""


class LocalSource:
    """A clone on this machine. Blobs that a partial clone lacks are fetched."""

    def __init__(self, directory: Path, path: str, revision: str = "HEAD") -> None:
        self.path = path
        self._clone = Clone(directory)
        self._tip = self._clone.commit(revision)
        self.is_remote = bool(self._clone.promisor)

    def commits(self, newest: str = "") -> Iterator[LoggedCommit]:
        return self._clone.line_of(newest or self._tip)

    def with_trees(self, commits: Sequence[str], depth: int = 1) -> Objects:  # noqa: ARG002 - it has them
        return self._clone

    def fetch_blobs(self, oids: Collection[str]) -> None:
        self._clone.fetch_blobs(oids)


class _Scratch(Repository):
    """A repository for what one command reads."""

    def fetch_commits(self) -> bool:
        """Fetch the commits of the branch, and return whether the host sent only them."""
        if self.remote_tip() is None:
            raise FixConfiguration(
                Operation.GIT_CLONE,
                MESSAGES[Operation.GIT_CLONE],
                f"the repository has no branch {self._settings.branch}; set GIT_BRANCH or --branch",
                setting="GIT_BRANCH",
            )
        return self._fetch(self._tracked, _WHOLE_HISTORY, "tree:0")

    def tip(self) -> str:
        """Return the newest commit that was fetched."""
        return self._commit_at("refs/git-sync/base")

    def fetch_trees(self, commits: Sequence[str], depth: int) -> None:
        """Fetch commits with their trees, and those before them."""
        try:
            self._git.run(
                *("fetch", "--quiet", f"--depth={depth}", "--no-tags", "--no-write-fetch-head"),
                *("--filter=blob:none", "--recurse-submodules=no", "--update-shallow", "--", "origin"),
                *dict.fromkeys(commits),
                operation=Operation.GIT_CLONE,
            )
        except SyncError as problem:
            if problem.transient:
                raise
            self._fetch(self._tracked, _WHOLE_HISTORY)  # a host that refuses ids of commits
        else:
            self._configure()


class RemoteSource:
    """The configured repository. Use ``remote_source``."""

    is_remote = True

    def __init__(self, settings: GitSettings, retry: RetryPolicy, stack: contextlib.ExitStack) -> None:
        self.path = settings.path
        self._settings = settings
        self._retry = retry
        self._stack = stack
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="git-sync-"))
        self._directory = Path(directory)
        self._history = self._repository("commits")
        self._has_only_commits = retry.call(self._history.fetch_commits)
        self._objects: _Scratch | None = None if self._has_only_commits else self._history

    def _repository(self, name: str) -> _Scratch:
        # Repository makes one home for each parent directory, and removes those of others.
        parent = self._directory / name
        parent.mkdir()
        scratch = _Scratch(self._settings, parent / ".git", parent / ".gitconfig")
        self._stack.enter_context(scratch)
        return scratch

    def commits(self, newest: str = "") -> Iterator[LoggedCommit]:
        return self._history.line_of(newest or self._history.tip())

    def with_trees(self, commits: Sequence[str], depth: int = 1) -> Objects:
        if not self._has_only_commits:
            return self._history
        # A new repository: git does not fetch the trees of a commit that it already has.
        if self._objects is None:
            self._objects = self._repository("objects")
        objects = self._objects
        self._retry.call(lambda: objects.fetch_trees(commits, depth))
        return objects

    def fetch_blobs(self, oids: Collection[str]) -> None:
        objects = self._objects
        if objects is None or not (missing := set(oids) - objects.sizes(oids).keys()):
            return
        objects.fetch_blobs(missing)
        if left := missing - objects.sizes(missing).keys():
            raise TryAgain(
                Operation.GIT_CLONE,
                MESSAGES[Operation.GIT_CLONE],
                f"the host did not send {len(left):,} of {len(missing):,} files",
                missing=len(left),
            )


@contextlib.contextmanager
def remote_source(settings: GitSettings, retry: RetryPolicy) -> Iterator[RemoteSource]:
    """Open the configured repository; what it fetches is removed when the block ends."""
    with contextlib.ExitStack() as stack:
        yield RemoteSource(settings, retry, stack)
