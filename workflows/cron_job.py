"""For clusters without Argo: CronJobs that run all steps in one container, on a persistent volume."""

from __future__ import annotations

from typing import Any

from hera.workflows import models as m

from steps.contracts import Mode
from workflows import environment as env
from workflows.pipeline import IMAGE, NAME, RETRIED_EXIT_CODES, RUN_DEADLINE_SECONDS
from workflows.schedules import (
    FAILED_RUNS_KEPT,
    START_DEADLINE_SECONDS,
    SUCCESSFUL_RUNS_KEPT,
    VERIFY_SCHEDULE,
)

_CLAIM = "git-sync-workspace"


def cron_jobs() -> list[dict[str, Any]]:
    """The volume claim, the CronJob, and the weekly CronJob that compares every object."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(_CLAIM),
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": env.VOLUME_SIZE}}},
    }
    return [
        claim,
        _cron_job("git-sync-cronjob", env.configurable()["SYNC_SCHEDULE"], "run"),
        _cron_job("git-sync-verify-cronjob", VERIFY_SCHEDULE, "run", f"--mode={Mode.FULL}"),
    ]


def _cron_job(name: str, schedule: str, *arguments: str) -> dict[str, Any]:
    access = env.EVERYWHERE + env.VOLUME + env.BUCKET + env.REPOSITORY + env.REPORT_TARGETS
    container = m.Container(
        name=NAME,
        image=IMAGE,
        image_pull_policy="IfNotPresent",
        command=["git-sync"],
        args=list(arguments),
        env_from=access.to_settings(),
        env=list(access.environment),
        volume_mounts=list(access.mounts),
        resources=env.resources(),
        security_context=env.container_security(),
    )
    workspace = m.Volume(
        name="workspace",
        persistent_volume_claim=m.PersistentVolumeClaimVolumeSource(claim_name=_CLAIM),
    )
    pod = {
        "serviceAccountName": env.SERVICE_ACCOUNT,
        "automountServiceAccountToken": False,  # git-sync never calls the API server
        "restartPolicy": "Never",
        "securityContext": _plain(env.pod_security()),
        "containers": [_plain(container)],
        "volumes": [_plain(volume) for volume in (workspace, *env.volumes())],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": _metadata(name),
        "spec": {
            "schedule": schedule,
            "timeZone": env.configurable()["SYNC_TIMEZONE"],
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": START_DEADLINE_SECONDS,
            "successfulJobsHistoryLimit": SUCCESSFUL_RUNS_KEPT,
            "failedJobsHistoryLimit": FAILED_RUNS_KEPT,
            "jobTemplate": {
                "spec": {
                    # Six retries take about ten minutes: another run may still lock the volume.
                    "backoffLimit": 6,
                    "podFailurePolicy": {"rules": _failure_rules()},
                    "activeDeadlineSeconds": RUN_DEADLINE_SECONDS,
                    "template": {"metadata": {"labels": _labels()}, "spec": pod},
                }
            },
        },
    }


def _failure_rules() -> list[dict[str, Any]]:
    """Retry only the exit codes that Argo retries."""
    codes = {"containerName": NAME, "operator": "NotIn", "values": sorted(map(int, RETRIED_EXIT_CODES))}
    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": codes},
    ]


def _metadata(name: str) -> dict[str, Any]:
    return {"name": name, "labels": _labels()}


def _labels() -> dict[str, str]:
    return {"app.kubernetes.io/name": NAME}


def _plain(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
