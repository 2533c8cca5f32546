"""A run that reaches its time limit, a report that hangs, quotas, and what a container of a step can read."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from tests.e2e.site import argo, kubectl
from tests.e2e.test_pipeline import assert_success, objects

if TYPE_CHECKING:
    from tests.e2e.installation import Installation

TOKEN_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount"


def patch_template(installation: Installation, template: str, **container: object) -> None:
    """Change the template of one step: shorten its timeout, and set fields of its container."""
    place = ("-n", installation.namespace)
    document = json.loads(kubectl(*place, "get", "workflowtemplate", "git-sync", "-o", "json"))
    (changed,) = [step for step in document["spec"]["templates"] if step["name"] == template]
    if "timeout" in container:
        assert changed["timeout"]
        changed["timeout"] = container.pop("timeout")
    changed["container"] |= container
    patch = {"spec": {"templates": document["spec"]["templates"]}}
    kubectl(*place, "patch", "workflowtemplate", "git-sync", "--type=merge", "-p", json.dumps(patch))


def set_deadline(installation: Installation, seconds: int) -> None:
    patch = json.dumps({"spec": {"activeDeadlineSeconds": seconds}})
    place = ("-n", installation.namespace)
    kubectl(*place, "patch", "workflowtemplate", "git-sync", "--type=merge", "-p", patch)


def pods(installation: Installation) -> list[dict[str, Any]]:
    found = json.loads(kubectl("-n", installation.namespace, "get", "pods", "-o", "json"))["items"]
    assert isinstance(found, list)
    return [pod for pod in found if "workflows.argoproj.io/workflow" in pod["metadata"].get("labels", {})]


def test_run_that_reaches_its_time_limit_is_reported(installation: Installation) -> None:
    installation.bucket.put_many(objects("east"))
    installation.faults({"contains": "list-type=2", "delay": 600})
    installation.install()
    set_deadline(installation, 40)
    run = installation.sync()
    assert run.phase == "Failed"
    assert run.exits("report") == [0], installation.describe(run)
    state = installation.state()
    assert state["counters"]["errors"] == 1
    assert state["last_run"]["outcome"] == "failed"
    assert state["last_run"]["exit_code"] == 143
    assert "deadline" in state["last_run"]["error"]


def test_slow_cluster_does_not_keep_the_others_from_being_published(installation: Installation) -> None:
    installation.bucket.put_many(objects("east", "north", "west"))
    installation.faults({"contains": "clusterbackup/west/default", "delay": 600})
    # north and west share a step.
    installation.install(DOWNLOAD_TIMEOUT="40s", MAX_SHARDS="2", CONCURRENCY="4")
    run = installation.sync()
    assert sorted(str(code) for code in run.exits("download")) == ["0", "40"]
    assert run.exits("publish") == [10], installation.describe(run)
    assert installation.contents() == objects("east", "north")
    clusters = {one["name"]: one for one in installation.state()["last_run"]["clusters"]}
    assert clusters["west"]["status"] == "failed"
    assert "not complete after DOWNLOAD_TIMEOUT" in clusters["west"]["error"]


def test_report_that_hangs_ends_and_releases_the_mutex(installation: Installation) -> None:
    installation.bucket.put_many(objects("east"))
    installation.install(RETRY_ATTEMPTS="2", RETRY_DELAY="1s")
    hang = ["python3", "-c", "import time; time.sleep(3600)"]
    patch_template(installation, "report", timeout="20s", command=hang, args=[])
    began = time.monotonic()
    run = installation.sync()
    assert time.monotonic() - began < 150
    assert run.phase == "Failed"
    assert run.exits("publish") == [0]
    # The timeout includes the start of the pod: on a busy node, 20 s are not enough for it.
    patch_template(installation, "report", timeout="5m", command=["true"])
    assert installation.sync().phase == "Succeeded"


def test_stopped_run_whose_report_has_no_image_ends(installation: Installation) -> None:
    installation.bucket.put_many(objects("east"))
    installation.faults({"contains": "list-type=2", "delay": 600})
    installation.install(RETRY_ATTEMPTS="2", RETRY_DELAY="1s")
    patch_template(installation, "report", timeout="20s", image="registry.invalid/git-sync:absent")
    name = installation.submit()
    installation.until(name, lambda run: any(node.phase == "Running" for node in run.pods("discover")))
    argo("stop", "-n", installation.namespace, name)
    began = time.monotonic()
    run = installation.wait(name)
    assert time.monotonic() - began < 150
    assert run.phase == "Failed"


def test_run_succeeds_under_a_quota_and_its_steps_have_no_token(installation: Installation) -> None:
    installation.bucket.put_many(objects("east"))
    installation.install()
    installation.apply(
        {
            "kind": "ResourceQuota",
            "metadata": {"name": "all"},
            "spec": {
                "hard": {
                    "limits.cpu": "10",
                    "limits.memory": "10Gi",
                    "requests.cpu": "5",
                    "requests.memory": "5Gi",
                }
            },
        }
    )
    run = installation.sync()
    assert_success(run)
    found = pods(installation)
    assert len(found) == len(run.pods("download")) + 4
    for pod in found:
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        containers = {one["name"]: one for one in spec["containers"] + spec["initContainers"]}
        readers = {
            name
            for name, container in containers.items()
            if TOKEN_DIRECTORY in {mount["mountPath"] for mount in container["volumeMounts"]}
        }
        assert readers == {"init", "wait"}
        (volume,) = [one for one in spec["volumes"] if one["name"] == "exec-sa-token"]
        assert "secret" not in volume
