"""HTTPS with a token, SSH with a key; and the secrets stay where they are."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import pytest

from steps.clients.git_access import token_user
from steps.settings import read
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
    assert token_user(read({"GIT_REPOSITORY": url})) == user


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


def test_the_token_follows_no_redirect(
    https: Sync, server: GitServer, repository: Path, ca: trustme.CA
) -> None:
    with https_git_server(repository.parent, ca, TOKEN) as other:
        server.redirect_to = other.url
        said = https()
        assert said.exit == 40
        assert other.requests
        assert other.authorizations == []


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


def test_a_proxy_is_used_for_the_bucket_and_for_git_but_for_what_is_excepted(
    tmp_path: Path, ca: trustme.CA
) -> None:
    repository = bare_repository(tmp_path / "r.git")
    with moto_server(tls=ca) as s3, https_git_server(tmp_path, ca, TOKEN) as git, tunnel() as proxy:
        bucket = new_bucket(s3)
        bucket.put_many(OBJECTS)
        through = Sync.between(bucket, repository, tmp_path / "w").with_settings(
            MINIO_CA_FILE=str(s3.ca_file),
            GIT_REPOSITORY=git.url_for(repository),
            GIT_TOKEN=TOKEN,
            GIT_CA_FILE=str(git.ca_file),
            HTTPS_PROXY=proxy.url,
        )
        assert through().exit == 0
        assert contents(repository) == OBJECTS
        assert set(proxy.asked) == {s3.endpoint, git.url.removeprefix("https://")}
        proxy.asked.clear()
        assert through(NO_PROXY="127.0.0.1").exit == 0
        assert proxy.asked == []
        assert through(HTTPS_PROXY="http://127.0.0.1:1").exit == 30


def test_a_proxy_that_wants_a_password_gets_it_from_git_and_every_client(
    tmp_path: Path, ca: trustme.CA
) -> None:
    repository = bare_repository(tmp_path / "r.git")
    with (
        moto_server(tls=ca) as s3,
        https_git_server(tmp_path, ca, TOKEN) as git,
        receiver(tls=ca) as hook,
        tunnel("us er:p@ss/w:rd") as proxy,
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
            HTTPS_PROXY=proxy.url.replace("//", "//us%20er:p%40ss%2Fw%3Ard@"),
        )
        said = through()
        assert (said.exit, said.errors) == (0, "")
        assert contents(repository) == OBJECTS
        assert set(proxy.asked) == {s3.endpoint, *(url.removeprefix("https://") for url in (git.url, hook.url))}
        assert "407" in through(HTTPS_PROXY=proxy.url).errors


# -- secrets --------------------------------------------------------------------------------------


def test_no_secret_is_seen_anywhere(https: Sync, server: GitServer, bucket: Bucket, tmp_path: Path) -> None:
    """Sampled from /proc while it runs, searched for in all that it leaves and says."""
    bucket.put_many({f"clusterbackup/east/{number}.yaml": b"x" * 1000 for number in range(200)})
    server.before = lambda _: time.sleep(0.05)  # git and its helpers live long enough to be seen
    secrets = [TOKEN, https.settings["MINIO_ACCESS_KEY"], https.settings["MINIO_SECRET_KEY"]]
    process = https.start("run", LOG_LEVEL="debug", TMPDIR=str(tmp_path))
    seen: dict[str, bytes] = {}
    sampler = threading.Thread(target=_sample, args=(process.pid, seen))
    sampler.start()
    out, err = process.communicate()
    sampler.join()
    assert process.returncode == 0
    assert any("git-remote-https" in place for place in seen), "the sampling has seen git's helper"
    for place, content in seen.items():
        assert not [secret for secret in secrets if secret.encode() in content], place
    for secret in secrets:
        assert secret not in out + err
        assert json.dumps(secret)[1:-1] not in out + err
    for path in [*https.work_dir.rglob("*"), *tmp_path.rglob("*")]:
        if path.is_file():
            assert not [s for s in secrets if s.encode() in path.read_bytes()], path


def _sample(pid: int, seen: dict[str, bytes]) -> None:
    """Collect the arguments and environments of all descendants of ``pid`` while it lives."""
    while Path(f"/proc/{pid}/exe").exists():
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if _descends(int(process.name), pid):
                    arguments = (process / "cmdline").read_bytes()
                    if b"steps\0run" in arguments:
                        continue  # a fork of git-sync itself that has not become git yet
                    environment = (process / "environ").read_bytes()
                    seen[f"{process.name} {arguments[:60].decode(errors='replace')}"] = (
                        arguments + environment
                    )
            except OSError:
                continue
        time.sleep(0.002)


def _descends(pid: int, ancestor: int) -> bool:
    while pid > 1:
        parent = re.search(r"PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        pid = int(parent[1]) if parent else 0
        if pid == ancestor:
            return True
    return False


def test_secrets_are_in_no_error(https: Sync) -> None:
    for broken in (
        {"GIT_REPOSITORY": f"https://user:{TOKEN}@127.0.0.1/x.git"},
        {"GIT_REPOSITORY": f"https://{TOKEN}@127.0.0.1/x.git"},
        {"MINIO_ENDPOINT": "127.0.0.1:1", "LOG_LEVEL": "debug"},
        {"GIT_REPOSITORY": "https://127.0.0.1:1/x.git", "LOG_LEVEL": "debug"},
        {"MINIO_BUCKET": "!", "LOG_LEVEL": "debug"},
        {"WORK_DIR": "/proc/nowhere", "LOG_LEVEL": "debug"},
    ):
        said = https(**broken)
        assert said.exit in {30, 40}
        for secret in (TOKEN, https.settings["MINIO_SECRET_KEY"], https.settings["MINIO_ACCESS_KEY"]):
            assert secret not in said.text, broken
