"""Runs that options filter have their own record: those of the installation stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.receiver import receiver
from tests.support.served import serving
from tests.support.steps import KEY

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.sync import Sync


def pages(sync: Sync) -> dict[str, str]:
    return {path.name: path.read_text() for path in sync.work_dir.glob("report*")}


@pytest.mark.usefixtures("synced")
def test_failed_filtered_run_keeps_the_record_of_the_installation(sync: Sync) -> None:
    before, page = sync.state, pages(sync)
    assert sync("run", "--clusters", "typo").exit == 40
    state, after = sync.state, pages(sync)
    for name in ("last_run", "last_success", "consecutive_failures", "clusters", "listed"):
        assert state[name] == before[name], name
    assert state["last_filtered_run"]["exit_code"] == 40
    assert state["counters"]["runs"] == before["counters"]["runs"] + 1
    assert {name: after[name] for name in page} == page
    assert "CLUSTERS matches no cluster" in after["report-filtered.md"]
    assert "CLUSTERS matches no cluster" in after["report-filtered.html"]
    assert sync("health").exit == 0


@pytest.mark.usefixtures("synced")
def test_filtered_run_is_served_and_logged_beside_the_last_run(sync: Sync) -> None:
    assert sync("run", "--clusters", "typo").exit == 40
    with serving(sync) as server:
        metrics = server.get("/metrics").text
        assert "git_sync_last_run_exit_code 0.0" in metrics
        assert "git_sync_last_filtered_run_exit_code 40.0" in metrics
        assert "CLUSTERS matches no cluster" in server.get("/report/filtered").text
        assert "CLUSTERS matches no cluster" not in server.get("/report").text
        assert 'href="report/filtered"' in server.get("/").text


@pytest.mark.usefixtures("synced")
def test_filtered_run_of_another_branch_does_not_replace_the_state(sync: Sync) -> None:
    before = sync.state
    assert sync("run", "--clusters", "east", GIT_BRANCH="other").exit == 0
    assert sync.state["identity"] == before["identity"]
    assert sync.state["last_success"] == before["last_success"]


@pytest.mark.usefixtures("synced")
def test_filtered_run_is_marked_in_the_webhook(sync: Sync, bucket: Bucket) -> None:
    bucket.put(KEY, b"2")
    with receiver() as hook:
        assert sync("run", "--clusters", "east", WEBHOOK_URL=hook.url).exit == 0
    (delivery,) = hook.got
    assert b"git-sync: Success on main, filtered by options. 0 new, 1 modified" in delivery.body


def test_health_is_bad_after_only_filtered_runs(sync: Sync, bucket: Bucket) -> None:
    bucket.put(KEY, b"1")
    assert sync("run", "--clusters", "east").exit == 0
    health = sync("health")
    assert health.exit == 1
    assert "no run without filter options has been reported yet" in health.errors
