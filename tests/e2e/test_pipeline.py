"""The pipeline on a real cluster: the result in Git, the workflow and its pods."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.site import argo, kubectl
from tests.support.jq import jq
from tests.support.repositories import branches

if TYPE_CHECKING:
    from tests.e2e.installation import Installation, Node, Run

LOGS = (Path(__file__).parents[2] / "docs" / "logs.md").read_text()
STEPS = ("discover", "download", "detect", "publish", "report")


def objects(*clusters: str, count: int = 6) -> dict[str, bytes]:
    return {
        f"clusterbackup/{cluster}/default/ConfigMap/object-{number}.yaml": b"kind: ConfigMap\nn: %d\n"
        % number
        for cluster in clusters
        for number in range(count)
    }


def of(cluster: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if path.startswith(f"clusterbackup/{cluster}/")}


def assert_success(run: Run) -> None:
    """Check that every step ran once and succeeded."""
    assert run.phase == "Succeeded", run.document["status"].get("message")
    assert {name: run.exits(name) for name in STEPS if name != "download"} == {
        name: [0] for name in STEPS if name != "download"
    }
    assert set(run.exits("download")) == {0}


def publish_message(run: Run) -> str:
    return run.pods("publish")[-1].message


def test_cron_workflow_runs_on_its_schedule(installation: Installation) -> None:
    """The CronWorkflow starts a run; the setting changes its schedule."""
    installation.bucket.put_many(objects("east"))
    installation.install(SYNC_SCHEDULE="* * * * *", SYNC_TIMEZONE="Europe/Berlin")
    cron = json.loads(kubectl("-n", installation.namespace, "get", "cronworkflow", "git-sync", "-o", "json"))
    assert cron["spec"]["timezone"] == "Europe/Berlin"
    deadline = time.monotonic() + 150
    names = ""
    while not names and time.monotonic() < deadline:
        time.sleep(1)
        names = kubectl("-n", installation.namespace, "get", "workflows", "-o", "name")
    installation.configure(SYNC_SCHEDULE="0 0 1 1 *")
    run = installation.wait(names.split()[0].partition("/")[2])
    assert run.document["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"] == "git-sync"
    assert_success(run)
    assert installation.contents() == objects("east")


def test_submitted_runs_are_serialised_and_incremental(installation: Installation) -> None:
    """Filtered one-off runs, the mutex, the cache artifact, and a run without it."""
    everything = objects("east", "staging")
    installation.bucket.put_many(everything)
    installation.install()
    first = installation.submit(clusters="staging")
    second = installation.submit()
    waiting = installation.until(second, lambda run: run.phase)
    assert waiting.phase == "Pending"
    assert "Mutex/git-sync lock" in waiting.document["status"]["message"]
    run = installation.wait(first)
    assert_success(run)
    assert of("staging", installation.contents()) == installation.contents() == objects("staging")
    assert "Clusters processed: 1\n- staging: 6 files\n" in installation.message()
    assert installation.state()["last_success"] is None, (
        "a filtered run does not count as a success of all clusters"
    )
    run = installation.wait(second)
    assert_success(run)
    assert run.nodes[0].started >= installation.run(first).document["status"]["finishedAt"]
    assert installation.contents() == everything
    assert installation.fetched(run) == 6, "the run uses the cache of the first run"

    changed = {"clusterbackup/east/default/ConfigMap/object-0.yaml": b"changed\n"}
    installation.bucket.put_many(changed)
    run = installation.sync()
    assert_success(run)
    assert installation.fetched(run) == 1
    assert installation.claims(run) == [], "the volume of a finished run is deleted"

    (cache,) = [key for key in installation.artifacts.keys() if key.endswith("cache.tgz")]  # noqa: SIM118
    installation.artifacts.delete(cache)
    run = installation.sync()
    assert_success(run)
    assert installation.fetched(run) == 12
    assert installation.contents() == everything | changed
    assert installation.commits() == 3
    state = installation.state()
    assert state["counters"]["runs"] == 4
    assert state["last_success"]["run_id"].startswith(run.name)
    assert_documented_lines_hold(installation, run)


def assert_documented_lines_hold(installation: Installation, run: Run) -> None:
    """Check the jq lines of docs/logs.md on a log that also has lines of the executor."""
    log = installation.log_text(run)
    assert "level=INFO" in log
    section = LOGS.split("## Logs on a cluster", 1)[1].split("\n## ", 1)[0]
    complete, git_lines, errors = (jq(found, log, raw=True) for found in re.findall(r"jq -R '(.+)'", section))
    assert [data["clusters_processed"] for data in complete] == [2]
    assert "git_clone" in {line["operation"] for line in git_lines}
    assert errors == []


def test_resubmitted_run_starts_from_the_beginning(installation: Installation) -> None:
    """Both the button of the user interface and `argo resubmit` start a new run."""
    installation.bucket.put_many(objects("east"))
    installation.install()
    first = installation.sync()
    assert_success(first)
    installation.bucket.put("clusterbackup/east/default/ConfigMap/new.yaml", b"new\n")
    answer = installation.site.argo_api(
        "PUT", f"api/v1/workflows/{installation.namespace}/{first.name}/resubmit", {"memoized": False}
    )
    run = installation.wait(json.loads(answer)["metadata"]["name"])
    assert_success(run)
    assert "clusterbackup/east/default/ConfigMap/new.yaml" in installation.contents()

    installation.bucket.put("clusterbackup/east/default/ConfigMap/newer.yaml", b"newer\n")
    again = argo("resubmit", "-n", installation.namespace, first.name, "-o", "name").strip()
    assert_success(installation.wait(again))
    assert installation.contents() == installation.objects()
    assert installation.commits() == 3


def test_memoized_resubmit_and_retry_after_a_failure(installation: Installation) -> None:
    """A memoized run loses nothing, Retry publishes again, and only a new run completes the sync."""
    installation.bucket.put_many(objects("east", "west"))
    installation.faults({"contains": "clusterbackup/west/", "status": 403})
    installation.install()
    failed = installation.sync()
    assert failed.phase == "Failed"
    assert failed.exits("publish") == [10]
    assert installation.claims(failed), "the volume of a failed run is kept"
    answer = installation.site.argo_api(
        "PUT", f"api/v1/workflows/{installation.namespace}/{failed.name}/resubmit", {"memoized": True}
    )
    # Argo 4.0 starts all steps of such a run at once, on an empty volume, and may never end it.
    memoized = json.loads(answer)["metadata"]["name"]
    installation.until(memoized, lambda run: run.exits("publish") not in ([], [None]))
    assert installation.contents() == objects("east")
    argo("terminate", "-n", installation.namespace, memoized)
    installation.wait(memoized)
    assert installation.contents() == objects("east")

    installation.site.argo_api("PUT", f"api/v1/workflows/{installation.namespace}/{failed.name}/retry", {})
    installation.until(failed.name, lambda run: run.phase == "Running")
    retried = installation.wait(failed.name)
    assert retried.exits("publish")[-1] == 10
    assert installation.contents() == objects("east")
    assert installation.commits() == 1

    kubectl("-n", installation.namespace, "delete", "pod", "faults", "--wait=true")
    installation.configure(MINIO_ENDPOINT=installation.site.s3_from_pods)
    assert_success(installation.sync())
    assert installation.contents() == objects("east", "west")


def test_transient_failure_is_retried_by_argo(installation: Installation) -> None:
    """Argo retries exit code 30, and the run succeeds."""
    installation.bucket.put_many(objects("east", "west"))
    installation.faults({"contains": "clusterbackup/west/", "status": 503, "seconds": 15})
    installation.install(RETRY_ATTEMPTS="5", RETRY_DELAY="8s")
    run = installation.sync()
    assert run.phase == "Succeeded"
    tries = run.exits("download")
    assert 30 in tries
    assert set(tries) == {0, 30}
    assert installation.contents() == objects("east", "west")


def test_cluster_that_always_fails_is_reported_and_others_are_committed(installation: Installation) -> None:
    """The step is not retried, and the workflow names the cluster."""
    installation.bucket.put_many(objects("east", "west"))
    installation.faults({"contains": "clusterbackup/west/", "status": 403})
    installation.install()
    run = installation.sync()
    assert run.phase == "Failed"
    assert sorted(str(code) for code in run.exits("download")) == ["0", "40"]
    assert run.exits("publish") == [10]
    message = publish_message(run)
    assert "exit code 10" in message
    assert "west: " in message
    assert "Resubmit" in message
    assert installation.contents() == objects("east")
    assert run.exits("report") == [0]
    state = installation.state()
    assert state["last_run"]["exit_code"] == 10
    assert {c["name"]: c["status"] for c in state["last_run"]["clusters"]} == {"east": "ok", "west": "failed"}
    assert state["counters"]["errors"] == 1
    assert "west: " in installation.log(run, "sync_complete")[0]["error"]


# Argo treats a pod as lost only after RECENTLY_STARTED_POD_DURATION, 10 s by default.
_KNOWN_SECONDS = 12


def running_download(run: Run, cluster: str) -> Node | None:
    """Return the pod that downloads this cluster, once Argo would notice its loss."""
    for node in run.pods("download"):
        started = time.mktime(time.strptime(node.started, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        if node.phase == "Running" and node.label == cluster and time.time() - started > _KNOWN_SECONDS:
            return node
    return None


SLOW = {"contains": "clusterbackup/west/default", "delay": 1.5}


def test_run_completes_after_a_download_pod_is_deleted(installation: Installation) -> None:
    """The run continues with another pod, and the result is exact."""
    installation.bucket.put_many(objects("east") | objects("west", count=40))
    installation.faults(SLOW)
    installation.install(CONCURRENCY="2")
    name = installation.submit()
    # The pod of the other cluster may still run, too.
    pod = running_download(installation.until(name, lambda run: running_download(run, "west")), "west")
    assert pod is not None
    pods = json.loads(kubectl("-n", installation.namespace, "get", "pods", "-o", "json"))["items"]
    (pod_name,) = [
        item["metadata"]["name"]
        for item in pods
        if item["metadata"].get("annotations", {}).get("workflows.argoproj.io/node-id") == pod.id
    ]
    kubectl("-n", installation.namespace, "delete", "pod", pod_name, "--wait=false")
    run = installation.wait(name)
    assert run.phase == "Succeeded"
    assert len(run.pods("download")) == 3
    assert installation.contents() == objects("east") | objects("west", count=40)


@pytest.mark.parametrize("how", ["stop", "terminate"])
def test_run_after_a_stopped_run_is_exact(installation: Installation, how: str) -> None:
    """report still runs after stop, but not after terminate."""
    installation.bucket.put_many(objects("east") | objects("west", count=40))
    installation.faults(SLOW)
    installation.install(CONCURRENCY="2")
    name = installation.submit()
    installation.until(name, lambda run: any(node.phase == "Running" for node in run.pods("download")))
    argo(how, "-n", installation.namespace, name)
    run = installation.wait(name)
    assert run.phase == "Failed"
    assert run.exits("report") == ([0] if how == "stop" else [])
    installation.configure(CONCURRENCY="40")
    assert_success(installation.sync())
    assert installation.contents() == installation.objects()
    # A stopped run is counted if it was reported.
    assert installation.state()["counters"]["errors"] == (1 if how == "stop" else 0)


def test_guard_keeps_a_vanished_cluster_until_its_deletion_is_approved(installation: Installation) -> None:
    """The approval allows only this deletion."""
    installation.bucket.put_many(objects("east", "west", "north", count=3))
    installation.install()
    assert_success(installation.sync())
    installation.bucket.clear("clusterbackup/west/")
    refused = installation.sync()
    assert refused.phase == "Failed"
    assert refused.exits("publish") == [20]
    assert installation.contents() == objects("east", "west", "north", count=3)
    match = re.search(r"west:[0-9a-f]{16}", publish_message(refused))
    assert match, publish_message(refused)
    assert re.search(r"-p allow-delete=west:[0-9a-f]{16}", installation.log_text(refused))

    allowed = installation.sync(allow_delete=match[0])
    assert_success(allowed)
    assert installation.contents() == objects("east", "north", count=3)
    assert f"Git-Sync-Allowed-Deletion: {match[0].replace(':', ' ')}\n" in installation.message()

    installation.bucket.clear("clusterbackup/north/")
    again = argo("resubmit", "-n", installation.namespace, allowed.name, "-o", "name").strip()
    run = installation.wait(again)
    assert run.exits("publish") == [20]
    assert installation.contents() == objects("east", "north", count=3)


def test_every_spelling_of_a_parameter_reaches_git_sync(installation: Installation) -> None:
    """Argo checks the values of mode and dry-run only in its form."""
    installation.bucket.put_many(objects("east"))
    installation.install()
    assert_success(installation.sync())
    installation.bucket.put_many(objects("west"))
    for spelling in ("True", "yes", "1"):
        assert_success(installation.sync(dry_run=spelling))
        assert installation.contents() == objects("east")
    for parameter, setting in (("dry_run", "DRY_RUN"), ("mode", "SYNC_MODE")):
        refused = installation.sync(**{parameter: "perhaps"})
        assert refused.exits("discover") == [40], installation.describe(refused)
        assert refused.exits("report") == [0]
        assert setting in installation.log_text(refused)
        assert installation.contents() == objects("east")
    full = installation.sync(mode="FULL", dry_run="False")
    assert_success(full)
    assert installation.contents() == objects("east", "west")
    assert installation.state()["last_run"]["mode"] == "full"


def test_retry_with_a_parameter_uses_the_settings_for_the_parameters_that_argo_drops(
    installation: Installation,
) -> None:
    installation.bucket.put_many(objects("east"))
    installation.install()
    bucket = installation.settings["MINIO_BUCKET"]
    installation.configure(MINIO_BUCKET="no-such-bucket")
    failed = installation.sync()
    assert failed.exits("discover") == [40]
    installation.configure(MINIO_BUCKET=bucket)
    argo("retry", "-n", installation.namespace, failed.name, "-p", "x=y")
    # The workflow has ended before, so wait for the end of the new attempt.
    done = installation.until(
        failed.name, lambda run: run.exits("publish") == [0] and run.phase == "Succeeded"
    )
    assert_success(done)
    assert installation.contents() == objects("east")


def test_forty_clusters_sync_in_single_and_shared_shards(installation: Installation) -> None:
    """One shard per cluster, and then several clusters per shard."""
    everything = objects(*(f"cluster-{number:02}" for number in range(40)), count=2)
    installation.bucket.put_many(everything)
    installation.install()
    installation.configure(MAX_SHARDS="40")
    run = installation.sync()
    assert_success(run)
    assert len(run.pods("download")) == 40
    assert installation.contents() == everything
    installation.configure(MAX_SHARDS="4")
    run = installation.sync()
    assert_success(run)
    assert len(run.pods("download")) == 4
    assert {node.name for node in run.pods("download")} == {f"download({n}:shard-{n})(0)" for n in range(4)}
    assert installation.commits() == 1


def test_the_clusters_own_resources(installation: Installation) -> None:
    """Real input: the resources of this cluster, as a backup job writes them."""
    kinds = kubectl("api-resources", "--verbs=list", "-o", "name").split()
    dump: dict[str, bytes] = {}
    for kind in kinds:
        if kind.startswith("events"):
            continue
        found = json.loads(kubectl("get", kind, "--all-namespaces", "-o", "json"))["items"]
        for item in found:
            meta = item["metadata"]
            place = f"{meta.get('namespace', '_cluster')}/{item['kind']}/{meta['name']}"
            dump[f"clusterbackup/e2e/{place}.yaml"] = json.dumps(item, indent=1).encode()
    assert len(dump) > 100
    assert any(":" in key for key in dump)
    installation.bucket.put_many(dump)
    installation.install()
    assert_success(installation.sync())
    assert installation.contents() == dump


HOSTILE = (
    "{{workflow.name}}",
    "{{=1+1}}",
    'a "b" c',
    "$(touch hacked)",
    "semi;colon&",
    "--help",
    "ünïcode",
    "a%2Fb",
    "'quoted'",
    "x: y # z",
)


def test_hostile_cluster_names_reach_no_template_label_or_argument(installation: Installation) -> None:
    """Their files are committed unchanged."""
    everything = objects(*HOSTILE, "east", count=1)
    quarantined = {"clusterbackup/.git/config": b"x", "clusterbackup/east/x\\y": b"x"}
    installation.bucket.put_many(everything | quarantined)
    installation.install()
    installation.configure(MAX_SHARDS="20")  # so that each cluster has a separate label
    run = installation.sync()
    assert_success(run)
    assert installation.contents() == everything
    document = json.dumps(run.document, ensure_ascii=False)
    for name in HOSTILE:
        if not name.startswith("{{"):  # the document contains such expressions anyway
            assert json.dumps(name, ensure_ascii=False)[1:-1] not in document
    labels = {node.label for node in run.pods("download")}
    assert len(labels) == len(HOSTILE) + 1
    assert "east" in labels
    assert all(re.fullmatch(r"shard-\d+", label) for label in labels - {"east"})


@pytest.mark.parametrize("outcome", ["refused", "failed"])
def test_hostile_name_in_a_failure_is_not_evaluated(installation: Installation, outcome: str) -> None:
    """Argo inserts the messages of failed pods into the exit handler and evaluates expressions in them."""
    name = "{{=now()}} {{workflow.uid}}"
    bad = objects(name, count=1)
    installation.bucket.put_many(objects("east") | bad)
    if outcome == "failed":
        installation.faults({"contains": f"clusterbackup/{name}/", "status": 403})
    installation.install()
    run = installation.sync()
    if outcome == "refused":
        assert_success(run)
        installation.bucket.clear(f"clusterbackup/{name}/")
        run = installation.sync()
    assert run.exits("publish") == [20 if outcome == "refused" else 10]
    assert "{ {=now()} } { {workflow.uid} }" in publish_message(run)
    assert run.exits("report") == [0]
    (line,) = installation.log(run, "sync_complete")
    assert name in line["error"], "the log shows it unchanged"
    assert installation.contents() == objects("east") | (bad if outcome == "refused" else {})


def test_report_artifacts_can_be_opened(installation: Installation) -> None:
    """The artifacts of the user interface contain the result and the report of a run."""
    installation.bucket.put_many(objects("east"))
    installation.install()

    def artifact_content(run: Run, step: str, artifact: str) -> str:
        (pod,) = run.pods(step)
        path = f"artifact-files/{installation.namespace}/workflows/{run.name}/{pod.id}/outputs/{artifact}"
        return installation.site.argo_api("GET", path).decode()

    run = installation.sync(dry_run="true")
    assert_success(run)
    assert installation.fetched(run) == 6
    result = json.loads(artifact_content(run, "publish", "result"))
    assert result["dry_run"] is True
    assert result["outcome"] == "success"
    assert "main" not in branches(installation.repository())

    run = installation.sync()
    assert_success(run)
    page = artifact_content(run, "report", "report-html")
    assert page.startswith("<!DOCTYPE html>")
    assert "east" in page
    assert "east" in artifact_content(run, "report", "report-markdown")


def test_rwo_component_runs_all_pods_on_one_node(installation: Installation) -> None:
    """The component for storage without ReadWriteMany, with more resources."""
    installation.components = ("rwo", "large")
    installation.bucket.put_many(objects("east", "west"))
    installation.install()
    name = installation.submit()
    run = installation.until(name, lambda run: run.pods("download"))
    (claim,) = installation.claims(run)
    volume = json.loads(kubectl("-n", installation.namespace, "get", "pvc", claim, "-o", "json"))
    assert volume["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert_success(installation.wait(name))
    pods = json.loads(kubectl("-n", installation.namespace, "get", "pods", "-o", "json"))["items"]
    for pod in pods:
        (main,) = [c for c in pod["spec"]["containers"] if c["name"] == "main"]
        assert main["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
        assert "podAffinity" in pod["spec"]["affinity"]
    assert installation.contents() == objects("east", "west")


def test_distributed_overlay_has_a_branch_per_cluster(installation: Installation) -> None:
    """Each installation syncs one cluster to one branch."""
    installation.overlay = "distributed"
    installation.bucket.put_many(objects("production-east", "production-west"))
    installation.install()
    assert_success(installation.sync())
    assert installation.contents("backups/production-east") == objects("production-east")
    assert_success(installation.sync(clusters="production-west", branch="backups/production-west"))
    assert installation.contents("backups/production-west") == objects("production-west")
    assert installation.contents("backups/production-east") == objects("production-east")


def test_cron_job_overlay_syncs_without_argo(installation: Installation) -> None:
    """The plain CronJob, with the documented kubectl commands."""
    installation.overlay = "cronjob"
    installation.bucket.put_many(objects("east"))
    installation.install()
    here = ("-n", installation.namespace)
    kubectl(*here, "set", "env", "cronjob/git-sync-cronjob", "LOG_LEVEL=debug")
    kubectl(*here, "set", "image", "cronjob/git-sync-cronjob", f"git-sync={installation.site.image}")
    for number in (1, 2):
        kubectl(*here, "create", "job", f"by-hand-{number}", "--from=cronjob/git-sync-cronjob")
        kubectl(*here, "wait", f"job/by-hand-{number}", "--for=condition=Complete", "--timeout=180s")
        lines = kubectl(*here, "logs", f"job/by-hand-{number}").splitlines()
        (data,) = jq('select(.operation=="sync_complete") | .data', "\n".join(lines))
        assert data["files_downloaded"] == (6 if number == 1 else 0)
        assert any(json.loads(line)["level"] == "debug" for line in lines)
    assert installation.contents() == objects("east")
