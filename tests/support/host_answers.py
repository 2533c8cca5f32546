"""The answers of Git hosts in tests/clients/git/host_answers.yaml, and what git-sync makes of an answer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from steps.clients.git.repository import Repository
from steps.core.exit_codes import Exit
from steps.errors import SyncError
from steps.runtime.settings.reading import read
from tests.support.fast_imports import first_commit

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE = Path(__file__).parents[1] / "clients/git/host_answers.yaml"
_SERVICES = {"fetch": "git-upload-pack", "push": "git-receive-pack"}


class Answer(BaseModel):
    """An answer of a host, and the exit code and the beginning of the error that git-sync makes of it.

    ``status`` is that of HTTP, or the exit status over SSH. ``reason`` is that of the rejected ref,
    ``unpack`` what the host reports about the pack.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    situation: str
    request: Literal["fetch", "push"] = "push"
    status: int = 1
    exit: Exit
    error: str = ""
    reason: str = ""
    unpack: str = "ok"
    words: str = ""

    @property
    def service(self) -> str:
        return _SERVICES[self.request]

    def differences(self, problem: SyncError) -> list[str]:
        """Return what differs: the exit code, the beginning of the error, each line not quoted once."""
        found = [] if problem.exit is self.exit else [f"exit {int(problem.exit)}"]
        if self.error and not problem.error.startswith(f"{self.error}: "):
            found.append(f"error {problem.error!r}")
        words = [line.removeprefix("remote:").strip(" =") for line in self.words.split("\n")]
        unpack = "" if self.unpack == "ok" else self.unpack.removeprefix("error ")
        wanted = filter(None, (*words, self.reason, unpack))
        return found + [line for line in wanted if problem.error.count(line) != 1]


def host_answers(kind: str) -> list[Answer]:
    """Return the answers of one kind: http, ssh, err_packet or push."""
    return TypeAdapter(list[Answer]).validate_python(_corpus()[kind])


@cache
def _corpus() -> dict[str, Any]:
    corpus: dict[str, Any] = yaml.load(_FILE.read_bytes(), yaml.CSafeLoader)
    return corpus


def failure(settings: Mapping[str, str], work_dir: Path, request: str) -> SyncError:
    """Read the branch ("fetch"), or push to it, and return the error."""
    try:
        with Repository(read(settings).git, work_dir / ".git", work_dir / ".gitconfig") as repository:
            if request == "fetch":
                repository.remote_tip()
            else:
                repository.push(repository.fast_import(first_commit()), None)
    except SyncError as problem:
        return problem
    raise AssertionError("git accepted the answer")
