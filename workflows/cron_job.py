"""For clusters without Argo: CronJobs that do all steps in one container, on a volume that stays."""

from __future__ import annotations

from typing import Any

from hera.workflows import models as m

from steps.contracts import Mode
from workflows import environment as env
from workflows.pipeline import IMAGE, NAME, TRIED_AGAIN
from workflows.schedules import VERIFY_SCHEDULE

_CLAIM = "git-sync-workspace"


def cron_jobs() -> list[dict[str, Any]]:
    """The volume, the CronJob, and the one that compares every object once a week."""
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
        "automountServiceAccountToken": False,  # it calls nobody but the bucket and the repository
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
            "startingDeadlineSeconds": 300,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 5,
            "jobTemplate": {
                "spec": {
                    # For a while, as a run may find the volume in use by another.
                    "backoffLimit": 6,
                    "podFailurePolicy": {"rules": _failure_rules()},
                    "activeDeadlineSeconds": 2 * 3600,
                    "template": {"metadata": {"labels": _labels()}, "spec": pod},
                }
            },
        },
    }


def _failure_rules() -> list[dict[str, Any]]:
    """Try again what Argo would try again, and nothing else."""
    codes = {"containerName": NAME, "operator": "NotIn", "values": sorted(map(int, TRIED_AGAIN))}
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
