"""A repository on this machine that contains backups: a clone with or without files, only read."""

from __future__ import annotations

import contextlib
from functools import cached_property
from typing import TYPE_CHECKING

from steps.clients.git.objects import Objects, lines
from steps.clients.git.process import Git, check_installed
from steps.core.git_objects import EMPTY_TREE
from steps.core.operations import Operation
from steps.errors import FixCommandLine, SyncError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# The user names the repository, which may belong to another user: in CI, root has cloned it. A partial clone
# fetches absent blobs, and its configuration must not choose a program for that.
_CONFIGURATION = {
    "safe.directory": "*",
    "core.sshCommand": "ssh",
    "core.askPass": "",
    "core.hooksPath": "/dev/null",
    "core.alternateRefsCommand": "true",
    "credential.helper": "",  # removes those of the repository
}

# The user's own configuration does not apply, so that the output does not depend on it.
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}

_FETCH_SECONDS = 600.0

# Not ext, which is a program, and not git, with its core.gitProxy.
_PROTOCOLS = "file:http:https:ssh"


def _environment(protocols: str) -> dict[str, str]:
    pairs = dict(_ENVIRONMENT, GIT_ALLOW_PROTOCOL=protocols, GIT_CONFIG_COUNT=str(len(_CONFIGURATION)))
    for number, (key, value) in enumerate(_CONFIGURATION.items()):
        pairs |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return pairs


class Clone(Objects):
    """The repository in or above ``directory``."""

    def __init__(self, directory: Path) -> None:
        check_installed()
        if not directory.is_dir():
            raise FixCommandLine(
                Operation.GIT_DIFF, "Failed to read the repository", f"--repo {directory}: no such directory"
            )
        self._git = Git(directory, _environment(_PROTOCOLS), (), Operation.GIT_DIFF)
        names = self._git.run("config", "--list", "--null", "--name-only").decode(errors="replace")
        if ".uploadpack\0" in names:  # a program that git starts for a remote on this machine
            without = _PROTOCOLS.removeprefix("file:")
            self._git = Git(directory, _environment(without), (), Operation.GIT_DIFF)
        self._known: set[str] = set()  # blobs that were fetched, or were not absent

    @cached_property
    def promisor(self) -> str:
        """The remote that has what a partial clone lacks; empty if the clone is complete."""
        try:
            found = self._git.run(
                "config", "--name-only", "--get-regexp", r"^remote\..*\.promisor$", "^true$"
            )
        except SyncError:  # no such line
            return ""
        return found.decode().split("\n")[0].removeprefix("remote.").removesuffix(".promisor")

    def commit(self, revision: str) -> str:
        """Return the id of the commit that a revision names. Raises FixCommandLine."""
        try:
            found = self._git.run(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
            )
        except SyncError as problem:
            raise FixCommandLine(
                Operation.GIT_DIFF, "Failed to find the commit", f"{revision}: {problem.error}"
            ) from problem
        return found.decode().strip()

    def commit_before(self, revision: str) -> str:
        """Return the same; the empty tree for an id of zeros, which CI systems use for a new branch."""
        return EMPTY_TREE if revision and not revision.strip("0") else self.commit(revision)

    def fetch_blobs(self, oids: Iterable[str], *, timeout: float = _FETCH_SECONDS) -> None:
        """Fetch the blobs that a partial clone lacks in one request; git itself fetches them one by one.

        Those that the remote does not send remain absent.
        """
        wanted = set(oids) - self._known
        if not wanted or not self.promisor:
            return
        self._known |= wanted
        # A question about one absent object would fetch it; this list does not.
        listed = self._git.run(
            *("cat-file", "--batch-all-objects", "--unordered", "--buffer", "--batch-check=%(objectname)")
        )
        missing = wanted.difference(listed.decode().split())
        if not missing:
            return
        # As git does it: promisor-remote.c, fetch_objects (2.39).
        with contextlib.suppress(SyncError):
            self._git.run(
                *(
                    "-c",
                    "fetch.negotiationAlgorithm=noop",
                    "-c",
                    "maintenance.auto=false",
                    "fetch",
                    "--quiet",
                ),
                *("--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none"),
                *("--stdin", "--", self.promisor),
                stdin=lines(missing),
                timeout=timeout,
            )
