"""When it runs: CronWorkflow `git-sync`, and once a week `git-sync-verify`, which trusts no cache."""

from __future__ import annotations

from hera.workflows import CronWorkflow, Parameter
from hera.workflows import models as m

from steps.contracts import Mode
from workflows import environment as env
from workflows.pipeline import NAME

# At a minute at which nothing else begins.
VERIFY_SCHEDULE = "37 3 * * 0"


def cron_workflows() -> list[CronWorkflow]:
    """The schedules, which only refer to the template. Overlays put the installation's own in here."""
    schedule = env.configurable()["SYNC_SCHEDULE"]
    full = Parameter(name="mode", value=Mode.FULL)
    return [
        _cron_workflow(NAME, schedule, "Syncs what has changed."),
        _cron_workflow(f"{NAME}-verify", VERIFY_SCHEDULE, "Compares every object with Git.", full),
    ]


def _cron_workflow(name: str, schedule: str, description: str, *arguments: Parameter) -> CronWorkflow:
    return CronWorkflow(
        name=name,
        labels={"app.kubernetes.io/name": NAME},
        annotations={"workflows.argoproj.io/description": description},
        schedules=[schedule],
        timezone=env.configurable()["SYNC_TIMEZONE"],
        # Besides the template's mutex: no queue of runs that all have the same to do.
        concurrency_policy="Forbid",
        starting_deadline_seconds=300,
        successful_jobs_history_limit=3,
        failed_jobs_history_limit=5,
        workflow_template_ref=m.WorkflowTemplateRef(name=NAME),
        arguments=list(arguments) or None,
    )
