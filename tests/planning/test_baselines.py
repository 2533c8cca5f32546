"""Baselines: what Git has of each cluster when a run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.workdir.rowfile import RowFile, read_rows
from steps.workdir.rows import BaselineHeader, BaselineRow
from steps.workdir.volume import Volume
from tests.support.repositories import bare_repository, commit_files, contents, git
from tests.support.steps import FIRST, KEY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.gitserver import GitServer
    from tests.support.sync import Sync

pytestmark = pytest.mark.usefixtures("synced")


def test_branch_counts_as_absent_only_after_two_empty_answers(
    over_http: Sync, git_server: GitServer, bucket: Bucket, repository: Path
) -> None:
    empty = bare_repository(repository.with_name("empty.git"))
    once = iter([empty])
    git_server.serve = lambda request: next(once, None) if request.method == "POST" else None
    bucket.put(KEY, b"2")
    assert over_http().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}


def rows(sync: Sync, cluster: str) -> dict[bytes, BaselineRow]:
    path = Volume(sync.work_dir).files("a").baseline(cluster)
    assert RowFile(path).header(BaselineHeader).cluster == cluster
    return {row.path: row for row in read_rows(path, BaselineRow)}


def test_baseline_has_every_file_of_the_cluster_with_its_known_object(sync: Sync) -> None:
    assert sync("discover", "--run-id", "a").exit == 0
    found = rows(sync, "east")
    assert sorted(found) == [b"east/object-%d.yaml" % number for number in range(6)]
    assert {(row.mode, row.size) for row in found.values()} == {("100644", 1)}
    assert all(row.etag for row in found.values())


def test_baseline_has_what_others_committed_without_a_known_object(sync: Sync, repository: Path) -> None:
    commit_files(repository, {KEY: b"edited", "clusterbackup/east/link": ("120000", b"target")})
    assert sync("discover", "--run-id", "a").exit == 0
    found = rows(sync, "east")
    edited, link = found[b"east/object-0.yaml"], found[b"east/link"]
    assert edited.oid == git(repository, "rev-parse", f"main:{KEY}").decode().strip()
    assert (edited.size, edited.etag) == (-1, "")
    assert link.mode == "120000"
    assert found[b"east/object-1.yaml"].etag, "the cache knows the other objects"


@pytest.mark.parametrize(("mode", "requests"), [("incremental", 1), ("full", 3)])
def test_discover_fetches_trees_only_if_it_does_not_trust_the_cache(
    mode: str, requests: int, over_http: Sync, git_server: GitServer, bucket: Bucket
) -> None:
    """ls-remote needs one request, a fetch two more."""
    bucket.put(KEY, b"2")
    assert over_http().exit == 0
    methods: list[str] = []
    git_server.before = lambda request: methods.append(request.method)
    assert over_http("discover", "--run-id", "a", "--mode", mode).exit == 0
    assert methods.count("POST") == requests
    assert len(rows(over_http, "east")) == 6


def test_file_in_the_place_of_a_cluster_is_recorded(sync: Sync, bucket: Bucket, repository: Path) -> None:
    commit_files(repository, {"clusterbackup/north": b"a file"})
    bucket.put("clusterbackup/north/a.yaml", b"x")
    assert sync("discover", "--run-id", "a").exit == 0
    document = (sync.work_dir / ".git-sync/runs/a/run.json").read_text()
    assert '"clusters_blocked_by_file": [\n    "north"\n  ]' in document


def test_baselines_of_download_only_mode_are_the_files_in_work_dir(sync: Sync) -> None:
    local = sync.elsewhere(sync.work_dir.with_name("local")).with_settings(GIT_REPOSITORY="")
    assert local().exit == 0
    (local.work_dir / "clusterbackup" / "east" / "stray.yaml").write_bytes(b"stray")
    assert local("discover", "--run-id", "a").exit == 0
    assert sorted(rows(local, "east")) == [
        *(b"east/object-%d.yaml" % n for n in range(6)),
        b"east/stray.yaml",
    ]
