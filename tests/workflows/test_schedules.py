"""CronWorkflows: the regular sync, and the weekly full run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cronsim import CronSim

from workflows import environment as env
from workflows.schedules import VERIFY_SCHEDULE, cron_workflows

SYNC, VERIFY = (cron.to_dict() for cron in cron_workflows())


def test_sync_uses_the_schedule_and_the_time_zone_of_the_settings() -> None:
    settings = env.configurable()
    assert SYNC["spec"]["schedules"] == [settings["SYNC_SCHEDULE"]]
    assert SYNC["spec"]["timezone"] == VERIFY["spec"]["timezone"] == settings["SYNC_TIMEZONE"]


def test_verify_is_a_full_run_once_a_week() -> None:
    sync, verify = (
        {one["name"]: one["value"] for one in cron["spec"]["workflowSpec"]["arguments"]["parameters"]}
        for cron in (SYNC, VERIFY)
    )
    assert verify == sync | {"mode": "full"}
    assert sync["mode"] == "incremental"
    firings = CronSim(VERIFY_SCHEDULE, datetime(2026, 1, 5, tzinfo=UTC))
    first, second = next(firings), next(firings)
    assert (second - first).days == 7


@pytest.mark.parametrize("cron", [SYNC, VERIFY])
def test_schedule_starts_the_template_and_never_overlaps_itself(cron: dict[str, Any]) -> None:
    assert cron["spec"]["workflowSpec"]["workflowTemplateRef"] == {"name": "git-sync"}
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"


@pytest.mark.parametrize("cron", [SYNC, VERIFY])
def test_schedule_keeps_more_failed_runs_than_successful_ones(cron: dict[str, Any]) -> None:
    spec = cron["spec"]
    assert spec["failedJobsHistoryLimit"] > spec["successfulJobsHistoryLimit"] > 0
