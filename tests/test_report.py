"""report: the pages and the state that a run writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from steps.contracts import ClusterResult, Outcome, Status
from steps.report import report
from tests.demo import dataset
from tests.support.bucket import new_bucket
from tests.support.repositories import bare_repository, commit_files
from tests.support.results import result
from tests.support.sync import Sync
from tests.support.tags import Tags

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.s3 import S3Server


@pytest.fixture(scope="module")
def changed(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Sync:
    """A sync after the second day of the demo: 23 new, 15 modified, 2 deleted. Only for reading."""
    folder = tmp_path_factory.mktemp("changed")
    bucket = new_bucket(s3)
    sync = Sync.between(bucket, bare_repository(folder / "backups.git"), folder / "workspace")
    before, after = dataset.before(), dataset.after()
    bucket.put_many(before)
    assert sync().exit == 0
    bucket.put_many({key: body for key, body in after.items() if before.get(key) != body})
    for key in before.keys() - after.keys():
        bucket.delete(key)
    result = sync(GIT_COMMIT_URL="https://git.example.com/your-org/backups/commit/{commit}")
    assert result.exit == 0
    assert result.of("git_diff", "warning") == []
    return sync


def test_run_writes_its_report_as_html_and_markdown(changed: Sync) -> None:
    text = (changed.work_dir / "report.md").read_text()
    commit = changed.state["last_run"]["commit"]
    assert f"[{commit[:12]}](<https://git.example.com/your-org/backups/commit/{commit}>)" in text
    assert "**Success** 23 new, 15 modified, 2 deleted in 3 clusters." in text
    assert "| `production-east` | **ok** | 245 | 13 | 7 | 1 | 20 |" in text
    assert "`Role payments/ci`: - `patch */configmaps, */deployments, */pods` in" in text
    assert (
        "- **Secret** `Secret loyalty/points-credentials` new: + key `password`; + key `username` in" in text
    )
    assert (
        "- `Deployment storefront/cart`, container `cart`: `registry.example.com/storefront/cart:1.9.0` → "
        "`registry.example.com/storefront/cart:1.9.1` in `production-east/storefront/Deployment/cart.yaml`"
    ) in text
    assert "| `Deployment` | 3 | 5 | 0 |" in text
    assert "| `staging/storefront` | 4 | 3 | 1 |" in text
    page = Tags((changed.work_dir / "report.html").read_text())
    assert ("a", {"href": f"https://git.example.com/your-org/backups/commit/{commit}"}) in page.tags


def test_state_contains_the_changes_of_the_run(changed: Sync) -> None:
    changes = changed.state["last_run"]["changes"]
    assert (changes["inspected"], changes["not_inspected"]) == (40, [])
    assert len(changes["images"]) == 10
    assert {mark["category"] for mark in changes["security_changes"]} == {"rbac", "secret"}


def test_report_and_state_contain_no_values_of_secrets(sync: Sync, bucket: Bucket) -> None:
    def secret(value: str) -> bytes:
        return f"kind: Secret\nmetadata: {{name: x}}\nstringData: {{password: {value}}}\n".encode()

    keys = [f"clusterbackup/east/shop/{path}" for path in ("Secret/a.yaml", "b.yaml", "ConfigMap/c.yaml")]
    bucket.put_many({key: secret("hunter1") for key in keys})
    assert sync().exit == 0
    bucket.put_many({key: secret("hunter2") for key in keys})
    result = sync(LOG_LEVEL="debug")
    assert result.exit == 0
    left = [path.read_text() for path in sync.work_dir.glob("*.*") if path.is_file()]
    assert len(left) >= 3
    assert not any("hunter" in text for text in (*left, result.text))
    marked = {
        mark["path"]: mark["category"] for mark in sync.state["last_run"]["changes"]["security_changes"]
    }
    assert marked == {path.removeprefix("clusterbackup/"): "secret" for path in keys}
    diffs = [line["message"] for line in result.of("git_diff")]
    assert "east/shop/b.yaml: 1 line added, 1 removed" in diffs


def test_report_lists_what_to_do_after_a_refusal(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({f"clusterbackup/{name}/a/b.yaml": b"x" for name in ("east", "west")})
    assert sync().exit == 0
    bucket.delete("clusterbackup/west/a/b.yaml")
    bucket.put("clusterbackup/east/a/.gitignore", b"*")
    assert sync().exit == 20
    text = (sync.work_dir / "report.md").read_text()
    allow = next(c["allow_delete"] for c in sync.state["last_run"]["clusters"] if c["name"] == "west")
    assert text.startswith("# git-sync run report\n\n**Refused** ")
    assert f"`git-sync run --allow-delete {allow}`" in text
    assert "`east`: 1 key quarantined (git_file 1)" in text.replace("\\", "")


def test_failed_run_writes_a_report(sync: Sync) -> None:
    assert sync(MINIO_BUCKET="absent").exit == 40
    text = (sync.work_dir / "report.md").read_text()
    assert text.startswith("# git-sync run report\n\n**Failed** Exit code 40: `Failed to connect to MinIO: ")


def test_report_does_not_move_the_last_success_of_a_cluster_with_deferred_changes(tmp_path: Path) -> None:
    state = tmp_path / "sync-metadata.json"
    clusters = (
        ClusterResult(name="east", status=Status.OK, changes_deferred=1),
        ClusterResult(name="west", status=Status.OK),
    )
    report(state, result(clusters=clusters, exit_code=10, outcome=Outcome.PARTIAL))
    known = json.loads(state.read_text())["clusters"]
    assert {name: cluster["last_success_at"] is None for name, cluster in known.items()} == {
        "east": True,
        "west": False,
    }


def test_download_only_run_counts_changes_by_path(bucket: Bucket, repository: Path, tmp_path: Path) -> None:
    sync = Sync.between(bucket, repository, tmp_path / "only").with_settings(GIT_REPOSITORY="")
    bucket.put("clusterbackup/east/shop/Pod/a.yaml", b"kind: Pod\n")
    assert sync("run", "--dry-run").exit == 0
    assert not (sync.work_dir / "report.html").exists()
    assert sync().exit == 0
    assert sync.state["last_run"]["changes"]["kinds"]["Pod"]["added"] == 1


def test_result_is_small_for_any_number_of_changes(sync: Sync, bucket: Bucket, repository: Path) -> None:
    pod = "kind: Pod\nspec: {{containers: [{{name: a, image: b{}}}]}}\n"
    paths = [f"clusterbackup/east/n{n}/Pod/a.yaml" for n in range(1010)]
    commit_files(repository, {path: pod.format(1).encode() for path in paths})
    bucket.put_many({path: pod.format(2).encode() for path in paths})
    assert sync().exit == 0
    changes = sync.state["last_run"]["changes"]
    assert (changes["inspected"], len(changes["not_inspected"])) == (1000, 10)
    assert (len(changes["images"]), changes["more_images"]) == (100, 900)
    assert len(json.dumps(changes)) < 40_000
    assert "10 changed files not inspected" in (sync.work_dir / "report.md").read_text()
