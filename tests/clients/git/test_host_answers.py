"""What Git hosts answer, played to the real git over HTTP and SSH: the exit code and the message of each."""

from __future__ import annotations

from shutil import which
from typing import TYPE_CHECKING

import pytest

from steps.clients.git.errors import PushRefused
from steps.runtime import redaction
from tests.support.git_answers import err_packet, rejection
from tests.support.gitbackend import Reply
from tests.support.gitserver import http_git_server
from tests.support.host_answers import failure, host_answers
from tests.support.repositories import bare_repository
from tests.support.sshserver import ssh_git_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from steps.errors import SyncError
    from tests.support.gitbackend import GitRequest
    from tests.support.gitserver import GitServer
    from tests.support.host_answers import Answer
    from tests.support.sshserver import SSHServer

TOKEN = "the-token"


def answers(kind: str) -> pytest.MarkDecorator:
    """Return the parametrization of a test over the answers of one kind in host_answers.yaml."""
    cases = [
        pytest.param(row, id=f"{row.host}-{row.situation}".replace(" ", "-")) for row in host_answers(kind)
    ]
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


def over_http(web: GitServer, work_dir: Path, answer: Answer, reply: Reply) -> SyncError:
    method = "POST" if answer.reason else "GET"

    def respond(request: GitRequest) -> Reply | None:
        return reply if request.service == answer.service and request.method == method else None

    web.answer = respond
    settings = {"GIT_REPOSITORY": web.url_for("r.git"), "GIT_TOKEN": TOKEN, "GIT_ALLOW_HTTP": "true"}
    return failure(settings, work_dir, answer.request)


def check(problem: SyncError, answer: Answer) -> None:
    assert answer.differences(problem) == [], problem


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
    problem = over_http(
        web, tmp_path, answer, rejection("refs/heads/main", answer.words, answer.reason, answer.unpack)
    )
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
    check(failure(settings, tmp_path, answer.request), answer)
