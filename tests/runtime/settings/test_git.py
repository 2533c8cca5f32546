"""Settings of the Git repository: URL, branch, credentials, page of a commit."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from steps.errors import FixConfiguration
from steps.runtime.settings.reading import Needs, read
from tests.runtime.settings.parsing import one_problem, problems, value_of
from tests.support.repositories import git_environment


@pytest.mark.parametrize(
    "branch", ["main", "backups/production-east", "a.b", "größe", "a-b_c", "HEAD2", "x@y", "1"]
)
def test_branch_accepts_usual_names(branch: str) -> None:
    assert value_of("GIT_BRANCH", branch) == branch


branches = st.lists(
    st.sampled_from(
        ["a", "/", ".", "..", "-", "@", "@{", ".lock", "~", "^", ":", "?", "*", "[", "\\", " ", "\x7f", "é"]
    ),
    min_size=1,
    max_size=5,
).map("".join)


@hypothesis_settings(deadline=None)
@given(branches)
def test_git_accepts_every_accepted_branch(branch: str) -> None:
    try:
        accepted = read({"GIT_BRANCH": branch}).delivery.pages.branch
    except FixConfiguration:
        return
    command = ["git", "check-ref-format", f"refs/heads/{accepted}"]
    assert subprocess.run(command, env=git_environment(), check=False).returncode == 0
    assert not accepted.startswith("-")


@pytest.mark.parametrize(
    ("text", "url", "scheme"),
    [
        ("https://github.com/org/repo.git", "https://github.com/org/repo.git", "https"),
        ("https://git.example.com:8443/a/b@c", "https://git.example.com:8443/a/b@c", "https"),
        ("https://[::1]:8443/repo", "https://[::1]:8443/repo", "https"),
        ("ssh://git@github.com/org/repo.git", "ssh://git@github.com/org/repo.git", "ssh"),
        ("ssh://git@host:2222/~/repo", "ssh://git@host:2222/~/repo", "ssh"),
        ("git@github.com:org/repo.git", "git@github.com:org/repo.git", "ssh"),
        ("host:repo", "host:repo", "ssh"),
        ("git@[::1]:repo", "git@[::1]:repo", "ssh"),
        ("/srv/git/repo.git", "file:///srv/git/repo.git", "file"),
        ("file:///srv/git/repo.git", "file:///srv/git/repo.git", "file"),
    ],
)
def test_repository_accepts_the_usual_forms(text: str, url: str, scheme: str) -> None:
    settings = read({"GIT_REPOSITORY": text}).git
    assert (settings.repository, settings.scheme, settings.download_only) == (url, scheme, False)


@pytest.mark.parametrize(
    "text",
    [
        "repo",
        "org/repo",
        "../repo",
        "ftp://host/repo",
        "git://host/repo",
        "HTTPS://host/repo",
        "https://",
        "https:///repo",
        "https://host/repo?token=x",
        "https://host/repo#x",
        "https://host/re po",
        "\n",
        "\u200b",
        "https://host/re\u00a0po",
        "ssh://git@host:org/repo",
        "https://[::1/repo",
        "ext::sh -c true",
        "--upload-pack=x",
        "git@host:-oProxyCommand=x",
        " ",
        "ext::sh",
        "fd::17",
    ],
)
def test_repository_rejects_other_text(text: str) -> None:
    assert one_problem("GIT_REPOSITORY", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "git@host:2222/org/repo",
            "2222 would be a directory; write ssh://git@host:2222/org/repo for a port, or ssh://git@host/2222/org/repo",
        ),
        (
            "host:22/repo",
            "22 would be a directory; write ssh://host:22/repo for a port, or ssh://host/22/repo",
        ),
        ("ssh://git@host:org/repo", "is not a URL; write ssh://user@host/path or user@host:path"),
    ],
)
def test_repository_names_the_right_spelling_of_a_port(text: str, expected: str) -> None:
    assert one_problem("GIT_REPOSITORY", text) == expected


@pytest.mark.parametrize("text", ["clusterbackup /x", "a/ b", "a / b"])
def test_path_rejects_white_space_around_a_slash(text: str) -> None:
    assert one_problem("GIT_PATH", text) == "must not have white space around a slash"


def test_branch_rejects_a_full_ref() -> None:
    assert "is not a branch name" in one_problem("GIT_BRANCH", "refs/heads/main")


@pytest.mark.parametrize(
    "text",
    [
        "https://s3cr3t@github.com/org/repo.git",
        "https://user:s3cr3t@github.com/org/repo.git",
        "https://:s3cr3t@github.com/org/repo.git",
        "https://user:s3cr3t@@github.com/org/repo.git",
        "http://user:s3cr3t@host/repo",
        "ssh://git:s3cr3t@host/repo",
        "file://user:s3cr3t@/repo",
        "ftp://user:s3cr3t@host/repo",
        "https://user:s3cr3t@host/re po",
        "https://user:s3cr3t@host/repo?x#y",
        "https://user:s3cr3t@[::1/repo",
        "https://user:s3cr3t\u2100@host/repo",
        "https://user:s3cr3t/s3cr3t@host/repo",
        "user:s3cr3t@host:repo",
        "oauth2:s3cr3t@github.com/org/repo.git",
    ],
)
def test_repository_rejects_credentials_and_does_not_show_them(text: str) -> None:
    with pytest.raises(FixConfiguration) as caught:
        read({"GIT_REPOSITORY": text, "LOG_LEVEL": "loud"}, Needs.GIT)
    assert "GIT_REPOSITORY: " in caught.value.error
    assert "s3cr3t" not in f"{caught.value!s}{caught.value!r}{caught.value.error}{caught.value.__cause__}"
    context = caught.value.__context__
    assert "s3cr3t" not in f"{context!s}{context!r}"


def test_http_repository_requires_git_allow_http() -> None:
    environ = {"GIT_REPOSITORY": "http://gitea.local/org/repo", "GIT_TOKEN": "t"}
    for refusing in (environ, environ | {"GIT_ALLOW_HTTP": "false"}):
        reported = problems(refusing, Needs.GIT)
        assert list(reported) == ["GIT_REPOSITORY"]
        assert "GIT_ALLOW_HTTP=true" in reported["GIT_REPOSITORY"]
    assert read(environ | {"GIT_ALLOW_HTTP": "yes"}, Needs.GIT).git.scheme == "http"


@pytest.mark.parametrize(
    ("repository", "page"),
    [
        ("https://git.example.com/org/backups.git", "https://git.example.com/org/backups/commit/0a"),
        ("https://git.example.com:8443/org/backups/", "https://git.example.com:8443/org/backups/commit/0a"),
        ("git@git.example.com:org/backups.git", "https://git.example.com/org/backups/commit/0a"),
        ("ssh://git@git.example.com:2222/org/backups.git", "https://git.example.com/org/backups/commit/0a"),
        ("ssh://git.example.com/org/backups", "https://git.example.com/org/backups/commit/0a"),
        ("file:///srv/backups.git", None),
        ("/srv/backups.git", None),
    ],
)
def test_commit_page_is_derived_from_the_repository(repository: str, page: str | None) -> None:
    assert read({"GIT_REPOSITORY": repository}).delivery.pages.commit_page("0a") == page
