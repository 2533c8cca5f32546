"""GIT_REPOSITORY="" syncs into WORK_DIR: incrementally, with the same guards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Sync

OBJECTS = {
    f"clusterbackup/{cluster}/default/object-{number}.yaml": b"%d" % number
    for cluster in ("east", "west")
    for number in range(10)
}


@pytest.fixture
def local(faulty: Sync) -> Sync:
    return faulty.with_settings(GIT_REPOSITORY="")


def files(sync: Sync) -> dict[str, bytes]:
    root = sync.work_dir
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in (root / "clusterbackup").rglob("*")
        if path.is_file()
    }


def test_first_run_downloads_all_objects_and_later_runs_only_changed_ones(
    local: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put_many(OBJECTS)
    result = local()
    assert (result.exit, result.complete["files_downloaded"]) == (0, 20)
    assert files(local) == OBJECTS
    assert not result.of("git_clone")
    assert not (local.work_dir / ".git").exists()
    proxy.clear()
    assert local().complete["files_changed"] == 0
    assert proxy.fetched == []
    bucket.put("clusterbackup/east/default/object-0.yaml", b"new")
    bucket.delete("clusterbackup/east/default/object-1.yaml")
    assert local().exit == 0
    expected = OBJECTS | {"clusterbackup/east/default/object-0.yaml": b"new"}
    del expected["clusterbackup/east/default/object-1.yaml"]
    assert files(local) == expected
    assert proxy.fetched == ["clusterbackup/east/default/object-0.yaml"]


def test_locally_changed_files_are_restored(local: Sync, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put_many(OBJECTS)
    local()
    base = local.work_dir / "clusterbackup"
    (base / "east/default/object-0.yaml").write_bytes(b"edited")
    (base / "east/default/object-1.yaml").unlink()
    (base / "east/default/object-2.yaml").unlink()
    (base / "east/default/object-2.yaml").symlink_to("/etc/passwd")
    (base / "west/stray").write_bytes(b"x")
    outside = tmp_path / "outside"
    outside.mkdir()
    (base / "west/default").rename(tmp_path / "moved")
    (base / "west/default").symlink_to(outside)
    assert local().exit == 0
    assert files(local) == OBJECTS
    assert list(outside.iterdir()) == []
    assert not (base / "west/default").is_symlink()


def test_local_deletions_need_approval(local: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    local()
    for key in bucket.keys("clusterbackup/west/"):
        bucket.delete(key)
    result = local()
    assert result.exit == 20
    assert files(local) == OBJECTS
    (line,) = result.of("detect_changes", "error")
    assert local("run", "--allow-delete", line["data"]["allow_delete"]).exit == 0
    assert files(local) == {key: data for key, data in OBJECTS.items() if "/east/" in key}


def test_a_file_becomes_a_directory_and_back(local: Sync, bucket: Bucket) -> None:
    bucket.put_many({"clusterbackup/east/a": b"1", "clusterbackup/east/b/c": b"2"})
    local()
    bucket.delete("clusterbackup/east/a")
    bucket.delete("clusterbackup/east/b/c")
    swapped = {"clusterbackup/east/a/x": b"3", "clusterbackup/east/b": b"4"}
    bucket.put_many(swapped)
    assert local().exit == 0
    assert files(local) == swapped


def test_a_dry_run_touches_no_file(local: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    local()
    bucket.put("clusterbackup/east/default/object-0.yaml", b"new")
    assert local("run", "--dry-run").exit == 0
    assert files(local) == OBJECTS


def test_publish_run_twice_has_the_same_result(local: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    local()
    changed = dict.fromkeys(OBJECTS, b"changed")
    bucket.put_many(changed)
    for step in ("discover", "download", "detect", "publish", "publish"):
        assert local(step).exit == 0
    assert files(local) == changed
