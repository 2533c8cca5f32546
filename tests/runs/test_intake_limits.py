"""A cluster over the intake limits fills neither volume nor history, and stops no other cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.clients.s3.store import ObjectStore
from steps.discover import _find_names
from steps.runtime.settings.reading import read
from tests.scale.server import Objects, Server
from tests.support.faults import Change, nth
from tests.support.first_sync import first_sync
from tests.support.repositories import commit_files, contents, message, sha, tree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Sync

FEW = {
    f"clusterbackup/{cluster}/shop/{number}.yaml": b"%d" % number
    for cluster in ("a", "z")
    for number in range(3)
}
MANY = {f"clusterbackup/m/shop/{number:02}.yaml": b"x" * 100 for number in range(20)}


@pytest.fixture(autouse=True)
def synced(sync: Sync) -> None:
    """Commit a few objects of each cluster."""
    first_sync(sync, FEW | {"clusterbackup/m/shop/00.yaml": b"x" * 100})


def upload_many(bucket: Bucket) -> None:
    bucket.put_many(MANY | {"clusterbackup/a/new.yaml": b"new"})


def over_limit(sync: Sync) -> dict[str, str]:
    clusters = sync.state["last_run"]["clusters"]
    return {one["name"]: one["over_limit"] for one in clusters if one["status"] == "over_limit"}


OVER = [
    ({"MAX_OBJECTS": "10"}, "too_many_objects"),
    ({"MAX_NEW_BYTES": "1000"}, "too_many_bytes"),
    ({"MAX_RUN_OBJECTS": "20"}, "too_many_objects_in_all"),
    ({"MAX_RUN_NEW_BYTES": "1000"}, "too_many_bytes_in_all"),
]


@pytest.mark.parametrize(("limits", "reason"), OVER)
def test_cluster_over_a_limit_is_skipped_until_the_limit_is_raised(
    limits: dict[str, str], reason: str, *, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    before = contents(repository)
    upload_many(bucket)
    bucket.delete("clusterbackup/m/shop/00.yaml")
    result = sync(**limits)
    assert result.exit == 20
    assert contents(repository) == before | {"clusterbackup/a/new.yaml": b"new"}
    assert f"Git-Sync-Refused: m {reason}\n" in message(repository)
    assert "- m: " not in message(repository)
    assert over_limit(sync) == {"m": reason}
    assert "m skipped: over its limits" in result.errors
    assert next(iter(limits)) in result.errors
    assert sync.state["clusters"]["m"]["over_limit"] is True
    assert "over limit" in (sync.work_dir / "report.md").read_text()
    bucket.put("clusterbackup/m/shop/00.yaml", b"x" * 100)
    assert sync().exit == 0
    assert contents(repository) == FEW | MANY | {"clusterbackup/a/new.yaml": b"new"}
    assert sync.state["clusters"]["m"]["over_limit"] is False


def test_empty_objects_for_directories_count_as_objects(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({f"clusterbackup/m/{n:02}/": b"" for n in range(30)})
    assert sync(MAX_OBJECTS="20").exit == 20
    assert over_limit(sync) == {"m": "too_many_objects"}


@pytest.mark.parametrize(("limits", "reason"), OVER[:2])
def test_cluster_over_its_own_limits_is_neither_fetched_nor_kept_on_the_volume(
    limits: dict[str, str], reason: str, *, faulty: Sync, proxy: S3FaultProxy, bucket: Bucket
) -> None:
    upload_many(bucket)
    assert faulty(**limits).exit == 20
    assert over_limit(faulty) == {"m": reason}
    assert [key for key in proxy.fetched if key.startswith("clusterbackup/m/")] == []
    assert not (faulty.work_dir / "clusterbackup" / "m").exists()


def test_unchanged_objects_do_not_count_as_new_bytes(sync: Sync, bucket: Bucket) -> None:
    upload_many(bucket)
    assert sync().exit == 0
    bucket.put("clusterbackup/m/shop/07.yaml", b"y" * 100)
    limits = {"MAX_NEW_BYTES": "100", "MAX_RUN_NEW_BYTES": "100"}
    assert sync("run", "--mode", "full", **limits).exit == 0
    bucket.put("clusterbackup/m/shop/07.yaml", b"z" * 101)
    assert sync(**limits).exit == 20


def test_limit_of_zero_means_no_limit(sync: Sync, bucket: Bucket) -> None:
    upload_many(bucket)
    names = ("MAX_OBJECTS", "MAX_NEW_BYTES", "MAX_RUN_OBJECTS", "MAX_RUN_NEW_BYTES", "MAX_CLUSTERS")
    assert sync(**dict.fromkeys(names, "0")).exit == 0


def test_objects_count_with_their_fetched_size(
    faulty: Sync, proxy: S3FaultProxy, bucket: Bucket, repository: Path
) -> None:
    before = contents(repository)
    upload_many(bucket)
    key = "clusterbackup/m/shop/05.yaml"
    grow = Change(before=lambda: bucket.put(key, b"x" * 50_000))
    proxy.install(nth(1, grow, lambda request: request.is_get and request.key == key))
    assert faulty(MAX_NEW_BYTES="10000").exit == 20
    assert over_limit(faulty) == {"m": "too_many_bytes"}
    assert contents(repository) == before | {"clusterbackup/a/new.yaml": b"new"}
    assert not (faulty.work_dir / "clusterbackup" / "m").exists()


def test_run_limit_has_the_same_result_in_any_order_of_shards(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    upload_many(bucket)
    tip = sha(repository)
    for number, order in enumerate(([0, 1, 2], [2, 1, 0])):
        isolated = sync.elsewhere(tmp_path / f"volume-{number}")
        limits = {"MAX_RUN_NEW_BYTES": "1000", "MAX_RUN_OBJECTS": "100"}
        assert isolated("discover", "--run-id", "r", "--dry-run", **limits).exit == 0
        for shard in order:
            assert isolated("download", "--run-id", "r", "--shard", str(shard)).exit == 0
        result = isolated("detect", "--run-id", "r")
        assert result.exit == 0
        assert [line["data"]["cluster"] for line in result.of("detect_changes", "error")] == ["m"]
    assert sha(repository) == tip


def test_bucket_with_only_skipped_clusters_does_not_count_as_empty(sync: Sync, bucket: Bucket) -> None:
    upload_many(bucket)
    bucket.clear("clusterbackup/a/")
    bucket.clear("clusterbackup/z/")
    assert sync(MAX_OBJECTS="10", CLUSTER_VANISHED="delete").exit == 20
    assert sync.state["last_run"]["clusters_removed"] == ["a", "z"]


def test_dry_run_reports_a_cluster_over_its_limits_and_exits_0(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    tip = sha(repository)
    upload_many(bucket)
    result = sync("run", "--dry-run", MAX_OBJECTS="10")
    assert (result.exit, sha(repository)) == (0, tip)
    assert "m skipped: over its limits" in result.errors


@pytest.mark.parametrize("limits", [limits for limits, _ in OVER])
def test_download_only_keeps_the_files_of_a_cluster_over_its_limits(
    limits: dict[str, str], sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    isolated = sync.elsewhere(tmp_path / "download").with_settings(GIT_REPOSITORY="")
    assert isolated().exit == 0
    upload_many(bucket)
    assert isolated(**limits).exit == 20
    files = isolated.work_dir / "clusterbackup"
    assert [path.name for path in (files / "m" / "shop").iterdir()] == ["00.yaml"]
    assert (files / "a" / "new.yaml").read_bytes() == b"new"


@pytest.mark.parametrize("limits", [OVER[0][0], OVER[3][0]])
def test_cluster_skipped_by_detect_stays_skipped_when_the_branch_has_moved(
    limits: dict[str, str], sync: Sync, bucket: Bucket, repository: Path
) -> None:
    upload_many(bucket)
    assert sync("discover", "--run-id", "r", **limits).exit == 0
    assert sync("download", "--run-id", "r").exit == 0
    assert sync("detect", "--run-id", "r").exit == 0
    # A retried download finds fewer objects, and the branch moves. publish keeps the decision of detect.
    for key in list(MANY)[3:]:
        bucket.delete(key)
    assert sync("download", "--run-id", "r").exit == 0
    commit_files(repository, {"README.md": b"theirs"})
    assert sync("publish", "--run-id", "r").exit == 20
    files = contents(repository)
    assert files["clusterbackup/a/new.yaml"] == b"new"
    assert files["README.md"] == b"theirs"
    assert [path for path in files if path.startswith("clusterbackup/m/")] == ["clusterbackup/m/shop/00.yaml"]


def test_cluster_with_too_many_keys_that_are_file_and_directory_is_skipped(
    sync: Sync, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steps.core.changes.MOST_CONFLICTS", 2)
    bucket.put_many({f"clusterbackup/m/{n}{end}": b"x" for n in range(3) for end in ("", "/x")})
    assert sync().exit == 20
    assert over_limit(sync) == {"m": "too_many_conflicts"}


def test_cluster_with_too_many_keys_below_kept_files_is_skipped(
    sync: Sync, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steps.core.changes.MOST_CONFLICTS", 2)
    bucket.clear("clusterbackup/z/")
    bucket.put_many({f"clusterbackup/z/shop/{n}.yaml/x": b"x" for n in range(3)})
    assert sync(MAX_DELETE_COUNT="0").exit == 20
    assert over_limit(sync) == {"z": "too_many_conflicts"}


def test_replan_fetches_a_limited_number_of_blobs_and_the_next_run_the_rest(
    sync: Sync, bucket: Bucket, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steps.publishing.replan._MOST_BLOBS", 2)
    bucket.put("clusterbackup/a/new.yaml", b"new")
    for step in ("discover", "download", "detect"):
        assert sync(step, *(("--run-id", "r") if step == "discover" else ())).exit == 0
    # Another client empties the files of a cluster, whose bytes this run has not downloaded.
    commit_files(repository, {f"clusterbackup/z/shop/{n}.yaml": b"" for n in range(3)})
    assert sync("publish").exit == 10
    files = contents(repository)
    assert [files[f"clusterbackup/z/shop/{n}.yaml"] for n in range(3)].count(b"") == 1
    assert sync().exit == 0
    assert contents(repository) == FEW | {
        "clusterbackup/a/new.yaml": b"new",
        "clusterbackup/m/shop/00.yaml": b"x" * 100,
    }


# -- number of clusters ---------------------------------------------------------------------------


def test_new_clusters_over_max_clusters_are_skipped_and_known_ones_continue(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    before = contents(repository)
    bucket.put_many({f"clusterbackup/b{n}/x.yaml": b"x" for n in range(4)})
    bucket.put("clusterbackup/z/new.yaml", b"new")
    result = sync(MAX_CLUSTERS="4")
    assert result.exit == 20
    assert contents(repository) == before | {"clusterbackup/z/new.yaml": b"new"}
    assert "New clusters skipped: over MAX_CLUSTERS" in result.errors
    assert sync.state["last_run"]["clusters_skipped"] >= 2
    assert "b0" in sync.state["last_run"]["clusters_skipped_sample"]
    assert "new clusters skipped: over MAX_CLUSTERS" in result.errors
    assert "b0" in (sync.work_dir / "report.md").read_text()
    assert sync("run", "--clusters", "a,b0,m,z", MAX_CLUSTERS="4").exit == 0  # the others do not count
    assert sync(MAX_CLUSTERS="7").exit == 0
    assert len(tree(repository)) == len(before) + 5


def test_first_run_over_max_clusters_skips_all_clusters(sync: Sync, tmp_path: Path) -> None:
    isolated = sync.elsewhere(tmp_path / "other").with_settings(GIT_BRANCH="other")
    result = isolated(MAX_CLUSTERS="2")
    assert result.exit == 20
    assert isolated.state["last_run"]["clusters"] == []
    assert isolated(MAX_CLUSTERS="3").exit == 0


def test_max_clusters_does_not_skip_clusters_that_git_has(sync: Sync) -> None:
    assert sync(MAX_CLUSTERS="1").exit == 0


class ListingLog(Server):
    """Records the prefix of each requested page."""

    def __init__(self, objects: Objects) -> None:
        super().__init__(objects)
        self.pages: list[str] = []

    def listed(self, parameters: dict[str, str]) -> str:
        self.pages.append(parameters.get("prefix", ""))
        return super().listed(parameters)


def test_discover_counts_names_over_the_limit_and_keeps_a_sample() -> None:
    server = ListingLog(Objects(0, clusters=2500, strays=2500))
    with server.running() as environment:
        settings = read(environment | {"MAX_CLUSTERS": "10"})
        store = ObjectStore(settings.s3)
        found = _find_names(settings, store)
        assert (found.count, len(found.clusters)) == (2500, 11)
        assert (found.outside, len(found.outside_sample)) == ({"no_cluster": 2500}, 20)
        server.pages.clear()
        next(store.children(settings.s3.prefix))
    assert len(server.pages) == 1, "children() requests one page at a time"


def test_listing_stops_when_it_exceeds_max_objects(sync: Sync) -> None:
    server = ListingLog(Objects(20_000, clusters=1))
    with server.running() as settings:
        result = sync.with_settings(**settings)(MAX_OBJECTS="1500")
    assert result.exit == 20
    of_cluster = [prefix for prefix in server.pages if "cluster-" in prefix]
    assert len(of_cluster) < 10, "the listing has 20 pages"
    assert not list((sync.work_dir / ".git-sync" / "runs").rglob("listing/cluster-*"))
