"""The steps as a workflow calls them: in order, on a new volume, with artifacts between runs."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from steps.cli import write_termination_message
from steps.contracts import ARTIFACTS
from steps.core.operations import Operation
from steps.runtime import logs
from tests.support.faults import forbid
from tests.support.hooks import By, Words, pushes, refuse
from tests.support.repositories import commit_files, contents, log

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import CommandResult, Sync

OBJECTS = {
    f"clusterbackup/{cluster}/default/object-{number}.yaml": b"%d\n" % number
    for cluster in ("east", "north", "west")
    for number in range(4)
}


@dataclass(frozen=True)
class Pipeline:
    """Runs the five steps; `store` has the files of Argo's artifact repository."""

    sync: Sync
    store: Path

    def __call__(self, run: str, *, without: str = "") -> dict[str, CommandResult]:
        """Run all steps except one on a new volume; copy the artifacts as Argo does."""
        volume = self.store.parent / run
        here = self.sync.elsewhere(volume)
        result: dict[str, CommandResult] = {}
        cache = self.store / "cache"
        calls: dict[str, tuple[str, ...]] = {
            "discover": ("--cache", str(cache)),
            "download": (),
            "detect": (),
            "publish": (),
        }
        for step, options in calls.items():
            if step == Operation.PUBLISH and (self.store / "sync-metadata.json").is_file():
                shutil.copy(self.store / "sync-metadata.json", volume)
            if step != without:
                result[step] = here(step, "--run-id", run, *options)
        if without != Operation.PUBLISH:
            shutil.copytree(volume / ".git-sync" / "cache", cache, dirs_exist_ok=True)
        artifacts = volume / "artifacts"
        artifacts.mkdir()
        for file in (volume / ".git-sync" / "runs" / run / "result.json", self.store / "sync-metadata.json"):
            if file.is_file():
                shutil.copy(file, artifacts)
            else:
                (artifacts / file.name).mkdir()
        result["report"] = self.report(run, artifacts)
        return result

    def report(self, run: str, artifacts: Path, *options: str) -> CommandResult:
        """Run report with the input artifacts, and store the state that it writes."""
        out = artifacts / "out"
        result = self.sync.elsewhere(artifacts / "unused")(
            *("report", "--run-id", run, "--artifacts", str(artifacts), "--output", str(out)),
            *("--started-at", "2025-07-12T22:06:58Z", *options),
        )
        assert not (artifacts / "unused").exists(), "report must not need the volume"
        if (out / "sync-metadata.json").exists():
            shutil.copy(out / "sync-metadata.json", self.store)
        return result

    @property
    def state(self) -> dict[str, Any]:
        """Return the state artifact."""
        state = json.loads((self.store / "sync-metadata.json").read_text())
        assert isinstance(state, dict)
        return state


@pytest.fixture
def pipeline(faulty: Sync, tmp_path: Path) -> Pipeline:
    store = tmp_path / "store"
    store.mkdir()
    return Pipeline(faulty, store)


def exits(result: dict[str, CommandResult]) -> dict[str, int]:
    return {step: what.exit for step, what in result.items()}


ALL_WELL = dict.fromkeys(("discover", "download", "detect", "publish", "report"), 0)


