"""OpenSSH and Gitolite, where they are installed: what the real servers answer, and what git-sync logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from steps.clients.git.repository import Repository
from steps.errors import SyncError
from steps.runtime.settings.reading import read
from tests.support.fast_imports import first_commit
from tests.support.gitolite import Gitolite, gitolite_available
from tests.support.openssh import OpenSSH, new_key, openssh_server, sshd_available
from tests.support.repositories import bare_repository, install_hook

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sshd_available(), reason="needs sshd (apt-get install openssh-server)"),
]

KEYS = {
    "plain": "",
    "git-shell": 'command="git-shell -c \\"$SSH_ORIGINAL_COMMAND\\""',
    "expired": 'expiry-time="20200101"',
    "other-address": 'from="192.0.2.1"',
    "nologin": 'command="echo This account is currently not available.; exit 1"',
    "false": 'command="false"',
    "no-push": 'command="case $SSH_ORIGINAL_COMMAND in git-receive*) echo Read-only key >&2; exit 1;; esac; '
    'eval $SSH_ORIGINAL_COMMAND"',
}
CONFIGURATION = """
repo open
    RW+ = writer
    R = reader
repo protected
    RW backup = writer
    R = writer
repo secret
    RW+ = admin
repo limited
    RW = writer
    - VREF/COUNT/0 = writer
