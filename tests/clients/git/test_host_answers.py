"""What Git hosts answer, played to the real git over HTTP and SSH: the exit code and the message of each."""

from __future__ import annotations

from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from steps.clients.git.errors import PushRefused
from steps.clients.git.repository import Repository
from steps.core.exit_codes import Exit
from steps.errors import SyncError
from steps.runtime import redaction
from steps.runtime.settings.reading import read
from tests.support.fast_imports import first_commit
from tests.support.git_answers import err_packet, rejection
from tests.support.gitbackend import Reply
from tests.support.gitserver import http_git_server
from tests.support.repositories import bare_repository
from tests.support.sshserver import ssh_git_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.gitbackend import GitRequest
    from tests.support.gitserver import GitServer
    from tests.support.sshserver import SSHServer

TOKEN = "the-token"
SERVICES = {"fetch": "git-upload-pack", "push": "git-receive-pack"}


class Answer(BaseModel):
    """An answer of a host, and the exit code and the beginning of the error that git-sync makes of it.

    ``status`` is that of HTTP, or the exit status over SSH. ``reason`` is that of the rejected ref.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    situation: str
    request: Literal["fetch", "push"] = "push"
    status: int = 1
    exit: Exit
    error: str = ""
    reason: str = ""
    words: str = ""

    @property
    def service(self) -> str:
        return SERVICES[self.request]


def answers(kind: str) -> pytest.MarkDecorator:
    """Return the parametrization of a test over the answers of one kind in host_answers.yaml."""
    text = Path(__file__).with_name("host_answers.yaml").read_text(encoding="utf-8")
    rows = TypeAdapter(list[Answer]).validate_python(yaml.safe_load(text)[kind])
    cases = [pytest.param(row, id=f"{row.host}-{row.situation}".replace(" ", "-")) for row in rows]
    return pytest.mark.parametrize("answer", cases)


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the secrets of earlier tests in this process; a host may print the same words."""
    monkeypatch.setattr(redaction, "_secrets", list)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hosts")
    bare_repository(root / "r.git")
    return root


@pytest.fixture(scope="module")
def web(root: Path) -> Iterator[GitServer]:
    with http_git_server(root, TOKEN) as server:
        yield server


@pytest.fixture(scope="module")
def sshd(root: Path) -> Iterator[SSHServer]:
    with ssh_git_server(root) as server:
        yield server


def failure(settings: Mapping[str, str], work_dir: Path, answer: Answer) -> SyncError:
    """Read the branch, or push to it, and return the error."""
    with Repository(read(settings).git, work_dir / ".git", work_dir / ".gitconfig") as repository:
        try:
            if answer.request == "fetch":
                repository.remote_tip()
            else:
                repository.push(repository.fast_import(first_commit()), None)
        except SyncError as problem:
            return problem
    raise AssertionError("git accepted the answer")


def over_http(web: GitServer, work_dir: Path, answer: Answer, reply: Reply) -> SyncError:
    method = "POST" if answer.reason else "GET"

    def respond(request: GitRequest) -> Reply | None:
        return reply if request.service == answer.service and request.method == method else None

    web.answer = respond
    settings = {"GIT_REPOSITORY": web.url_for("r.git"), "GIT_TOKEN": TOKEN, "GIT_ALLOW_HTTP": "true"}
    return failure(settings, work_dir, answer)


def check(problem: SyncError, answer: Answer) -> None:
    """Check the exit code and the error, which has each line of the host exactly once."""
    assert problem.exit is answer.exit, problem
    assert problem.error.startswith(f"{answer.error}: " if answer.error else "")
    words = [line.removeprefix("remote:").strip(" =") for line in answer.words.split("\n")]
    assert [line for line in (*words, answer.reason) if line and problem.error.count(line) != 1] == []


@answers("http")
def test_http_status_decides_and_the_words_of_the_host_are_quoted(
    answer: Answer, web: GitServer, tmp_path: Path
) -> None:
    headers = {"WWW-Authenticate": 'Basic realm="git"'} if answer.status == 401 else {}
    reply = Reply(answer.status, answer.words.encode(), headers=headers)
    check(over_http(web, tmp_path, answer, reply), answer)


@answers("err_packet")
def test_err_packet_fails_for_good_unless_its_words_are_passing(
    answer: Answer, web: GitServer, tmp_path: Path
) -> None:
    check(over_http(web, tmp_path, answer, err_packet(answer.service, answer.words)), answer)


@answers("push")
def test_rejected_push_is_refused_unless_the_words_of_the_host_are_passing(
    answer: Answer, web: GitServer, tmp_path: Path
) -> None:
    problem = over_http(web, tmp_path, answer, rejection("refs/heads/main", answer.words, answer.reason))
    check(problem, answer)
    assert isinstance(problem, PushRefused) is (answer.error == "the server refused")


@pytest.mark.skipif(which("ssh") is None, reason="no ssh client here: apt-get install openssh-client")
@answers("ssh")
def test_host_that_ends_the_ssh_session_with_words_refuses_unless_they_are_passing(
    answer: Answer, sshd: SSHServer, tmp_path: Path
) -> None:
    sshd.answers.clear()
    sshd.answers[answer.service] = (answer.words, answer.status)
    settings = {
        "GIT_REPOSITORY": sshd.url_for("r.git"),
        "SSH_KEY_PATH": str(sshd.key_path),
        "SSH_KNOWN_HOSTS_PATH": str(sshd.known_hosts_path),
    }
    check(failure(settings, tmp_path, answer), answer)
