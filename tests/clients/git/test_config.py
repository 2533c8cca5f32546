"""HTTPS with a token, SSH with a key; and the secrets stay where they are."""

from __future__ import annotations

from shutil import which
from typing import TYPE_CHECKING

import pytest

from steps.clients.git.config import token_user
from steps.runtime.settings.reading import read
from tests.support.bucket import Bucket, new_bucket
from tests.support.gitserver import https_git_server
from tests.support.receiver import receiver
from tests.support.repositories import bare_repository, commit_files, contents
from tests.support.s3 import moto_server
from tests.support.sshserver import ssh_git_server
from tests.support.sync import Sync
from tests.support.tunnel import tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import trustme

    from tests.support.gitserver import GitServer
    from tests.support.sshserver import SSHServer

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


def test_https_with_a_token_and_an_own_ca(
    https: Sync, server: GitServer, bucket: Bucket, repository: Path
) -> None:
    assert https().exit == 0
    assert contents(repository) == OBJECTS
    bucket.put("clusterbackup/east/a.yaml", b"changed")
    assert https().exit == 0
    assert contents(repository) == OBJECTS | {"clusterbackup/east/a.yaml": b"changed"}
    assert server.user_names == {"git-sync"}


def test_bytes_are_taken_by_id_over_https(https: Sync, bucket: Bucket, repository: Path) -> None:
    https()
    bucket.put("clusterbackup/east/a.yaml", b"changed")
    for step in ("discover", "download", "detect"):
        assert https(step).exit == 0
    commit_files(repository, {"clusterbackup/west/b.yaml": b"theirs"})
    assert https("publish").exit == 0
    assert contents(repository) == OBJECTS | {"clusterbackup/east/a.yaml": b"changed"}


def test_the_tokens_user_name_can_be_chosen(https: Sync, server: GitServer) -> None:
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
def test_the_user_name_follows_the_hosts_convention(url: str, user: str) -> None:
    assert token_user(read({"GIT_REPOSITORY": url}).git) == user


def test_a_token_file_is_read_anew_at_each_use(
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


def test_a_wrong_token_is_an_authentication_failure(https: Sync) -> None:
    said = https(GIT_TOKEN="expired")
    assert said.exit == 40
    (line,) = said.of("git_clone", "error")
    assert line["error"].startswith("authentication failed")


def test_a_token_that_may_only_read_fails_at_the_push(https: Sync, server: GitServer) -> None:
    server.anonymous_read = True
    said = https(GIT_TOKEN="read-only")
    assert said.exit == 40
    (line,) = said.of("git_push", "error")
    assert line["message"] == "Failed to push to repository"
    assert line["error"].startswith("authentication failed")


def test_a_missing_repository_needs_a_person(https: Sync, server: GitServer) -> None:
    said = https(GIT_REPOSITORY=server.url_for("nothing-here.git"))
    assert said.exit == 40
    assert "repository not found" in said.errors


def test_a_certificate_that_nobody_vouches_for_needs_a_person(https: Sync) -> None:
    said = https(GIT_CA_FILE="")
    assert said.exit == 40
    assert "certificate" in said.errors


def test_a_server_that_is_down_may_come_back(https: Sync) -> None:
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
def test_ssh_with_a_key(ssh: Sync, bucket: Bucket, repository: Path) -> None:
    assert ssh().exit == 0
    bucket.put("clusterbackup/east/a.yaml", b"changed")
    assert ssh().exit == 0
    assert contents(repository) == OBJECTS | {"clusterbackup/east/a.yaml": b"changed"}


@needs_ssh
def test_an_unknown_host_key_is_refused(ssh: Sync, ssh_server: SSHServer) -> None:
    said = ssh(SSH_KNOWN_HOSTS_PATH=str(ssh_server.wrong_known_hosts_path))
    assert said.exit == 40
    assert "host key verification failed" in said.errors
    assert ssh_server.commands == []


@needs_ssh
def test_a_key_that_the_server_does_not_know_is_an_authentication_failure(
    ssh: Sync, ssh_server: SSHServer
) -> None:
    said = ssh(SSH_KEY_PATH=str(ssh_server.other_key_path))
    assert said.exit == 40
    assert "authentication failed" in said.errors


@needs_ssh
def test_a_key_that_others_may_read_is_named(ssh: Sync, ssh_server: SSHServer, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(ssh_server.key_path.read_bytes())
    key.chmod(0o644)
    said = ssh(SSH_KEY_PATH=str(key))
    assert said.exit == 40
    assert "chmod 600" in said.errors


# -- the bucket over TLS --------------------------------------------------------------------------


def test_the_bucket_over_https_with_an_own_ca(tmp_path: Path, ca: trustme.CA) -> None:
    with moto_server(tls=ca) as server:
        bucket = new_bucket(server)
        bucket.put_many(OBJECTS)
        repository = bare_repository(tmp_path / "r.git")
        secure = Sync.between(bucket, repository, tmp_path / "w")
        assert secure(MINIO_CA_FILE=str(server.ca_file)).exit == 0
        assert contents(repository) == OBJECTS
        said = secure()
        assert said.exit == 40
        assert "TLS" in said.of("minio_connect", "error")[0]["error"]


@pytest.mark.parametrize(
    ("login", "spelt"), [("", ""), ("us er:p@ss/w:rd", "us%20er:p%40ss%2Fw%3Ard@")], ids=["open", "password"]
)
def test_a_proxy_is_used_for_bucket_git_and_webhook_but_for_what_is_excepted(
    login: str, spelt: str, tmp_path: Path, ca: trustme.CA
) -> None:
    repository = bare_repository(tmp_path / "r.git")
    with (
        moto_server(tls=ca) as s3,
        https_git_server(tmp_path, ca, TOKEN) as git,
        receiver(tls=ca) as hook,
        tunnel(login) as proxy,
    ):
        bucket = new_bucket(s3)
        bucket.put_many(OBJECTS)
        through = Sync.between(bucket, repository, tmp_path / "w").with_settings(
            MINIO_CA_FILE=str(s3.ca_file),
            GIT_REPOSITORY=git.url_for(repository),
            GIT_TOKEN=TOKEN,
            GIT_CA_FILE=str(git.ca_file),
            WEBHOOK_URL=f"{hook.url}/hook",
            WEBHOOK_CA_FILE=str(git.ca_file),
            HTTPS_PROXY=proxy.url.replace("//", f"//{spelt}"),
        )
        said = through()
        assert (said.exit, said.errors) == (0, "")
        assert contents(repository) == OBJECTS
        assert set(proxy.asked) == {s3.endpoint, *(u.removeprefix("https://") for u in (git.url, hook.url))}
        proxy.asked.clear()
        assert through(NO_PROXY="127.0.0.1").exit == 0
        assert proxy.asked == []
        assert through(HTTPS_PROXY="http://127.0.0.1:1").exit == 30
        assert not login or "407" in through(HTTPS_PROXY=proxy.url).errors
