"""Caches on the volume save time, but only the tip of the remote branch decides."""

from __future__ import annotations

import os
import re
import shutil
from itertools import product
from typing import TYPE_CHECKING

import pytest

from steps.workdir.rowfile import RowFile, read_rows, write_rows
from steps.workdir.rows import BaselineHeader, BaselineRow, TipHeader
from tests.support.bucket import new_bucket
from tests.support.faults import Change, nth
from tests.support.first_sync import first_sync
from tests.support.gitserver import http_git_server
from tests.support.repositories import bare_repository, commit_files, contents, git, sha, tree
from tests.support.steps import forget_last_push

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.faults import Request, Rule
    from tests.support.proxy import S3FaultProxy
    from tests.support.s3 import S3Server
    from tests.support.sync import Sync

EAST, WEST = "clusterbackup/east/", "clusterbackup/west/"
OBJECTS = {
    **{f"{EAST}ns-{number % 3}/object-{number}.yaml": b"east %d\n" % number for number in range(9)},
    **{f"{WEST}object-{number}.yaml": b"west %d\n" % number for number in range(3)},
}


def tip_of(sync: Sync) -> Path:
    return sync.work_dir / ".git-sync" / "tip"


def cache_of(sync: Sync, cluster: str) -> Path:
    return sync.work_dir / ".git-sync" / "cache" / cluster


def cached_tree(sync: Sync, cluster: str) -> str:
    return RowFile(cache_of(sync, cluster)).header(BaselineHeader).tree


def git_tree(repository: Path, cluster: str) -> str:
    return git(repository, "rev-parse", f"main:clusterbackup/{cluster}").decode().strip()


def reset_branch(repository: Path, commit: str) -> None:
    git(repository, "update-ref", "refs/heads/main", commit)


# -- saved requests -------------------------------------------------------------------------------


