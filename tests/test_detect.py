"""detect: plan and verdict, and what it logs about each cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from steps.core.changes import PlanRow
from steps.workdir.rowfile import read_rows
from tests.support.faults import forbid
from tests.support.steps import KEY

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import CommandResult, Sync

pytestmark = pytest.mark.usefixtures("synced")


def detect(sync: Sync, *options: str, download: int = 0, **settings: str) -> CommandResult:
    """Call the steps up to detect, and return the result of detect."""
    assert sync("discover", "--run-id", "r", *options, **settings).exit == 0
    assert sync("download", "--run-id", "r").exit == download
    return sync("detect", "--run-id", "r", **settings)


def verdict(sync: Sync) -> dict[str, Any]:
    document = json.loads((sync.work_dir / ".git-sync/runs/r/verdict.json").read_text())
    return {cluster["name"]: cluster for cluster in document["clusters"]}


def plan(sync: Sync) -> list[bytes]:
    return [row.path for row in read_rows(sync.work_dir / ".git-sync/runs/r/plan.rows", PlanRow)]


def test_detect_writes_the_plan_and_counts_the_changes(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({KEY: b"2", "clusterbackup/west/new": b"new"})
    result = detect(sync)
    assert result.exit == 0
    assert plan(sync) == [b"east/object-0.yaml", b"west/new"]
    assert verdict(sync)["east"]["modified"] == verdict(sync)["west"]["added"] == 1
    assert result.of("detect_changes")[-1]["message"] == "1 new, 1 modified, 0 deleted in 2 clusters"


def test_detect_skips_a_cluster_whose_download_failed(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put("clusterbackup/west/new", b"new")
    proxy.install(forbid("clusterbackup/east/"))
    result = detect(faulty, download=40)
    assert result.exit == 0
    (warning,) = result.of("detect_changes", "warning")
    assert warning["message"].startswith("east skipped: its download failed")
    assert plan(faulty) == [b"west/new"]
    assert verdict(faulty)["east"]["status"] == "failed"


@pytest.mark.parametrize(
    ("options", "log_level", "level"),
    [(["--dry-run"], "info", "info"), ([], "debug", "debug"), ([], "info", None)],
)
def test_detect_logs_each_path_in_a_dry_run_and_at_level_debug(
    options: list[str], log_level: str, level: str | None, sync: Sync, bucket: Bucket
) -> None:
    bucket.put(KEY, b"2")
    result = detect(sync, *options, LOG_LEVEL=log_level)
    found = [line for line in result.lines if line["message"] == "modified east/object-0.yaml"]
    assert [line["level"] for line in found] == ([level] if level else [])


def test_detect_warns_if_filters_exclude_every_object(sync: Sync) -> None:
    result = detect(sync, "--exclude", "*")
    messages = [line["message"] for line in result.of("detect_changes", "warning")]
    assert messages == ["NAMESPACES and EXCLUDE exclude every object of every cluster"]
