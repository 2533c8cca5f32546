"""discover: the clusters of a run, their shards, and what is outside every cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.faults import Status, when
from tests.support.repositories import commit_files, contents

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Sync


def test_clusters_share_shards_up_to_max_shards(sync: Sync, bucket: Bucket, repository: Path) -> None:
    objects = {f"clusterbackup/c{number:02}/a.yaml": b"%d" % number for number in range(12)}
    bucket.put_many(objects)
    result = sync(MAX_SHARDS="5")
    assert result.of("discover")[0]["data"]["shards"] == 5
    assert contents(repository) == objects


def run_document(sync: Sync) -> dict[str, Any]:
    document = json.loads((sync.work_dir / ".git-sync/runs/r/run.json").read_text())
    assert isinstance(document, dict)
    return document


def test_discover_finds_the_clusters_of_bucket_and_git(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put("clusterbackup/both/a", b"a")
    bucket.put("clusterbackup/new/a", b"a")
    commit_files(repository, {"clusterbackup/both/a": b"a", "clusterbackup/gone/a": b"a", "other/b": b"b"})
    result = sync("discover", "--run-id", "r")
    assert result.exit == 0
    data = result.of("discover", "info")[0]["data"]
    assert (data["clusters"], data["only_in_bucket"], data["only_in_git"]) == (
        ["both", "gone", "new"],
        ["new"],
        ["gone"],
    )


def test_discover_records_the_configuration_of_the_run(sync: Sync, bucket: Bucket) -> None:
    bucket.put("clusterbackup/east/a", b"a")
    assert sync("discover", "--run-id", "r", "--namespaces", "shop", MAX_DELETE_COUNT="7").exit == 0
    document = run_document(sync)
    assert (document["run_id"], document["bucket"], document["branch"]) == ("r", bucket.name, "main")
    assert document["deletion_limits"]["max_delete_count"] == 7
    assert document["filtered_by_options"] is True
    assert document["selection"]["namespaces"] == ["shop"]


def test_discover_selects_clusters(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({f"clusterbackup/{name}/a": b"a" for name in ("prod-east", "prod-west", "staging")})
    assert sync("discover", "--run-id", "r", "--clusters", "prod-*", "--clusters", "!prod-west").exit == 0
    document = run_document(sync)
    assert [shard["clusters"] for shard in document["shards"]] == [["prod-east"]]
    assert document["clusters_excluded"] == 2


@pytest.mark.parametrize("key", ["stray.yaml", "a\\b/x", ".git/x", "git-sync-artifacts/x"])
def test_discover_quarantines_keys_outside_every_cluster(key: str, sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({"clusterbackup/east/a": b"a", f"clusterbackup/{key}": b"x"})
    result = sync("discover", "--run-id", "r")
    assert result.exit == 0
    (warning,) = result.of("discover", "warning")
    assert warning["message"] == "Keys outside every cluster are quarantined"
    assert sum(run_document(sync)["quarantined"].values()) == 1


def test_shards_pass_no_name_to_argo_that_is_not_a_dns_label(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({f"clusterbackup/{name}/a": b"a" for name in ("7", "east", "shard-0", "{{x}}", "UPPER")})
    assert sync("discover", "--run-id", "r").exit == 0
    shards = json.loads((sync.work_dir / ".git-sync/runs/r/shards.json").read_text())
    assert shards == ["shard-0", "shard-1", "east", "shard-3", "shard-4"]


def test_discover_removes_the_files_of_an_earlier_attempt(sync: Sync, bucket: Bucket) -> None:
    bucket.put("clusterbackup/east/a", b"a")
    for step in ("discover", "download"):
        assert sync(step, "--run-id", "r").exit == 0
    manifest = sync.work_dir / ".git-sync/runs/r/manifest/east"
    assert manifest.exists()
    assert sync("discover", "--run-id", "r").exit == 0
    assert not manifest.exists()


def test_discover_writes_no_run_document_if_the_bucket_cannot_be_listed(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put("clusterbackup/east/a", b"a")
    proxy.install(when(lambda request: request.is_list, Status(403, "AccessDenied")))
    result = faulty("discover", "--run-id", "r")
    assert result.exit == 40
    assert result.of("minio_connect", "error")[0]["data"]["bucket"] == bucket.name
    assert not (faulty.work_dir / ".git-sync/runs/r/run.json").exists()
