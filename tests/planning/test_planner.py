"""The planner: which manifests it accepts, and what it decides about each cluster."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from steps.contracts import ClusterFailure, ClusterResult, Run, Status
from steps.core.deletion_guard import Decision, DeletionLimits
from steps.core.git_objects import Change
from steps.core.operations import Operation
from steps.planning.planner import Planner, baseline_tree
from steps.workdir.files import read_document, write_document
from steps.workdir.volume import Volume
from tests.support.repositories import contents
from tests.support.steps import FIRST, KEY, prepare, publish

if TYPE_CHECKING:
    from pathlib import Path

    from steps.core.changes import PlanRow
    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

pytestmark = pytest.mark.usefixtures("synced")


def test_manifest_of_another_cluster_fails_its_cluster(sync: Sync, repository: Path) -> None:
    assert sync("discover", "--run-id", "a").exit == 0
    assert sync("download", "--run-id", "a").exit == 0
    manifests = sync.work_dir / ".git-sync" / "runs" / "a" / "manifest"
    shutil.copy(manifests / "west", manifests / "east")
    assert sync("detect").exit == 0
    assert publish(sync, "a").exit == 10
    assert contents(repository) == FIRST


def test_manifest_of_another_run_fails_its_cluster(sync: Sync, bucket: Bucket, repository: Path) -> None:
    prepare(sync, "a")
    bucket.put(KEY, b"2")
    assert sync("discover", "--run-id", "b").exit == 0
    assert sync("download", "--run-id", "b").exit == 0
    runs = sync.work_dir / ".git-sync" / "runs"
    shutil.copy(runs / "a" / "manifest" / "east", runs / "b" / "manifest" / "east")
    assert sync("detect", "--run-id", "b").exit == 0
    assert publish(sync, "b").exit == 10
    assert contents(repository) == FIRST


def test_missing_manifest_fails_its_cluster_and_deletes_nothing(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    assert sync("discover", "--run-id", "a").exit == 0
    assert sync("download", "--run-id", "a", "--shard", "1").exit == 0
    assert sync("detect").exit == 0
    assert publish(sync, "a").exit == 10
    assert contents(repository) == FIRST


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_damaged_manifest_fails_its_cluster(
    damage: str, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    assert sync("discover", "--run-id", "a").exit == 0
    assert sync("download", "--run-id", "a").exit == 0
    manifest = sync.work_dir / ".git-sync" / "runs" / "a" / "manifest" / "east"
    whole = manifest.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    manifest.write_bytes({"truncate": whole[: len(whole) // 2], "flip": bytes(flipped), "empty": b""}[damage])
    assert sync("detect").exit == 0
    assert publish(sync, "a").exit == 10
    assert contents(repository) == FIRST


def planned(volume: Volume, **changes: Any) -> tuple[list[PlanRow], dict[str, ClusterResult]]:
    """Plan a run that was downloaded, with ``changes`` to its document."""
    files = volume.files("a")
    run = read_document(files.run_document, Run).model_copy(update=changes)
    planner = Planner(run, files, tree=None, settled={})
    rows = list(planner.rows())
    return rows, {result.name: result for result in planner.results}


@pytest.fixture
def downloaded(sync: Sync, bucket: Bucket) -> Volume:
    """Run "a": in east one object is new, one modified and one deleted."""
    bucket.put_many({KEY: b"2", "clusterbackup/east/new.yaml": b"new"})
    bucket.delete("clusterbackup/east/object-1.yaml")
    assert sync("discover", "--run-id", "a").exit == 0
    assert sync("download", "--run-id", "a").exit == 0
    return Volume(sync.work_dir)


def test_planner_plans_every_change_in_byte_order(downloaded: Volume) -> None:
    rows, results = planned(downloaded)
    assert [(row.change, row.path) for row in rows] == [
        (Change.ADDED, b"east/new.yaml"),
        (Change.MODIFIED, b"east/object-0.yaml"),
        (Change.DELETED, b"east/object-1.yaml"),
    ]
    east, west = results["east"], results["west"]
    assert (east.status, east.files, east.added, east.modified, east.deleted) == (Status.OK, 6, 1, 1, 1)
    assert (west.status, west.files, west.added, west.modified, west.deleted) == (Status.OK, 6, 0, 0, 0)


def test_planner_has_the_same_plan_for_the_same_tree_without_the_baseline(downloaded: Volume) -> None:
    """As publish plans again on a branch that has moved."""
    files = downloaded.files("a")
    run = read_document(files.run_document, Run)
    planner = Planner(run, files, tree=lambda name: baseline_tree(files, name), settled={})
    rows, results = planned(downloaded)
    assert list(planner.rows()) == rows
    assert {result.name: result for result in planner.results} == results


def test_planner_keeps_settled_clusters_out_of_the_plan(downloaded: Volume) -> None:
    files = downloaded.files("a")
    superseded = ClusterResult(name="east", status=Status.SUPERSEDED)
    run = read_document(files.run_document, Run)
    planner = Planner(run, files, tree=None, settled={"east": superseded})
    assert list(planner.rows()) == []
    assert planner.results[0] == superseded


def test_planner_quotes_the_recorded_failure_of_a_cluster(downloaded: Volume) -> None:
    files = downloaded.files("a")
    files.manifest("east").unlink()
    failure = ClusterFailure(
        cluster="east", operation=Operation.DOWNLOAD, error="Failed to list: 503", transient=True
    )
    write_document(files.failure("east"), failure)
    rows, results = planned(downloaded)
    assert rows == []
    east = results["east"]
    assert (east.status, east.error, east.transient) == (Status.FAILED, "Failed to list: 503", True)


def test_planner_refuses_deletions_over_the_limits_and_plans_the_rest(downloaded: Volume) -> None:
    strict = DeletionLimits(max_delete_count=0, max_delete_percent=0)
    refused: list[bytes] = []
    files = downloaded.files("a")
    run = read_document(files.run_document, Run).model_copy(update={"deletion_limits": strict})
    planner = Planner(run, files, tree=None, settled={}, on_refused_deletion=refused.append)
    assert [row.change for row in planner.rows()] == [Change.ADDED, Change.MODIFIED]
    (east, _) = planner.results
    assert (east.status, east.decision) == (Status.REFUSED, Decision.REFUSED_MASS_DELETION)
    assert refused == [b"east/object-1.yaml"]
    assert east.allow_delete is not None
    rows, results = planned(downloaded, deletion_limits=strict, allow_delete=(east.allow_delete,))
    assert [row.change for row in rows] == [Change.ADDED, Change.MODIFIED, Change.DELETED]
    assert results["east"].allowed_deletion == east.allow_delete.removeprefix("east:")