"""


class Row(NamedTuple):
    """Who asks for which repository, the exit code, and the whole error."""

    key: str
    repository: str
    exit_: int
    error: str


PERMISSION = "Permission denied (publickey).; renew the token (GIT_TOKEN) or the key (SSH_KEY_PATH)"
MISSING = (
    "repository not found: fatal: '{root}/none.git' does not appear to be a git repository; "
    "check GIT_REPOSITORY, and that this identity may read it"
)
FALLTHRU = "DENIED by fallthru; (or you mis-spelled the reponame)"

# The server is OpenSSH 9.2 with Git 2.39. Every key reads, then pushes; the first error counts.
OPENSSH = {
    "missing": Row("plain", "none.git", 40, MISSING),
    "missing, git-shell": Row("git-shell", "none.git", 40, MISSING),
    "unknown key": Row("unknown", "r.git", 40, f"authentication failed: {{user}}@127.0.0.1: {PERMISSION}"),
    "expired key": Row("expired", "r.git", 40, f"authentication failed: {{user}}@127.0.0.1: {PERMISSION}"),
    "key of another address": Row(
        "other-address", "r.git", 40, f"authentication failed: {{user}}@127.0.0.1: {PERMISSION}"
    ),
    "account without a shell": Row(
        "nologin",
        "r.git",
        40,
        "the server answered with text, not with Git: fatal: protocol error: bad line length character: "
        "This; check the login shell of this user there",
    ),
    "shell that ends": Row("false", "r.git", 30, "the server ended the SSH session and gave no reason"),
    "read-only key": Row("no-push", "r.git", 40, "the server refused: Read-only key"),
    "push rule": Row(
        "plain", "ruled.git", 40, "the server refused: no token in a file; pre-receive hook declined"
    ),
    "push rule, git-shell": Row(
        "git-shell", "ruled.git", 40, "the server refused: no token in a file; pre-receive hook declined"
    ),
}

# The server is Gitolite 3.6.12. It answers "missing" and "private" alike.
GITOLITE = {
    "missing": Row("writer", "none", 40, f"the server refused: FATAL: R any none writer {FALLTHRU}"),
    "private": Row("writer", "secret", 40, f"the server refused: FATAL: R any secret writer {FALLTHRU}"),
    "no access": Row("stranger", "open", 40, f"the server refused: FATAL: R any open stranger {FALLTHRU}"),
    "read-only key": Row("reader", "open", 40, f"the server refused: FATAL: W any open reader {FALLTHRU}"),
    "protected branch": Row(
        "writer",
        "protected",
        40,
        "the server refused: FATAL: W refs/heads/main protected writer DENIED by fallthru; "
        "error: hook declined to update refs/heads/main",
    ),
    "push rule": Row(
        "writer",
        "limited",
        40,
        "the server refused: FATAL: W VREF/COUNT/0 limited writer DENIED by VREF/COUNT/0; "
        "(too many changed files in this push); error: hook declined to update refs/heads/main",
    ),
}


def outcome(settings: Mapping[str, str], work_dir: Path) -> tuple[int, str]:
    """Read the branch and push a commit; return the exit code and the error of the first that fails."""
    with Repository(read(settings).git, work_dir / ".git", work_dir / ".gitconfig") as repository:
        try:
            tip = repository.remote_tip()
            repository.push(repository.fast_import(first_commit()), tip)
        except SyncError as problem:
            return problem.exit, problem.error
    return 0, ""


@pytest.fixture(scope="module")
def openssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSH]:
    folder = tmp_path_factory.mktemp("openssh")
    bare_repository(folder / "r.git")
    install_hook(
        bare_repository(folder / "ruled.git"), "pre-receive", "#!/bin/sh\necho no token in a file; exit 1\n"
    )
    with openssh_server(folder, KEYS) as server:
        new_key(folder / "unknown")
        yield server


@pytest.mark.parametrize("name", OPENSSH)
def test_answer_of_openssh_has_an_exit_code_and_an_error(name: str, openssh: OpenSSH, tmp_path: Path) -> None:
    row = OPENSSH[name]
    root = str(openssh.folder)
    settings = openssh.settings(f"{root.lstrip('/')}/{row.repository}", row.key)
    user = settings["GIT_REPOSITORY"].partition("//")[2].partition("@")[0]
    assert outcome(settings, tmp_path) == (row.exit_, row.error.format(root=root, user=user))


def test_openssh_with_a_banner_accepts_a_push(tmp_path: Path) -> None:
    banner = tmp_path / "banner"
    banner.write_text("Authorised use only.\nMaintenance on Sunday.\n", encoding="utf-8")
    bare_repository(tmp_path / "r.git")
    (tmp_path / "server").mkdir()
    with openssh_server(tmp_path / "server", {"plain": ""}, f"Banner {banner}\n") as server:
        path = str(tmp_path).lstrip("/")
        assert outcome(server.settings(f"{path}/r.git", "plain"), tmp_path) == (0, "")
        _, error = outcome(server.settings(f"{path}/none.git", "plain"), tmp_path)
    assert error == MISSING.format(root=tmp_path)


@pytest.fixture(scope="module")
def gitolite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gitolite, OpenSSH]]:
    if not gitolite_available():
        pytest.skip("needs Gitolite (apt-get install gitolite3)")
    folder = tmp_path_factory.mktemp("gitolite")
    site = Gitolite(folder / "home", CONFIGURATION)
    with openssh_server(folder, site.keys(["writer", "reader", "stranger"])) as server:
        yield site, server


@pytest.mark.parametrize("name", GITOLITE)
def test_answer_of_gitolite_has_an_exit_code_and_an_error(
    name: str, gitolite: tuple[Gitolite, OpenSSH], tmp_path: Path
) -> None:
    row = GITOLITE[name]
    _, server = gitolite
    assert outcome(server.settings(row.repository, row.key), tmp_path) == (row.exit_, row.error)


def test_maintenance_of_gitolite_is_transient(gitolite: tuple[Gitolite, OpenSSH], tmp_path: Path) -> None:
    site, server = gitolite
    site.run("writable", "open", "off", "Maintenance until 6:00")
    try:
        answer = outcome(server.settings("open", "writer"), tmp_path)
    finally:
        site.run("writable", "open", "on")
    assert answer == (30, "FATAL: Maintenance until 6:00")
    assert outcome(server.settings("open", "writer"), tmp_path) == (0, "")
