"""A cluster that floods the bucket fills neither the volume nor the history, and stops no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.clients.s3.store import ObjectStore
from steps.discover import _look_around
from steps.runtime.settings.reading import read
from tests.scale.server import Objects, Server
from tests.support.faults import Change, nth
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
FLOOD = {f"clusterbackup/m/shop/{number:02}.yaml": b"x" * 100 for number in range(20)}


@pytest.fixture(autouse=True)
def synced(sync: Sync, bucket: Bucket) -> None:
    """Git holds a little of each cluster."""
    bucket.put_many(FEW | {"clusterbackup/m/shop/00.yaml": b"x" * 100})
    assert sync().exit == 0


def flood(bucket: Bucket) -> None:
    bucket.put_many(FLOOD | {"clusterbackup/a/new.yaml": b"new"})


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
def test_a_flood_is_held_back_until_a_person_raises_the_limit(
    limits: dict[str, str], reason: str, *, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    before = contents(repository)
    flood(bucket)
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
    assert contents(repository) == FEW | FLOOD | {"clusterbackup/a/new.yaml": b"new"}
    assert sync.state["clusters"]["m"]["over_limit"] is False


@pytest.mark.parametrize(("limits", "reason"), OVER[:2])
def test_nothing_of_a_cluster_over_its_own_limits_is_fetched_or_left_on_the_volume(
    limits: dict[str, str], reason: str, *, faulty: Sync, proxy: S3FaultProxy, bucket: Bucket
) -> None:
    flood(bucket)
    assert faulty(**limits).exit == 20
    assert over_limit(faulty) == {"m": reason}
    assert [key for key in proxy.fetched if key.startswith("clusterbackup/m/")] == []
    assert not (faulty.work_dir / "clusterbackup" / "m").exists()


def test_what_git_holds_already_does_not_count_as_new(sync: Sync, bucket: Bucket) -> None:
    flood(bucket)
    assert sync().exit == 0
    bucket.put("clusterbackup/m/shop/07.yaml", b"y" * 100)
    limits = {"MAX_NEW_BYTES": "100", "MAX_RUN_NEW_BYTES": "100"}
    assert sync("run", "--mode", "full", **limits).exit == 0
    bucket.put("clusterbackup/m/shop/07.yaml", b"z" * 101)
    assert sync(**limits).exit == 20


def test_no_limit_is_zero(sync: Sync, bucket: Bucket) -> None:
    flood(bucket)
    names = ("MAX_OBJECTS", "MAX_NEW_BYTES", "MAX_RUN_OBJECTS", "MAX_RUN_NEW_BYTES", "MAX_CLUSTERS")
    assert sync(**dict.fromkeys(names, "0")).exit == 0


def test_objects_that_grow_between_list_and_get_count_as_they_come(
    faulty: Sync, proxy: S3FaultProxy, bucket: Bucket, repository: Path
) -> None:
    before = contents(repository)
    flood(bucket)
    key = "clusterbackup/m/shop/05.yaml"
    grow = Change(before=lambda: bucket.put(key, b"x" * 50_000))
    proxy.install(nth(1, grow, lambda request: request.is_get and request.key == key))
    assert faulty(MAX_NEW_BYTES="10000").exit == 20
    assert over_limit(faulty) == {"m": "too_many_bytes"}
    assert contents(repository) == before | {"clusterbackup/a/new.yaml": b"new"}
    assert not (faulty.work_dir / "clusterbackup" / "m").exists()


def test_the_run_s_limit_holds_whatever_the_order_of_the_shards(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    flood(bucket)
    tip = sha(repository)
    for number, order in enumerate(([0, 1, 2], [2, 1, 0])):
        own = sync.elsewhere(tmp_path / f"volume-{number}")
        limits = {"MAX_RUN_NEW_BYTES": "1000", "MAX_RUN_OBJECTS": "100"}
        assert own("discover", "--run-id", "r", "--dry-run", **limits).exit == 0
        for shard in order:
            assert own("download", "--run-id", "r", "--shard", str(shard)).exit == 0
        result = own("detect", "--run-id", "r")
        assert result.exit == 0
        assert [line["data"]["cluster"] for line in result.of("detect_changes", "error")] == ["m"]
    assert sha(repository) == tip


def test_a_bucket_that_holds_a_flood_is_not_taken_for_empty(sync: Sync, bucket: Bucket) -> None:
    flood(bucket)
    bucket.clear("clusterbackup/a/")
    bucket.clear("clusterbackup/z/")
    assert sync(MAX_OBJECTS="10", CLUSTER_VANISHED="delete").exit == 20
    assert sync.state["last_run"]["clusters_removed"] == ["a", "z"]


def test_a_dry_run_tells_of_a_flood_and_ends_with_zero(sync: Sync, bucket: Bucket, repository: Path) -> None:
    tip = sha(repository)
    flood(bucket)
    result = sync("run", "--dry-run", MAX_OBJECTS="10")
    assert (result.exit, sha(repository)) == (0, tip)
    assert "m skipped: over its limits" in result.errors


@pytest.mark.parametrize("limits", [limits for limits, _ in OVER])
def test_in_download_only_mode_the_files_stay_as_they_are(
    limits: dict[str, str], sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    own = sync.elsewhere(tmp_path / "download").with_settings(GIT_REPOSITORY="")
    assert own().exit == 0
    flood(bucket)
    assert own(**limits).exit == 20
    there = own.work_dir / "clusterbackup"
    assert [path.name for path in (there / "m" / "shop").iterdir()] == ["00.yaml"]
    assert (there / "a" / "new.yaml").read_bytes() == b"new"


@pytest.mark.parametrize("limits", [OVER[0][0], OVER[3][0]])
def test_what_was_held_back_stays_so_where_the_branch_has_moved(
    limits: dict[str, str], sync: Sync, bucket: Bucket, repository: Path
) -> None:
    flood(bucket)
    assert sync("discover", "--run-id", "r", **limits).exit == 0
    assert sync("download", "--run-id", "r").exit == 0
    assert sync("detect", "--run-id", "r").exit == 0
    # A retried download finds less, and the branch has moved: what detect has refused is refused.
    for key in list(FLOOD)[3:]:
        bucket.delete(key)
    assert sync("download", "--run-id", "r").exit == 0
    commit_files(repository, {"README.md": b"others were here"})
    assert sync("publish", "--run-id", "r").exit == 20
    there = contents(repository)
    assert there["clusterbackup/a/new.yaml"] == b"new"
    assert there["README.md"] == b"others were here"
    assert [path for path in there if path.startswith("clusterbackup/m/")] == ["clusterbackup/m/shop/00.yaml"]


def test_too_many_keys_that_are_file_and_directory_are_a_flood(
    sync: Sync, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steps.core.changes.MOST_CONFLICTS", 2)
    bucket.put_many({f"clusterbackup/m/{n}{end}": b"x" for n in range(3) for end in ("", "/x")})
    assert sync().exit == 20
    assert over_limit(sync) == {"m": "too_many_conflicts"}


def test_too_many_keys_below_files_that_git_keeps_are_a_flood(
    sync: Sync, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steps.core.changes.MOST_CONFLICTS", 2)
    bucket.clear("clusterbackup/z/")
    bucket.put_many({f"clusterbackup/z/shop/{n}.yaml/x": b"x" for n in range(3)})
    assert sync(MAX_DELETE_COUNT="0").exit == 20
    assert over_limit(sync) == {"z": "too_many_conflicts"}


def test_the_bytes_that_are_asked_for_by_id_are_bounded_and_the_rest_is_left_for_the_next_run(
    sync: Sync, bucket: Bucket, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steps.publishing.replan._MOST_BLOBS", 2)
    bucket.put("clusterbackup/a/new.yaml", b"new")
    for step in ("discover", "download", "detect"):
        assert sync(step, *(("--run-id", "r") if step == "discover" else ())).exit == 0
    # Somebody empties a cluster's files: this run has never had their bytes.
    commit_files(repository, {f"clusterbackup/z/shop/{n}.yaml": b"" for n in range(3)})
    assert sync("publish").exit == 10
    there = contents(repository)
    assert [there[f"clusterbackup/z/shop/{n}.yaml"] for n in range(3)].count(b"") == 1
    assert sync().exit == 0
    assert contents(repository) == FEW | {
        "clusterbackup/a/new.yaml": b"new",
        "clusterbackup/m/shop/00.yaml": b"x" * 100,
    }


# -- names ---------------------------------------------------------------------------------------


def test_a_flood_of_new_clusters_is_held_back_and_those_that_git_holds_go_on(
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


def test_a_first_run_with_too_many_clusters_takes_none(sync: Sync, tmp_path: Path) -> None:
    own = sync.elsewhere(tmp_path / "other").with_settings(GIT_BRANCH="other")
    result = own(MAX_CLUSTERS="2")
    assert result.exit == 20
    assert own.state["last_run"]["clusters"] == []
    assert own(MAX_CLUSTERS="3").exit == 0


def test_clusters_that_git_holds_are_never_held_back_for_their_number(sync: Sync) -> None:
    assert sync(MAX_CLUSTERS="1").exit == 0


class Counting(Server):
    """Remembers how many listings were asked for of each prefix."""

    def __init__(self, objects: Objects) -> None:
        super().__init__(objects)
        self.pages: list[str] = []

    def listed(self, asked: dict[str, str]) -> str:
        self.pages.append(asked.get("prefix", ""))
        return super().listed(asked)


def test_names_beyond_the_limit_are_counted_and_not_remembered() -> None:
    server = Counting(Objects(0, clusters=2500, strays=2500))
    with server.running() as environment:
        settings = read(environment | {"MAX_CLUSTERS": "10"})
        store = ObjectStore(settings.s3)
        found = _look_around(settings, store)
        assert (found.count, len(found.clusters)) == (2500, 11)
        assert (found.strays, len(found.strays_sample)) == ({"no_cluster": 2500}, 20)
        server.pages.clear()
        next(store.children(settings.s3.prefix))
    assert len(server.pages) == 1, "they come page by page"


def test_a_listing_ends_where_it_is_too_much(sync: Sync) -> None:
    server = Counting(Objects(20_000, clusters=1))
    with server.running() as settings:
        result = sync.with_settings(**settings)(MAX_OBJECTS="1500")
    assert result.exit == 20
    of_cluster = [prefix for prefix in server.pages if "cluster-" in prefix]
    assert len(of_cluster) < 10, "20 pages are there"
    assert not list((sync.work_dir / ".git-sync" / "runs").rglob("listing/cluster-*"))