def test_run_on_a_new_volume_is_incremental_with_the_cache_and_exact_without(
    pipeline: Pipeline, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    assert exits(pipeline("one")) == ALL_WELL
    assert sorted(proxy.fetched) == sorted(OBJECTS)
    proxy.clear()
    bucket.put("clusterbackup/east/default/object-0.yaml", b"new\n")
    assert exits(pipeline("two")) == ALL_WELL
    assert proxy.fetched == ["clusterbackup/east/default/object-0.yaml"]
    proxy.clear()
    shutil.rmtree(pipeline.store / "cache")
    assert exits(pipeline("three")) == ALL_WELL
    assert len(proxy.fetched) == len(OBJECTS)
    assert contents(repository) == OBJECTS | {"clusterbackup/east/default/object-0.yaml": b"new\n"}
    assert len(log(repository)) == 2
    assert pipeline.state["counters"]["runs"] == 3
    assert pipeline.state["last_success"]["run_id"] == "three"


def test_filtered_run_keeps_the_cache_of_excluded_clusters(
    pipeline: Pipeline, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put_many(OBJECTS)
    pipeline("one")
    Pipeline(pipeline.sync.with_settings(CLUSTERS="east"), pipeline.store)("two")
    proxy.clear()
    assert exits(pipeline("three")) == ALL_WELL
    assert proxy.fetched == []


def test_discover_passes_only_dns_labels_to_argo(pipeline: Pipeline, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put_many({f"clusterbackup/{name}/x": b"x" for name in ("east", "{{workflow.name}}", 'a "b" c')})
    assert exits(pipeline("one")) == ALL_WELL
    shards = json.loads((tmp_path / "one" / ".git-sync" / "runs" / "one" / "shards.json").read_text())
    assert shards == ["shard-0", "east", "shard-2"]


def test_publish_names_the_failed_cluster_and_how_to_complete_the_run(
    pipeline: Pipeline, bucket: Bucket, proxy: S3FaultProxy, tmp_path: Path
) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(forbid("clusterbackup/east/"))
    result = pipeline("one")
    assert exits(result) == ALL_WELL | {"download": 40, "publish": 10}
    (line,) = result["publish"].of("publish", "error")
    assert "Resubmit" in line["message"]
    assert line["error"].startswith("east: ")
    message_file = tmp_path / "termination-log"
    message_file.touch()
    pipeline.sync.elsewhere(tmp_path / "one")("publish", "--run-id", "one")
    write_termination_message(message_file)
    assert message_file.read_text() == f"{line['message']}: {line['error']}"


HOSTILE = "{{=sprig.repeat(100000000, workflow.name)}}"


@pytest.mark.parametrize("outcome", ["refused", "failed"])
def test_termination_message_contains_no_argo_expression(
    pipeline: Pipeline, bucket: Bucket, proxy: S3FaultProxy, tmp_path: Path, outcome: str
) -> None:
    bucket.put_many(OBJECTS | {f"clusterbackup/{HOSTILE}/default/x": b"x"})
    pipeline("one")
    if outcome == "refused":
        bucket.clear(f"clusterbackup/{HOSTILE}/")
    else:
        proxy.install(forbid(f"clusterbackup/{HOSTILE}/"))
    assert pipeline("two")["publish"].exit == {"refused": 20, "failed": 10}[outcome]
    pipeline.sync.elsewhere(tmp_path / "two")("publish", "--run-id", "two")
    message_file = tmp_path / "termination-log"
    message_file.touch()
    write_termination_message(message_file)
    result = message_file.read_text()
    assert "sprig.repeat" in result
    assert "{{" not in result
    assert "}}" not in result


def test_termination_message_is_cut_at_the_end(tmp_path: Path) -> None:
    logs.error(Operation.PUBLISH, "Published in part", "größe" * 2000)
    message_file = tmp_path / "termination-log"
    message_file.touch()
    write_termination_message(message_file)
    assert message_file.read_text().startswith("Published in part: größe")
    assert 4090 < message_file.stat().st_size <= 4096


def test_termination_message_is_not_written_outside_kubernetes(tmp_path: Path) -> None:
    write_termination_message(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_termination_message_contains_no_secret(sync: Sync, tmp_path: Path) -> None:
    sync("health")
    logs.error(Operation.GIT_PUSH, "Failed", f"server error {sync.settings['MINIO_SECRET_KEY']}")
    message_file = tmp_path / "termination-log"
    message_file.touch()
    write_termination_message(message_file)
    assert message_file.read_text() == "Failed: server error ***"


def failures(*nodes: tuple[str, str, str | None]) -> str:
    """Return Argo's workflow.failures for nodes of (name, message, end)."""
    result = [
        {
            "displayName": name,
            "message": message,
            "templateName": "t",
            "phase": "Failed",
            "podName": "p",
            "finishedAt": ended,
        }
        for name, message, ended in nodes
    ]
    return json.dumps(json.dumps(result or None))


@pytest.mark.parametrize(
    ("failures_json", "cause"),
    [
        (
            failures(
                ("publish", "", None),
                ("detect", "main: OOMKilled (exit code 137)", "2025-07-12T22:07:03Z"),
                ("download(0:east)", "pod deleted\x1b[2J", "2025-07-12T22:07:01Z"),
            ),
            "download(0:east): pod deleted\\x1b[2J; detect: main: OOMKilled (exit code 137)",
        ),
        (failures(), "the run wrote no result"),
        ("{{workflow.failures}}", "the run wrote no result"),
        (None, "the run wrote no result"),
    ],
)
def test_report_takes_the_cause_from_argo_if_a_run_has_no_result(
    pipeline: Pipeline, tmp_path: Path, failures_json: str | None, cause: str
) -> None:
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    if failures_json is not None:
        (artifacts / "failures.json").write_text(failures_json)
    result = pipeline.report("lost", artifacts)
    assert result.exit == 0
    assert cause in result.errors
    assert pipeline.state["last_run"]["exit_code"] == 30
    assert pipeline.state["last_run"]["started_at"] == "2025-07-12T22:06:58Z"
    assert pipeline.state["counters"]["errors"] == 1


def test_report_of_a_lost_run_knows_that_parameters_filter_it(pipeline: Pipeline, tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    assert pipeline.report("lost", artifacts, "--filtered=true").exit == 0
    state = pipeline.state
    assert (state["last_run"], state["last_filtered_run"]["exit_code"]) == (None, 30)
    assert (artifacts / "out" / "report.html").exists(), "Argo shows the page of each run"
    assert pipeline.report("other", artifacts, "--filtered=false").exit == 0
    assert pipeline.state["last_run"]["run_id"] == "other"


def test_result_has_the_work_of_each_step_without_the_waiting(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    for step in (("discover",), ("download", "--shard=0"), ("download", "--shard=1"), ("download",)):
        time.sleep(0.3)
        assert sync(*step, "--run-id=r").exit == 0
    assert sync("detect", "--run-id=r").exit == 0
    time.sleep(0.3)
    assert sync("publish", "--run-id=r").exit == 0
    run = json.loads((sync.work_dir / ".git-sync/runs/r/result.json").read_text())
    assert list(run["work_seconds"]) == list(run["step_seconds"])
    waited = {step: total - run["work_seconds"][step] for step, total in run["step_seconds"].items()}
    assert waited["discover"] == waited["detect"] == 0
    assert waited["download"] > 0.5
    assert 0.3 <= waited["publish"] < run["step_seconds"]["publish"]


def test_repeated_report_counts_once_and_keeps_a_damaged_state(
    pipeline: Pipeline, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put_many(OBJECTS)
    pipeline("one")
    artifacts = tmp_path / "again"
    shutil.copytree(tmp_path / "one" / "artifacts", artifacts)
    shutil.copy(pipeline.store / "sync-metadata.json", artifacts / "state")
    (artifacts / "sync-metadata.json").rmdir()
    (artifacts / "state").rename(artifacts / "sync-metadata.json")
    assert pipeline.report("one", artifacts).exit == 0
    assert pipeline.state["counters"]["runs"] == 1
    (artifacts / "sync-metadata.json").write_text("{")
    (artifacts / "out" / "sync-metadata.json").unlink()
    assert pipeline.report("one", artifacts).exit == 40
    assert pipeline.state["counters"]["runs"] == 1


def test_memoized_run_without_its_volume_writes_nothing(
    pipeline: Pipeline, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    assert exits(pipeline("one")) == ALL_WELL
    bucket.delete("clusterbackup/east/default/object-0.yaml")
    result = pipeline("two", without="discover")
    assert {step: result[step].exit for step in ("download", "detect", "publish")} == {
        "download": 40,
        "detect": 40,
        "publish": 40,
    }
    assert contents(repository) == OBJECTS


def test_publish_fails_without_the_verdict_of_detect(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    sync("discover")
    result = sync("publish")
    assert result.exit == 40
    assert "Failed to find the run: " in result.errors
    assert "verdict.json does not exist" in result.errors


def test_download_only_requires_a_persistent_volume(pipeline: Pipeline, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    result = Pipeline(pipeline.sync.with_settings(GIT_REPOSITORY=""), pipeline.store)("one")
    assert result["discover"].exit == 40
    assert "Failed to start a download-only run" in result["discover"].errors


def test_only_filter_options_make_a_run_narrowed(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    assert sync("run", "--clusters=east", CLUSTERS="east,west").exit == 0
    state = sync.state
    assert state["last_success"] is None
    assert state["last_run"] is None
    assert state["last_filtered_run"]["filtered_by_options"] is True
    assert sync("run", "--clusters=", "--namespaces=", "--allow-delete=", CLUSTERS="east,west").exit == 0
    state = sync.state
    assert state["last_success"]["run_id"] == state["last_run"]["run_id"]
    assert [cluster["name"] for cluster in state["last_run"]["clusters"]] == ["east", "west"]


def test_publish_ignores_objects_that_a_retried_download_brought_after_detect(
    pipeline: Pipeline, bucket: Bucket, proxy: S3FaultProxy, repository: Path, tmp_path: Path
) -> None:
    west = "clusterbackup/west/default/object-0.yaml"
    bucket.put_many(OBJECTS)
    pipeline("one")
    old = pipeline.sync.elsewhere(tmp_path / "old")
    bucket.put(west, b"older")
    bucket.put("clusterbackup/east/new.yaml", b"a change to publish")
    proxy.install(forbid("clusterbackup/west/"))
    for step in ("discover", "download", "detect"):
        old(step, "--run-id", "old")
    proxy.clear()
    assert old("download", "--run-id", "old").exit == 0
    bucket.put(west, b"newer")
    assert exits(pipeline("two")) == ALL_WELL
    assert old("publish", "--run-id", "old").exit == 10
    assert contents(repository)[west] == b"newer"


def test_artifacts_of_the_pipeline_are_not_a_cluster(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many({"east/x": b"x", f"{ARTIFACTS}/state/cache.tgz": b"x"})
    result = sync(MINIO_PREFIX="/")
    assert result.exit == 0
    assert contents(repository) == {"clusterbackup/east/x": b"x"}
    (line,) = result.of("discover", "warning")
    assert line["data"]["keys"] == [f"{ARTIFACTS}/"]


def test_report_without_a_volume_requires_all_its_options(sync: Sync, tmp_path: Path) -> None:
    assert sync("report", "--artifacts", str(tmp_path)).exit == 2


def test_publish_builds_on_a_foreign_commit_between_runs(
    pipeline: Pipeline, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    pipeline("one")
    commit_files(repository, {"README.md": b"ours"})
    bucket.put("clusterbackup/east/default/object-9.yaml", b"9\n")
    assert exits(pipeline("two")) == ALL_WELL
    assert contents(repository) == OBJECTS | {
        "README.md": b"ours",
        "clusterbackup/east/default/object-9.yaml": b"9\n",
    }


def test_refused_object_is_left_out_by_the_next_run_on_a_new_volume(
    pipeline: Pipeline, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    pipeline("one")
    refuse(repository, By.CONTENT, Words.GITHUB)
    bucket.put_many({"clusterbackup/east/token.yaml": b"ghp_0123", "clusterbackup/west/new.yaml": b"new"})
    partial = ALL_WELL | {"publish": 10}
    assert exits(pipeline("two")) == partial
    assert contents(repository) == OBJECTS | {"clusterbackup/west/new.yaml": b"new"}
    before = pushes(repository)
    assert exits(pipeline("three")) == partial
    assert pushes(repository) == before
    (refused,) = pipeline.state["last_run"]["refused_by_host"]
    assert refused["path"] == "east/token.yaml"
