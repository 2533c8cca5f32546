"""CronJobs for clusters without Argo: one container, every secret, one persistent volume."""

from __future__ import annotations

from typing import Any

import pytest

from workflows import environment as env
from workflows.cron_job import cron_jobs
from workflows.pipeline import RETRIED_EXIT_CODES

CLAIM, SYNC, VERIFY = cron_jobs()


def pod(job: dict[str, Any]) -> Any:
    return job["spec"]["jobTemplate"]["spec"]["template"]["spec"]


@pytest.mark.parametrize(("job", "arguments"), [(SYNC, ["run"]), (VERIFY, ["run", "--mode=full"])])
def test_cron_job_runs_every_step_in_one_container(job: dict[str, Any], arguments: list[str]) -> None:
    (container,) = pod(job)["containers"]
    assert (container["command"], container["args"]) == (["git-sync"], arguments)
    assert pod(job)["restartPolicy"] == "Never"


@pytest.mark.parametrize("job", [SYNC, VERIFY])
def test_cron_job_keeps_its_work_dir_on_the_claim(job: dict[str, Any]) -> None:
    volumes = {volume["name"]: volume for volume in pod(job)["volumes"]}
    assert volumes["workspace"]["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
    (container,) = pod(job)["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["workspace"] == env.WORK_DIR


@pytest.mark.parametrize("job", [SYNC, VERIFY])
def test_cron_job_gets_the_secrets_of_every_step_but_no_api_token(job: dict[str, Any]) -> None:
    (container,) = pod(job)["containers"]
    names = {source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source}
    assert names == {env.PROXY_SECRET, env.KEY_SECRET, env.REPORT_SECRET}
    assert pod(job)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("job", [SYNC, VERIFY])
def test_cron_job_retries_only_transient_failures_and_disruptions(job: dict[str, Any]) -> None:
    disrupted, failed = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert disrupted["action"] == "Ignore"
    assert failed["onExitCodes"]["operator"] == "NotIn"
    assert set(failed["onExitCodes"]["values"]) == {int(code) for code in RETRIED_EXIT_CODES}


@pytest.mark.parametrize("job", [SYNC, VERIFY])
def test_cron_job_never_overlaps_itself(job: dict[str, Any]) -> None:
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
