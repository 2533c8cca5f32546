"""download: manifests and failures of a shard's clusters, and the objects that Git does not have."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from steps.core import limits
from steps.core.changes import FETCHED, ManifestRow
from steps.workdir.rowfile import RowFile, read_rows
from steps.workdir.rows import ManifestFooter
from tests.support.faults import Hang, Status, forbid, when
from tests.support.steps import FIRST, KEY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.faults import Request
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Sync

pytestmark = pytest.mark.usefixtures("synced")


def run_files(sync: Sync) -> Path:
    return sync.work_dir / ".git-sync/runs/r"


@pytest.fixture
def discovered(faulty: Sync, bucket: Bucket, proxy: S3FaultProxy) -> Sync:
    """Run "r" after discover; one object of east has changed."""
    assert faulty().exit == 0, "the cache belongs to the address of the proxy"
    bucket.put(KEY, b"2")
    assert faulty("discover", "--run-id", "r").exit == 0
    proxy.clear()
    return faulty


def test_download_fetches_only_what_git_does_not_have(discovered: Sync, proxy: S3FaultProxy) -> None:
    assert discovered("download", "--run-id", "r").exit == 0
    assert proxy.fetched == [KEY]
    assert (discovered.work_dir / KEY).read_bytes() == b"2"
    manifest = run_files(discovered) / "manifest" / "east"
    states = {row.path: row.state for row in read_rows(manifest, ManifestRow)}
    assert [path for path, state in states.items() if state == FETCHED] == [b"east/object-0.yaml"]
    assert len(states) == len(FIRST) // 2
    assert RowFile(manifest).footer(ManifestFooter).unchanged == 5


def test_download_processes_only_the_clusters_of_the_shard(discovered: Sync) -> None:
    assert discovered("download", "--run-id", "r", "--shard", "1").exit == 0
    assert [path.name for path in (run_files(discovered) / "manifest").iterdir()] == ["west"]


def test_download_keeps_a_complete_manifest(discovered: Sync, proxy: S3FaultProxy) -> None:
    assert discovered("download", "--run-id", "r").exit == 0
    proxy.clear()
    result = discovered("download", "--run-id", "r")
    assert result.exit == 0
    assert proxy.requests == []
    assert "east is complete already" in result.text


@pytest.mark.parametrize(("status", "code", "exit_"), [(503, "SlowDown", 30), (403, "AccessDenied", 40)])
def test_download_records_a_failed_cluster_and_finishes_the_others(
    status: int, code: str, exit_: int, discovered: Sync, proxy: S3FaultProxy
) -> None:
    answer = Status(status, code)
    proxy.install(when(lambda request: request.is_list and request.concerns("clusterbackup/east/"), answer))
    assert discovered("download", "--run-id", "r").exit == exit_
    failure = json.loads((run_files(discovered) / "failure" / "east").read_text())
    assert (failure["cluster"], failure["operation"]) == ("east", "download")
    assert failure["transient"] is (exit_ == 30)
    assert (run_files(discovered) / "manifest" / "west").exists()
    assert not (run_files(discovered) / "manifest" / "east").exists()


def test_download_removes_the_failure_after_a_successful_retry(discovered: Sync, proxy: S3FaultProxy) -> None:
    proxy.install(forbid("clusterbackup/east/"))
    assert discovered("download", "--run-id", "r").exit == 40
    proxy.clear()
    proxy.install(when(lambda _: False, Status(503, "SlowDown")))
    assert discovered("download", "--run-id", "r").exit == 0
    assert not (run_files(discovered) / "failure" / "east").exists()


def test_download_rejects_a_run_of_another_bucket(discovered: Sync) -> None:
    result = discovered("download", "--run-id", "r", MINIO_BUCKET="other")
    assert result.exit == 40
    assert "MINIO_BUCKET is 'other', but" in result.errors


# -- DOWNLOAD_TIMEOUT ----------------------------------------------------------------------------------

TOO_LATE = "not complete after DOWNLOAD_TIMEOUT: raise it, or see why the store is slow"


def slow_get_of_west(request: Request) -> bool:
    return request.is_get and request.concerns("clusterbackup/west/")


def test_run_publishes_the_clusters_that_are_complete_at_the_timeout(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    """Some clusters begin when others end. The slow cluster does not occupy the threads that they need."""
    names = ["west", *(f"cluster-{number}" for number in range(8)), "zone"]
    bucket.put_many({f"clusterbackup/{name}/new-{n}.yaml": b"new" for name in names for n in range(20)})
    proxy.install(when(slow_get_of_west, Hang(600)))
    began = time.monotonic()
    result = faulty(DOWNLOAD_TIMEOUT="12s", CONCURRENCY="4", RETRY_ATTEMPTS="3")
    assert time.monotonic() - began < 40
    assert result.exit == 10
    clusters = {one["name"]: one for one in faulty.state["last_run"]["clusters"]}
    assert {name for name, one in clusters.items() if one["status"] != "ok"} == {"west"}
    assert clusters["west"]["error"] == f"Failed to download: {TOO_LATE}"
    assert {clusters[name]["added"] for name in names if name != "west"} == {20}


def test_all_downloads_are_used_with_more_clusters_than_downloads(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    """Also after a cluster has finished: four clusters at a time share all downloads."""
    assert faulty().exit == 0
    names = [f"x{number:02}" for number in range(12)]
    bucket.put_many({f"clusterbackup/{name}/0.yaml": b"new" for name in names})
    # The first four clusters have enough objects for three rounds of eight downloads.
    bucket.put_many({f"clusterbackup/{name}/{n}.yaml": b"new" for name in names[:4] for n in range(6)})
    begun: list[float] = []

    def is_slow(request: Request) -> bool:
        if request.is_get:
            begun.append(time.monotonic())
        return request.is_get

    proxy.install(when(is_slow, Hang(3)))
    assert faulty(CONCURRENCY="8").exit == 0
    assert sum(at < begun[0] + 2.9 for at in begun) == 8
    later = [at for at in begun if at > begun[0] + 3]
    assert sum(at < later[0] + 2.9 for at in later) == 8


def test_download_exits_40_at_the_timeout_and_again_when_it_is_repeated(
    discovered: Sync, proxy: S3FaultProxy
) -> None:
    proxy.install(when(lambda request: request.is_get, Hang(600)))
    limited = discovered.with_settings(DOWNLOAD_TIMEOUT="2s")
    began = time.monotonic()
    result = limited("download", "--run-id", "r")
    assert result.exit == 40
    assert result.errors == f"Failed to download: {TOO_LATE}"
    assert time.monotonic() - began < 8
    assert [path.name for path in (run_files(discovered) / "manifest").iterdir()] == ["west"]
    proxy.clear()
    assert limited("download", "--run-id", "r").exit == 40
    assert proxy.requests == []
    assert discovered("download", "--run-id", "r").exit == 0


def test_download_does_not_wait_for_a_listing_that_hangs(
    discovered: Sync, proxy: S3FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DOWNLOAD_LATE_SECONDS", 0.5)
    proxy.install(when(lambda request: request.is_list and request.concerns("clusterbackup/west/"), Hang(6)))
    began = time.monotonic()
    result = discovered("download", "--run-id", "r", DOWNLOAD_TIMEOUT="2s")
    assert time.monotonic() - began < 5
    assert result.exit == 40
    (line,) = result.of("download", "error")
    assert (line["data"]["cluster"], line["error"]) == ("west", TOO_LATE)
    # The listing ends later, in a thread for which download does not wait. Its cluster stays failed.
    time.sleep(max(0, began + 8 - time.monotonic()))
    assert [path.name for path in (run_files(discovered) / "manifest").iterdir()] == ["east"]
    assert (run_files(discovered) / "failure" / "west").exists()


def test_timeout_counts_from_the_start_of_the_run(discovered: Sync) -> None:
    time.sleep(1)
    assert discovered("download", "--run-id", "r", DOWNLOAD_TIMEOUT="1s").exit == 40
    assert discovered("download", "--run-id", "r", DOWNLOAD_TIMEOUT="1h").exit == 0
