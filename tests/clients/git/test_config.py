"""Access to the remote: HTTPS with a token and a private CA, SSH with a key."""

from __future__ import annotations

import re
from shutil import which
from typing import TYPE_CHECKING

import pytest

from steps.clients.git.config import token_user
from steps.runtime.settings.reading import read
from tests.support.gitserver import https_git_server
from tests.support.repositories import commit_files, contents
from tests.support.sshserver import ssh_git_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import trustme

    from tests.support.bucket import Bucket
    from tests.support.gitserver import GitServer
    from tests.support.sshserver import SSHServer
    from tests.support.sync import Sync

TOKEN = "glpat-CANARY_7f3b/+x%40"
OBJECTS = {"clusterbackup/east/a.yaml": b"a", "clusterbackup/west/b.yaml": b"b"}


@pytest.fixture
def server(repository: Path, ca: trustme.CA) -> Iterator[GitServer]:
    with https_git_server(repository.parent, ca, TOKEN) as running:
        yield running


@pytest.fixture
def https(sync: Sync, server: GitServer, repository: Path, bucket: Bucket) -> Sync:
    bucket.put_many(OBJECTS)
    return sync.with_settings(
        GIT_REPOSITORY=server.url_for(repository), GIT_TOKEN=TOKEN, GIT_CA_FILE=str(server.ca_file)
    )


def test_https_works_with_a_token_and_a_private_ca(
    https: Sync, server: GitServer, bucket: Bucket, repository: Path
) -> None:
    assert https().exit == 0
    assert contents(repository) == OBJECTS
    bucket.put("clusterbackup/east/a.yaml", b"changed")
    assert https().exit == 0
    assert contents(repository) == OBJECTS | {"clusterbackup/east/a.yaml": b"changed"}
    assert server.user_names == {"git-sync"}


def test_replan_fetches_blobs_by_id_over_https(https: Sync, bucket: Bucket, repository: Path) -> None:
    https()
    bucket.put("clusterbackup/east/a.yaml", b"changed")
    for step in ("discover", "download", "detect"):
        assert https(step).exit == 0
    commit_files(repository, {"clusterbackup/west/b.yaml": b"theirs"})
    assert https("publish").exit == 0
    assert contents(repository) == OBJECTS | {"clusterbackup/east/a.yaml": b"changed"}


def test_git_token_user_overrides_the_user_name(https: Sync, server: GitServer) -> None:
    assert https(GIT_TOKEN_USER="deploy-token-1").exit == 0
    assert server.user_names == {"deploy-token-1"}


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("https://github.com/o/r.git", "x-access-token"),
        ("https://gitlab.example.com/o/r.git", "oauth2"),
        ("https://gitea.example.com/o/r.git", "git-sync"),
    ],
)
def test_token_user_follows_the_convention_of_the_host(url: str, user: str) -> None:
    assert token_user(read({"GIT_REPOSITORY": url}).git) == user


