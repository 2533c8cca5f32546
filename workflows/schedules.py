"""The schedules: CronWorkflow `git-sync`, and `git-sync-verify`, a weekly full run that ignores the cache."""

from __future__ import annotations

from hera.workflows import CronWorkflow, Parameter
from hera.workflows import models as m

from steps.contracts import Mode
from workflows import environment as env
from workflows.pipeline import NAME, PARAMETERS

# Sunday 03:37, a minute at which few other jobs start.
VERIFY_SCHEDULE = "37 3 * * 0"

# Shared with the CronJobs of cron_job.py.
START_DEADLINE_SECONDS = 300
SUCCESSFUL_RUNS_KEPT = 3
FAILED_RUNS_KEPT = 5


def cron_workflows() -> list[CronWorkflow]:
    """The CronWorkflows. They refer to the template; overlays replace schedule and time zone."""
    schedule = env.configurable()["SYNC_SCHEDULE"]
    return [
        _cron_workflow(NAME, schedule, "Syncs the changes of the bucket to Git."),
        _cron_workflow(
            f"{NAME}-verify",
            VERIFY_SCHEDULE,
            "Fetches every object and compares it with Git.",
            mode=Mode.FULL,
        ),
    ]


def _cron_workflow(name: str, schedule: str, description: str, **values: str) -> CronWorkflow:
    return CronWorkflow(
        name=name,
        labels={"app.kubernetes.io/name": NAME},
        annotations={"workflows.argoproj.io/description": description},
        schedules=[schedule],
        timezone=env.configurable()["SYNC_TIMEZONE"],
        # With only the mutex of the template, runs with the same work would queue up.
        concurrency_policy="Forbid",
        starting_deadline_seconds=START_DEADLINE_SECONDS,
        successful_jobs_history_limit=SUCCESSFUL_RUNS_KEPT,
        failed_jobs_history_limit=FAILED_RUNS_KEPT,
        workflow_template_ref=m.WorkflowTemplateRef(name=NAME),
        # All parameters of the template: Argo's Resubmit form offers only those of the workflow itself.
        arguments=[
            Parameter(name=one.name, value=values.get(str(one.name), one.value), enum=one.enum)
            for one in PARAMETERS
        ],
    )
