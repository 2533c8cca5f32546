"""The source of commits: a clone, or the configured repository over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.errors import FixConfiguration, SyncError, TryAgain
from steps.history.snapshot import cluster_rows, read_files
from steps.history.source import LocalSource, remote_source
from steps.runtime.retry import RetryPolicy
from steps.runtime.settings.git import GitSettings
from tests.support.backups import Backups
from tests.support.gitserver import http_git_server
from tests.support.repositories import git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from steps.history.source import Source
    from tests.support.gitserver import GitServer

ONCE = RetryPolicy(1, 0.01)


@pytest.fixture(params=[True, False], ids=["partial", "whole"])
def backups(request: pytest.FixtureRequest, tmp_path: Path) -> Backups:
    """Three commits, on a host with or without partial clone."""
    found = Backups.at(tmp_path / "backups.git", partial_clone=request.param)
    found.sync("2025-07-10", {f"east/{n}.yaml": b"n: %d\n" % n for n in range(40)})
    found.sync("2025-07-11", {"east/0.yaml": b"changed: 1\n", "west/0.yaml": b"x: 1\n"})
    found.sync("2025-07-12", {"east/1.yaml": None})
    return found


@pytest.fixture
def server(backups: Backups) -> Iterator[GitServer]:
    with http_git_server(backups.directory.parent, "the-token") as running:
        yield running


def settings(server: GitServer, backups: Backups, **others: object) -> GitSettings:
    return GitSettings.model_validate(
        {
            "GIT_REPOSITORY": server.url_for(backups.directory),
            "GIT_TOKEN": "the-token",
            "GIT_ALLOW_HTTP": True,
            **others,
        }
    )


def contents(source: Source, commit: str) -> dict[bytes, bytes]:
    objects = source.with_trees([commit])
    rows = cluster_rows(objects, commit, source.path, "east")
    return {one.path: one.content for one in read_files(source, objects, rows)}


def fetches(server: GitServer) -> int:
    return sum(request.method == "POST" for request in server.requests)


def test_remote_source_has_all_commits_and_the_files_of_the_chosen_one(
    backups: Backups, server: GitServer
) -> None:
    with remote_source(settings(server, backups), ONCE) as source:
        assert [commit.oid for commit in source.commits()] == backups.commits[::-1]
        assert [commit.oid for commit in source.commits(backups.commits[1])] == backups.commits[1::-1]
        found = contents(source, backups.commits[1])
        assert len(found) == 40
        assert found[b"east/0.yaml"] == b"changed: 1\n"
        assert found[b"east/1.yaml"] == b"n: 1\n"
        assert len(contents(source, backups.commits[2])) == 39


def test_files_are_fetched_in_two_requests_and_not_one_by_one(backups: Backups, server: GitServer) -> None:
    is_partial = git(backups.directory, "config", "uploadpack.allowFilter") == b"true\n"
    with remote_source(settings(server, backups), ONCE) as source:
        opened = fetches(server)
        contents(source, backups.commits[1])
        # One for the trees, one for the files.
        assert fetches(server) - opened == (2 if is_partial else 0)
    assert {request.service for request in server.requests} == {"git-upload-pack"}


def test_changes_between_commits_need_one_request_for_their_trees(
    backups: Backups, server: GitServer
) -> None:
    with remote_source(settings(server, backups), ONCE) as source:
        first, second, third = backups.commits
        objects = source.with_trees([third], depth=3)
        assert [c.path for c in objects.changes(second, base=first)] == [
            b"clusterbackup/east/0.yaml",
            b"clusterbackup/west/0.yaml",
        ]
        assert [c.path for c in objects.changes(third, base=second)] == [b"clusterbackup/east/1.yaml"]


def test_remote_source_leaves_nothing_behind(
    backups: Backups, server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with remote_source(settings(server, backups), ONCE) as source:
        contents(source, backups.commits[0])
    assert not list((tmp_path / "tmp").iterdir())


def test_error_names_a_branch_that_does_not_exist(backups: Backups, server: GitServer) -> None:
    with (
        pytest.raises(FixConfiguration, match="the repository has no branch other; set GIT_BRANCH or --bran"),
        remote_source(settings(server, backups, GIT_BRANCH="other"), ONCE),
    ):
        pass


def test_unreachable_host_is_a_transient_error(backups: Backups, server: GitServer) -> None:
    server.answer = lambda _: 503
    with pytest.raises(SyncError) as caught, remote_source(settings(server, backups), ONCE):
        pass
    assert caught.value.exit == 30


def test_file_that_the_host_does_not_send_is_an_error(backups: Backups, server: GitServer) -> None:
    if git(backups.directory, "config", "uploadpack.allowFilter") != b"true\n":
        pytest.skip("the host sends all files at once")
    with remote_source(settings(server, backups), ONCE) as source:
        objects = source.with_trees([backups.commits[0]])
        rows = cluster_rows(objects, backups.commits[0], source.path, "east")
        server.answer = lambda _: 503
        with pytest.raises(TryAgain, match="the host did not send 40 of 40 files"):
            list(read_files(source, objects, rows))


def test_local_source_reads_a_branch_of_a_clone(backups: Backups) -> None:
    source = LocalSource(backups.directory, "clusterbackup/")
    assert [commit.oid for commit in source.commits()] == backups.commits[::-1]
    assert [commit.parent for commit in source.commits()] == [*backups.commits[1::-1], ""]
    assert contents(source, backups.commits[0])[b"east/0.yaml"] == b"n: 0\n"
    git(backups.directory, "branch", "old", backups.commits[0])
    assert [c.oid for c in LocalSource(backups.directory, "", "old").commits()] == backups.commits[:1]


def test_partial_clone_on_this_machine_fetches_absent_files_in_one_request(
    backups: Backups, server: GitServer, tmp_path: Path
) -> None:
    if git(backups.directory, "config", "uploadpack.allowFilter") != b"true\n":
        pytest.skip("the host sends all files at once")
    server.anonymous_read = True
    url = server.url_for(backups.directory)
    git(tmp_path, "clone", "--quiet", "--bare", "--filter=blob:none", url, "partial.git")
    source = LocalSource(tmp_path / "partial.git", "clusterbackup/")
    opened = fetches(server)
    assert len(contents(source, backups.commits[1])) == 40
    assert fetches(server) - opened == 1
    contents(source, backups.commits[1])
    contents(LocalSource(tmp_path / "partial.git", "clusterbackup/"), backups.commits[1])
    assert fetches(server) - opened == 1