def test_known_tip_is_checked_but_not_fetched(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many(OBJECTS)
    with http_git_server(repository.parent, "the-token") as server:
        served = sync.with_settings(
            GIT_REPOSITORY=server.url_for(repository), GIT_TOKEN="the-token", GIT_ALLOW_HTTP="true"
        )

        def posts() -> int:
            """Return the number of POST requests to the repository in a run without changes."""
            before = len(server.requests)
            result = served()
            assert (result.exit, result.complete["files_changed"]) == (0, 0)
            requests = [request for request in server.requests[before:] if request.method == "POST"]
            assert {request.service for request in requests} == {"git-upload-pack"}
            return len(requests)

        assert served().exit == 0
        known = posts()
        tip_of(sync).unlink()
        assert known < posts()
        assert posts() == known


def test_cache_has_the_id_of_the_tree_in_git(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many(OBJECTS)
    for change in ({}, {f"{EAST}new.yaml": b"new"}, {f"{WEST}object-1.yaml": b"modified"}, {}):
        bucket.put_many(change)
        assert sync().exit == 0
        for cluster in ("east", "west"):
            assert cached_tree(sync, cluster) == git_tree(repository, cluster)


def test_lost_cache_costs_the_downloads_of_its_cluster(
    faulty: Sync, proxy: S3FaultProxy, repository: Path
) -> None:
    first_sync(faulty, OBJECTS)
    cache_of(faulty, "west").unlink()
    tip = sha(repository)
    proxy.clear()
    assert faulty().exit == 0
    assert sorted(proxy.fetched) == sorted(key for key in OBJECTS if key.startswith(WEST))
    assert sha(repository) == tip
    assert cached_tree(faulty, "west") == git_tree(repository, "west")


def test_rewritten_object_is_fetched_once(faulty: Sync, bucket: Bucket, proxy: S3FaultProxy) -> None:
    """The cache gets the new ETag although the tree does not change."""
    bucket.put_many(OBJECTS)
    key = f"{WEST}object-1.yaml"
    assert faulty().exit == 0
    bucket.put(key, b"something else")
    assert faulty().exit == 0
    bucket.put(key, OBJECTS[key])
    for expected in ([key], []):
        proxy.clear()
        assert faulty().exit == 0
        assert proxy.fetched == expected


# -- changes by others ----------------------------------------------------------------------------


def test_push_by_others_between_two_runs_is_noticed(sync: Sync, repository: Path) -> None:
    first_sync(sync, OBJECTS)
    commit_files(repository, {f"{EAST}ns-1/object-1.yaml": b"edited", f"{WEST}stray.yaml": b"stray"})
    for _ in range(2):
        assert sync().exit == 0
        assert contents(repository) == OBJECTS


def test_reset_or_deleted_branch_is_noticed(sync: Sync, bucket: Bucket, repository: Path) -> None:
    first_sync(sync, OBJECTS)
    first = sha(repository)
    bucket.put(f"{EAST}new.yaml", b"new")
    assert sync().exit == 0
    forget_last_push(sync)
    reset_branch(repository, first)
    assert sync().exit == 0
    assert contents(repository) == OBJECTS | {f"{EAST}new.yaml": b"new"}
    forget_last_push(sync)
    git(repository, "update-ref", "-d", "refs/heads/main")
    assert sync().exit == 0
    assert contents(repository) == OBJECTS | {f"{EAST}new.yaml": b"new"}


def plan_run(sync: Sync, run_id: str) -> None:
    for step in ("discover", "download", "detect"):
        assert sync(step, "--run-id", run_id).exit == 0


def test_cache_has_no_tree_id_after_others_committed_the_same_changes(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    """The new plan is empty and the caches are new, so they do not match the base."""
    first_sync(sync, OBJECTS)
    base = sha(repository)
    change = {f"{EAST}ns-1/object-1.yaml": b"changed", f"{EAST}new.yaml": b"new"}
    bucket.put_many(change)
    plan_run(sync, "a")
    commit_files(repository, change)
    assert sync("publish", "--run-id", "a").exit == 0
    assert cached_tree(sync, "east") == git_tree(repository, "east")
    reset_branch(repository, base)
    assert sync().exit == 0
    assert contents(repository) == OBJECTS | change


def test_repeated_publish_after_a_push_by_others_does_not_use_their_tree(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    first_sync(sync, OBJECTS)
    bucket.put(f"{EAST}ns-1/object-1.yaml", b"changed")
    plan_run(sync, "a")
    assert sync("publish", "--run-id", "a").exit == 0
    commit_files(repository, {f"{EAST}ns-2/object-2.yaml": b"edited"})
    assert sync("publish", "--run-id", "a").exit == 0
    for _ in range(2):
        assert sync().exit == 0
        assert contents(repository) == OBJECTS | {f"{EAST}ns-1/object-1.yaml": b"changed"}


def test_next_run_commits_deferred_changes(sync: Sync, bucket: Bucket, tmp_path: Path) -> None:
    """The cache has more than Git, so it matches no tree in Git."""
    repository = bare_repository(tmp_path / "without-blobs.git", partial_clone=False)
    sync = sync.with_settings(GIT_REPOSITORY=f"file://{repository}")
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
    first = sha(repository)
    bucket.put(f"{WEST}object-1.yaml", b"changed")
    plan_run(sync, "a")
    git(repository, "update-ref", "refs/heads/main", first)
    commit_files(repository, {f"{EAST}ns-1/object-1.yaml": None, f"{EAST}ns-2/object-2.yaml": b"edited"})
    git(repository, "gc", "--quiet", "--prune=now")
    assert sync("publish", "--run-id", "a").exit in {0, 10}
    for _ in range(2):
        assert sync().exit == 0
        assert contents(repository) == OBJECTS | {f"{WEST}object-1.yaml": b"changed"}


def test_cache_matches_no_tree_after_refused_deletions(sync: Sync, bucket: Bucket, repository: Path) -> None:
    first_sync(sync, OBJECTS)
    for key in list(OBJECTS)[:6]:
        bucket.delete(key)
    for _ in range(2):
        assert sync().exit == 20
        assert contents(repository) == OBJECTS
        assert cached_tree(sync, "east") != git_tree(repository, "east")


# -- old and damaged caches -----------------------------------------------------------------------


def test_any_mixture_of_old_caches_leads_to_the_content_of_the_bucket(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    """Combines a kill between two files, a restored volume, and a reset branch."""
    generations = [OBJECTS, OBJECTS | {f"{EAST}ns-1/object-1.yaml": b"2", f"{WEST}new.yaml": b"2"}, OBJECTS]
    saved, commits = [], []
    for number, objects in enumerate(generations):
        for key in set(bucket.keys()) - objects.keys():
            bucket.delete(key)
        bucket.put_many(objects)
        assert sync().exit == 0
        saved.append(tmp_path / str(number))
        shutil.copytree(sync.work_dir / ".git-sync", saved[-1])
        commits.append(sha(repository))
    expected = OBJECTS | {f"{EAST}ns-2/object-2.yaml": b"3"}
    bucket.put_many(expected)
    for tip, east, west, commit in product(saved[:2], saved, saved[1:], commits[:2]):
        shutil.copy(tip / "tip", tip_of(sync))
        shutil.copy(east / "cache" / "east", cache_of(sync, "east"))
        shutil.copy(west / "cache" / "west", cache_of(sync, "west"))
        forget_last_push(sync)
        reset_branch(repository, commit)
        assert sync().exit == 0
        assert contents(repository) == expected


@pytest.mark.parametrize("name", ["tip", "cache/east"])
def test_flipped_bit_in_a_cache_does_no_harm(sync: Sync, bucket: Bucket, repository: Path, name: str) -> None:
    first_sync(sync, OBJECTS)
    intact = (sync.work_dir / ".git-sync" / name).read_bytes()
    for step, place in enumerate(range(3, len(intact), len(intact) // 9)):
        damaged = bytearray((sync.work_dir / ".git-sync" / name).read_bytes())
        damaged[place] ^= 1 << step % 8
        (sync.work_dir / ".git-sync" / name).write_bytes(damaged)
        bucket.put(f"{EAST}new.yaml", b"%d" % place)
        assert sync().exit == 0
        assert contents(repository) == OBJECTS | {f"{EAST}new.yaml": b"%d" % place}


@pytest.mark.parametrize("name", ["tip", "cache/east"])
@pytest.mark.parametrize("plant", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)])
def test_link_pipe_or_directory_in_place_of_a_cache_is_replaced(
    sync: Sync, repository: Path, name: str, plant: Callable[[Path], None]
) -> None:
    first_sync(sync, OBJECTS)
    path = sync.work_dir / ".git-sync" / name
    path.unlink()
    plant(path)
    for _ in range(2):
        assert sync().exit == 0
        assert contents(repository) == OBJECTS
    assert path.is_file()
    assert not path.is_symlink()


@pytest.mark.parametrize("damage", [b"", b"{}", b"not json", b'{"schema_version": 2}\n', None])
def test_damaged_tip_is_logged(sync: Sync, damage: bytes | None) -> None:
    first_sync(sync, OBJECTS)
    whole = tip_of(sync).read_bytes()
    tip_of(sync).write_bytes(whole[:-20] if damage is None else damage)
    result = sync()
    assert result.exit == 0
    assert len(result.of("discover", "warning")) == 1
    assert "Ignoring a damaged cache" in result.text
    assert tip_of(sync).read_bytes() == whole


def test_cache_of_another_branch_is_not_used(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many(OBJECTS)
    other = sync.with_settings(GIT_BRANCH="other")
    for _ in range(2):
        for each in (sync, other):
            assert each().exit == 0
    forget_last_push(other)
    git(repository, "update-ref", "refs/heads/other", commit_files(repository, {f"{EAST}x": b"x"}))
    assert other().exit == 0
    assert contents(repository, "other") == OBJECTS


def test_cache_of_another_cluster_is_not_used(sync: Sync, repository: Path) -> None:
    """Even if it has the same files, and so the same tree."""
    objects = {f"{cluster}a.yaml": b"a" for cluster in (EAST, WEST)}
    first_sync(sync, objects)
    assert cached_tree(sync, "east") == cached_tree(sync, "west")
    shutil.copy(cache_of(sync, "east"), cache_of(sync, "west"))
    result = sync()
    assert (result.exit, result.complete["files_changed"]) == (0, 0)
    assert contents(repository) == objects


def test_cache_of_another_git_path_is_not_used(sync: Sync) -> None:
    """The commit is the same, but it has other files at that path."""
    first_sync(sync, OBJECTS)
    assert sync("discover", GIT_PATH="elsewhere/").exit == 0
    result = sync()
    assert (result.exit, result.complete["files_changed"]) == (0, 0)


def no_md5s(content: Callable[[Request], bytes]) -> tuple[Rule, Rule]:
    """Return the rules of a store that gives every version of an object the same ETag."""

    def listing(request: Request) -> Change | None:
        return Change(body=lambda xml: ETAG.sub(b"<ETag>v1</ETag>", xml)) if request.is_list else None

    def get(request: Request) -> Change | None:
        headers = {"content-type": "text/plain", "etag": '"v1"'}
        answer = Change(body=lambda _: content(request), status=200, headers=lambda was: was | headers)
        return answer if request.is_get else None

    return listing, get


ETAG = re.compile(b"<ETag>.*?</ETag>")


def test_cache_of_another_bucket_is_not_used(
    faulty: Sync, s3: S3Server, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    """Even if it has the same keys, sizes and ETags."""
    other = new_bucket(s3)
    objects_of = {bucket.name: OBJECTS, other.name: {key: data.upper() for key, data in OBJECTS.items()}}
    proxy.install(*no_md5s(lambda request: objects_of[request.bucket][request.key]))
    for each in (bucket, other):
        each.put_many(objects_of[each.name])
        assert faulty(MINIO_BUCKET=each.name).exit == 0
        assert contents(repository) == objects_of[each.name]


def test_same_etag_with_another_size_is_fetched(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    objects = dict(OBJECTS)
    proxy.install(*no_md5s(lambda request: objects[request.key]))
    for content in (b"short", b"longer"):
        objects[f"{EAST}ns-1/object-1.yaml"] = content
        bucket.put_many(objects)
        assert faulty().exit == 0
        assert contents(repository) == objects


# -- wrong caches ---------------------------------------------------------------------------------
# Only a bug, an attacker, or a flipped bit with the same CRC-32 can cause a wrong cache.


def drop_a_file(sync: Sync) -> None:
    """Remove one file from the cache of east, and keep its tree id."""
    cache = cache_of(sync, "east")
    header, (_, *rows) = RowFile(cache).header(BaselineHeader), read_rows(cache, BaselineRow)
    write_rows(cache, header, rows)


def drop_the_clusters(sync: Sync) -> None:
    """Remove all clusters from the cache of the tip."""
    write_rows(tip_of(sync), RowFile(tip_of(sync)).header(TipHeader), ())


FORGERIES = [drop_a_file, drop_the_clusters]


@pytest.mark.parametrize("forge", FORGERIES)
def test_full_run_uses_no_cache(
    forge: Callable[[Sync], None], sync: Sync, bucket: Bucket, repository: Path
) -> None:
    first_sync(sync, OBJECTS)
    forge(sync)
    result = sync("run", "--mode", "full")
    assert (result.exit, result.complete["files_changed"]) == (0, 0)
    assert cached_tree(sync, "east") == git_tree(repository, "east")
    bucket.put(f"{EAST}ns-0/object-0.yaml", b"changed")
    assert sync().exit == 0
    assert contents(repository) == OBJECTS | {f"{EAST}ns-0/object-0.yaml": b"changed"}


@pytest.mark.parametrize("forge", FORGERIES)
def test_wrong_cache_is_not_used_again_after_it_was_found(
    forge: Callable[[Sync], None], sync: Sync, repository: Path
) -> None:
    first_sync(sync, OBJECTS)
    tip = sha(repository)
    forge(sync)
    result = sync()
    assert result.exit == 30
    assert "the commit differs from the plan at clusterbackup/east/ns-0/object-0.yaml" in result.errors
    assert sha(repository) == tip
    assert sync().exit == 0
    assert contents(repository) == OBJECTS


# -- keys -----------------------------------------------------------------------------------------


def test_key_with_a_trailing_slash_is_another_key(sync: Sync, bucket: Bucket, repository: Path) -> None:
    """`a` is replaced by `a/` with the same bytes: the file is deleted, and the new key is quarantined."""
    first_sync(sync, OBJECTS)
    gone = f"{EAST}ns-1/object-1.yaml"
    bucket.delete(gone)
    bucket.put(f"{gone}/", OBJECTS[gone])
    bucket.put(f"{gone}/below.yaml", b"below")
    assert sync().exit == 0
    expected = {key: body for key, body in OBJECTS.items() if key != gone}
    assert contents(repository) == expected | {f"{gone}/below.yaml": b"below"}
    (east,) = (c for c in sync.state["last_run"]["clusters"] if c["name"] == "east")
    assert east["quarantined"] == {"empty_segment": 1}


def test_unchanged_object_that_becomes_quarantined_is_kept_and_counted(sync: Sync, repository: Path) -> None:
    first_sync(sync, OBJECTS | {f"{EAST}large.yaml": b"x" * 2000})
    result = sync("run", MAX_OBJECT_BYTES="1000")
    assert result.exit == 0
    assert f"{EAST}large.yaml" in tree(repository)
    (east,) = (c for c in sync.state["last_run"]["clusters"] if c["name"] == "east")
    assert east["quarantined"] == {"too_large": 1}


def test_unchanged_object_is_quarantined_when_its_path_becomes_a_directory(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    first_sync(sync, OBJECTS)
    above = f"{EAST}ns-1/object-1.yaml"
    bucket.put(f"{above}/below.yaml", b"below")
    assert sync().exit == 0
    (east,) = (c for c in sync.state["last_run"]["clusters"] if c["name"] == "east")
    assert east["quarantined"]["path_conflict"] >= 1
    assert above in tree(repository), "quarantined keys keep their file in Git"
    bucket.delete(above)
    assert sync().exit == 0
    expected = {key: body for key, body in OBJECTS.items() if key != above}
    assert contents(repository) == expected | {f"{above}/below.yaml": b"below"}


def test_truncated_page_without_a_token_is_not_an_empty_cluster(
    faulty: Sync, proxy: S3FaultProxy, repository: Path
) -> None:
    first_sync(faulty, OBJECTS)
    page = (
        b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name>'
        b"<IsTruncated>true</IsTruncated></ListBucketResult>"
    )
    proxy.clear()
    for number in range(1, 5):
        proxy.install(nth(number, Change(body=lambda _: page), lambda r: r.is_list and r.concerns(EAST)))
    assert faulty().exit == 10
    assert contents(repository) == OBJECTS
