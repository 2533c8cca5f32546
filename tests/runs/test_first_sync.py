"""The shortcuts of tests: what they leave is what an upload and a run leave."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.bucket import new_bucket
from tests.support.first_sync import first_sync
from tests.support.repositories import bare_repository, contents, fsck, sha
from tests.support.sync import Sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.s3 import S3Server

# No other test has these, so the first sync of them is a run.
OBJECTS = {f"clusterbackup/first-sync/{name}.yaml": name.encode() for name in ("a", "b", "c")}
NAMES = [*("a//b", "a/", "/a", "./a", "../a", "a b", "a%20b", "a+b", "a\nb", "a?b", "a#b"), "ü", "😀"]


def objects_of(bucket: Bucket) -> list[tuple[object, ...]]:
    listed = bucket.minio.list_objects(bucket.name, recursive=True)
    return [(one.object_name, one.etag, one.size, one.last_modified, one.storage_class) for one in listed]


def test_copy_of_the_first_sync_is_what_a_run_leaves(sync: Sync, s3: S3Server, tmp_path: Path) -> None:
    first_sync(sync, OBJECTS)
    copy = Sync.between(new_bucket(s3), bare_repository(tmp_path / "copy.git"), tmp_path / "copy")
    first_sync(copy, OBJECTS)

    assert objects_of(copy.bucket) == objects_of(sync.bucket)
    assert contents(copy.repository) == OBJECTS
    fsck(copy.repository)
    left = [{path.relative_to(one.work_dir) for path in one.work_dir.rglob("*")} for one in (sync, copy)]
    assert left[0] == left[1]
    assert copy.state["last_run"]["run_id"] == sync.state["last_run"]["run_id"]
    assert copy.state["identity"] != sync.state["identity"]
    named = [path for path in copy.work_dir.rglob("*") if path.is_file()]
    for old in (sync.state["identity"], sync.bucket.name, str(sync.repository), str(sync.work_dir)):
        assert not [path for path in named if old.encode() in path.read_bytes()], old

    for one in (sync, copy):
        one.bucket.put("clusterbackup/first-sync/new.yaml", b"new")
        result = one()
        assert (result.exit, result.complete["files_downloaded"]) == (0, 1)
        assert not [line for line in result.lines if line["level"] != "info"]
        assert one.state["counters"]["runs"] == 2
    assert contents(copy.repository) == contents(sync.repository)
    assert sha(copy.repository, "main^") == sha(sync.repository, "main^")


@pytest.mark.parametrize("server_is_plain", [False, True])
def test_put_many_stores_what_put_stores(server_is_plain: bool, bucket: Bucket, s3: S3Server) -> None:
    objects = {f"clusterbackup/{name}": name.encode() for name in NAMES}
    for key, body in objects.items():
        bucket.put(key, body)
    server = replace(s3, copies_buckets=not server_is_plain)
    other = replace(new_bucket(s3), server=server)
    other.put_many(objects)
    found, expected = objects_of(other), objects_of(bucket)
    assert [(*one[:3], one[4]) for one in found] == [(*one[:3], one[4]) for one in expected]
    assert {key: other.get(key) for key in objects} == objects
