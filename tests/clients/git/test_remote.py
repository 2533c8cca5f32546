"""What a run does before it downloads: it finds out whether the remote is Git, and accepts pushes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.gitbackend import Reply
from tests.support.repositories import contents, git
from tests.support.steps import FIRST

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.gitbackend import GitRequest
    from tests.support.gitserver import GitServer
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import CommandResult, Sync

PUSH = "git-receive-pack"
NOT_GIT = "the server answered with a web page, not with Git: "


@pytest.fixture
def first_run(over_http: Sync, bucket: Bucket, proxy: S3FaultProxy) -> Sync:
    """A sync of FIRST to an empty repository, which records the objects that it requests."""
    bucket.put_many(FIRST)
    return over_http.with_settings(MINIO_ENDPOINT=proxy.server.endpoint)


def error(outcome: CommandResult) -> str:
    (line,) = [line for line in outcome.lines if line["level"] == "error" and line["operation"][:3] == "git"]
    return str(line["error"])


@pytest.mark.parametrize(
    "page",
    [
        Reply(200, b"", "text/plain"),
        Reply(200, b"<html>maintenance</html>", "text/html"),
        Reply(200, b"<html>\n<body>\nSign in\n</body>\n</html>\n", "text/html"),
        Reply(203, b"<html>\nSign in\n</html>\n", "text/html"),
    ],
    ids=["empty", "line", "page", "azure sign-in"],
)
def test_page_in_place_of_the_refs_is_not_an_empty_repository(
    page: Reply, first_run: Sync, git_server: GitServer, proxy: S3FaultProxy
) -> None:
    git_server.answer = lambda _: page
    for arguments in ("run",), ("run", "--dry-run"):
        outcome = first_run(*arguments)
        assert outcome.exit == 40
        assert error(outcome).startswith(NOT_GIT)
    assert proxy.fetched == []


@pytest.mark.usefixtures("synced")
def test_page_during_publish_is_not_a_branch_that_vanished(
    over_http: Sync, git_server: GitServer, bucket: Bucket, repository: Path
) -> None:
    bucket.put("clusterbackup/east/new.yaml", b"new")
    for step in ("discover", "download", "detect"):
        assert over_http(step).exit == 0
    git_server.answer = lambda _: Reply(200, b"", "text/plain")
    outcome = over_http("publish")
    assert outcome.exit == 40
    assert "no longer exists" not in outcome.text
    assert contents(repository) == FIRST


def test_redirect_to_a_sign_in_page_asks_for_a_new_token(first_run: Sync, git_server: GitServer) -> None:
    location = f"{git_server.url}/_signin?nonce=123&reply_to=/r.git/info/refs"
    git_server.answer = lambda request: (
        Reply(302, b"", headers={"Location": location})
        if "info/refs" in request.target and "_signin" not in request.target
        else Reply(200, b"<html>Sign in</html>", "text/html")
    )
    outcome = first_run()
    assert outcome.exit == 40
    assert error(outcome).startswith("redirected to a sign-in page: ")
    assert f"redirect: {git_server.url}/_signin; has the token expired?" in error(outcome)


def test_https_to_a_port_without_tls_asks_for_http(first_run: Sync, git_server: GitServer) -> None:
    outcome = first_run(GIT_REPOSITORY=git_server.url_for("backups.git").replace("http:", "https:"))
    assert outcome.exit == 40
    assert error(outcome).startswith("not TLS: http?: ")


@pytest.mark.parametrize("branch", ["main", "other"])
def test_sha256_repository_is_refused_before_the_download(
    branch: str, first_run: Sync, git_server: GitServer, proxy: S3FaultProxy
) -> None:
    new = git_server.root / "new.git"
    git(git_server.root, "init", "--quiet", "--bare", "--object-format=sha256", str(new))
    outcome = first_run(GIT_REPOSITORY=git_server.url_for(new), GIT_BRANCH=branch)
    assert outcome.exit == 40
    assert error(outcome).startswith("the repository does not use SHA-1 object ids")
    assert proxy.fetched == []


def test_renamed_repository_is_followed_with_one_warning(
    first_run: Sync, git_server: GitServer, repository: Path
) -> None:
    new, old = git_server.url_for(repository), git_server.url_for("old.git")

    def redirect(request: GitRequest) -> Reply | None:
        if "/old.git/" not in request.target:
            return None
        return Reply(
            301, b"", headers={"Location": git_server.url + request.target.replace("old", "backups")}
        )

    git_server.answer = redirect
    outcome = first_run(GIT_REPOSITORY=old)
    assert outcome.exit == 0
    assert contents(repository) == FIRST
    (line,) = outcome.of("git_clone", "warning")[:1]
    assert line["message"] == "The repository has moved; set GIT_REPOSITORY to its new address"
    assert line["data"]["address"] == f"{new}/"


# -- the proof that pushes are accepted ------------------------------------------------------------


def test_first_run_proves_before_the_download_that_pushes_are_accepted(
    first_run: Sync, git_server: GitServer, proxy: S3FaultProxy
) -> None:
    git_server.answer = lambda request: (
        Reply(403, b"Write access to repository not granted.") if request.service == PUSH else None
    )
    outcome = first_run()
    assert outcome.exit == 40
    assert error(outcome).startswith("not allowed: Write access to repository not granted.")
    assert proxy.fetched == []


def test_dry_run_does_not_need_the_right_to_push(first_run: Sync, git_server: GitServer) -> None:
    git_server.answer = lambda request: 403 if request.service == PUSH else None
    assert first_run("run", "--dry-run").exit == 0


@pytest.mark.usefixtures("synced")
def test_run_with_a_branch_sends_no_request_to_prove_a_push(over_http: Sync, git_server: GitServer) -> None:
    assert over_http().exit == 0
    assert {request.service for request in git_server.requests} == {"git-upload-pack"}
    assert sum(request.method == "POST" for request in git_server.requests) == 3