def test_token_file_is_read_at_each_use(
    https: Sync, server: GitServer, bucket: Bucket, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    filed = https.with_settings(GIT_TOKEN_FILE=str(file), GIT_TOKEN="")
    assert filed().exit == 0
    server.token = "rotated-token-2"
    file.write_text("rotated-token-2")
    bucket.put("clusterbackup/east/a.yaml", b"changed")
    assert filed().exit == 0


def test_wrong_token_is_an_authentication_failure(https: Sync) -> None:
    outcome = https(GIT_TOKEN="expired")
    assert outcome.exit == 40
    (line,) = outcome.of("git_clone", "error")
    assert line["error"].startswith("authentication failed")


def test_read_only_token_fails_at_the_push(https: Sync, server: GitServer) -> None:
    server.anonymous_read = True
    outcome = https(GIT_TOKEN="read-only")
    assert outcome.exit == 40
    (line,) = outcome.of("git_push", "error")
    assert line["message"] == "Failed to push to repository"
    assert line["error"].startswith("authentication failed")


def test_missing_repository_is_a_configuration_error(https: Sync, server: GitServer) -> None:
    outcome = https(GIT_REPOSITORY=server.url_for("nothing-here.git"))
    assert outcome.exit == 40
    assert "repository not found" in outcome.errors


def test_untrusted_certificate_is_a_configuration_error(https: Sync) -> None:
    outcome = https(GIT_CA_FILE="")
    assert outcome.exit == 40
    assert "certificate" in outcome.errors


def test_unreachable_server_is_a_transient_error(https: Sync) -> None:
    assert https(GIT_REPOSITORY="https://127.0.0.1:1/x.git").exit == 30


# -- SSH ------------------------------------------------------------------------------------------

needs_ssh = pytest.mark.skipif(
    which("ssh") is None, reason="no ssh client here: apt-get install openssh-client"
)


@pytest.fixture
def ssh_server(repository: Path) -> Iterator[SSHServer]:
    with ssh_git_server(repository.parent) as running:
        yield running


@pytest.fixture
def ssh(sync: Sync, ssh_server: SSHServer, repository: Path, bucket: Bucket) -> Sync:
    bucket.put_many(OBJECTS)
    return sync.with_settings(
        GIT_REPOSITORY=ssh_server.url_for(repository),
        SSH_KEY_PATH=str(ssh_server.key_path),
        SSH_KNOWN_HOSTS_PATH=str(ssh_server.known_hosts_path),
    )


@needs_ssh
def test_ssh_works_with_a_key(ssh: Sync, bucket: Bucket, repository: Path) -> None:
    assert ssh().exit == 0
    bucket.put("clusterbackup/east/a.yaml", b"changed")
    assert ssh().exit == 0
    assert contents(repository) == OBJECTS | {"clusterbackup/east/a.yaml": b"changed"}


@needs_ssh
def test_ssh_refuses_an_unknown_host_key(ssh: Sync, ssh_server: SSHServer) -> None:
    outcome = ssh(SSH_KNOWN_HOSTS_PATH=str(ssh_server.wrong_known_hosts_path))
    assert outcome.exit == 40
    (line,) = outcome.of("git_clone", "error")
    assert re.fullmatch(
        r"host key verification failed: the ED25519 key of \[127.0.0.1\]:\d+ has changed to "
        rf"SHA256:[\w+/]{{43}}, and line 1 of {ssh_server.wrong_known_hosts_path} has another one; "
        "compare the fingerprint, then correct SSH_KNOWN_HOSTS_PATH",
        line["error"],
    )
    assert line["data"] == {"repository": ssh.settings["GIT_REPOSITORY"], "branch": "main"}
    assert ssh_server.commands == []


@needs_ssh
def test_ssh_names_a_host_without_a_known_key(ssh: Sync, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("other.example.com ssh-ed25519 AAAA\n")
    (line,) = ssh(SSH_KNOWN_HOSTS_PATH=str(known_hosts)).of("git_clone", "error")
    assert line["error"].startswith(
        "host key verification failed: No ED25519 host key is known for [127.0.0.1]"
    )
    assert "; compare the fingerprint" in line["error"]


@needs_ssh
def test_ssh_key_unknown_to_the_server_is_an_authentication_failure(ssh: Sync, ssh_server: SSHServer) -> None:
    outcome = ssh(SSH_KEY_PATH=str(ssh_server.other_key_path))
    assert outcome.exit == 40
    assert "authentication failed" in outcome.errors


@needs_ssh
def test_ssh_key_readable_by_others_asks_for_chmod_600(
    ssh: Sync, ssh_server: SSHServer, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_bytes(ssh_server.key_path.read_bytes())
    key.chmod(0o644)
    outcome = ssh(SSH_KEY_PATH=str(key))
    assert outcome.exit == 40
    assert "chmod 600" in outcome.errors


@needs_ssh
@pytest.mark.parametrize(
    "damage",
    [lambda key: key.replace(b"\n", b"\r\n"), lambda key: key.rstrip(), lambda key: b"\xef\xbb\xbf" + key],
    ids=["CRLF", "no last line feed", "BOM"],
)
def test_ssh_uses_a_repaired_copy_of_the_key(
    damage: Callable[[bytes], bytes], ssh: Sync, ssh_server: SSHServer, repository: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_bytes(damage(ssh_server.key_path.read_bytes()))
    before = key.read_bytes()
    assert ssh(SSH_KEY_PATH=str(key)).exit == 0
    assert contents(repository) == OBJECTS
    assert key.read_bytes() == before


@needs_ssh
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "cannot be used: the file is empty"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n", "is not complete"),
        (b"ssh-ed25519 AAAA bot\n", "is a public key"),
        (
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIC\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "has a passphrase",
        ),
    ],
    ids=["empty", "truncated", "public", "passphrase"],
)
def test_ssh_key_that_cannot_work_is_named_before_the_first_connection(
    text: bytes, words: str, ssh: Sync, ssh_server: SSHServer, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_bytes(text)
    outcome = ssh(SSH_KEY_PATH=str(key))
    assert outcome.exit == 40
    assert f"SSH_KEY_PATH: {key} {words}" in outcome.errors
    assert ssh_server.commands == []


@pytest.mark.parametrize(
    "text",
    [f"{TOKEN} \n", f"\ufeff{TOKEN}\r\n", f"\n\n\t{TOKEN}", f"\ufeff\n {TOKEN}\nanother line\n"],
    ids=["space after it", "BOM and CRLF", "blank lines", "all"],
)
def test_token_file_is_read_as_the_variable_is(text: str, https: Sync, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    outcome = https(GIT_TOKEN_FILE=str(file), GIT_TOKEN="", LOG_LEVEL="debug")
    assert outcome.exit == 0
    assert TOKEN not in outcome.text


@pytest.mark.parametrize("text", ["", "\n", "\ufeff \n"])
@pytest.mark.parametrize("name", ["GIT_TOKEN_FILE", "GIT_CA_FILE", "MINIO_CA_FILE"])
def test_empty_file_of_a_setting_is_named(name: str, text: str, https: Sync, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    token = "" if name == "GIT_TOKEN_FILE" else TOKEN
    outcome = https(**{"GIT_TOKEN": token, name: str(file)})
    assert outcome.exit == 40
    assert f"{name}: {file} cannot be used: the file is empty" in outcome.errors
