"""The status page: health, last run, clusters."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from steps.contracts import ClusterResult, ClusterState, ForeignFile, Status
from steps.reporting.markdown import markdown
from steps.reporting.status_page import status_page
from tests.support import faults
from tests.support.results import NOON, result, state
from tests.support.served import serving

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Sync


def test_status_page_shows_the_state_of_each_cluster_after_real_runs(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    names = ("east", "gone", "north", "west")
    bucket.put_many({f"clusterbackup/{name}/a.yaml": b"x" for name in names})
    assert faulty().exit == 0
    bucket.delete("clusterbackup/gone/a.yaml")
    bucket.put("clusterbackup/north/.gitignore", b"x")
    proxy.install(
        faults.when(
            lambda it: it.is_list and it.concerns("clusterbackup/west/"), faults.Status(503, "SlowDown")
        )
    )
    assert faulty(RETRY_ATTEMPTS="1").exit == 20
    with serving(faulty) as served:
        page = served.get("/").text
    badges = re.findall(
        r'<code>(\w+)</code></td><td data-head="Status"><span class="badge \w+">([\w ]+)<', page
    )
    assert badges == [("east", "ok"), ("gone", "missing"), ("north", "quarantined keys"), ("west", "failed")]


def test_status_page_before_the_first_run_has_only_the_reason_and_links() -> None:
    page = markdown(status_page(None, NOON, healthy=False, reason="no run has been reported yet"))
    assert page.startswith("# git-sync\n\n**Unhealthy** no run has been reported yet\n")
    assert "Last run" not in page


@pytest.mark.parametrize(
    ("fields", "badge"),
    [
        ({}, "ok"),
        ({"quarantined": 1}, "quarantined keys"),
        ({"quarantined": 1, "secrets_unreadable": 1}, "unreadable Secrets"),
        ({"secrets_unreadable": 1, "refused_by_host": 1}, "refused by host"),
        ({"quarantined": 1, "refused_by_host": 1}, "refused by host"),
        ({"refused_by_host": 1, "deletions_refused": 1}, "refused"),
        ({"deletions_refused": 1, "missing": True}, "missing"),
        ({"missing": True, "over_limit": True}, "over limit"),
    ],
)
def test_status_page_shows_the_gravest_state_of_a_cluster(fields: dict[str, Any], badge: str) -> None:
    known = ClusterState(last_success_at=NOON, files=1234, **fields)
    page = markdown(status_page(state(clusters={"east": known}), NOON, healthy=True, reason="fine"))
    assert f"| `east` | **{badge}** | 1,234 | 2025-07-12 12:00 UTC |" in page


def test_status_page_counts_rewritten_objects_and_secrets() -> None:
    stripped = result(clusters=(ClusterResult(name="east", status=Status.OK, rewritten=2, cut_bytes=900),))
    known = state(clusters={"east": ClusterState(secrets=3, secrets_unreadable=4)}, last_run=stripped)
    page = markdown(status_page(known, NOON, healthy=True, reason="fine"))
    assert "in 1 cluster. 2 objects rewritten, 900 bytes cut. [Report]" in page
    assert "3 Secrets redacted or excluded so far." in page
    assert "| **unreadable Secrets** | 0 | – | – | 0 | 4 |" in page


def test_status_page_shows_a_cluster_that_failed_in_the_last_run() -> None:
    failed = result(clusters=(ClusterResult(name="east", status=Status.FAILED),))
    known = state(clusters={"east": ClusterState(), "west": ClusterState()}, last_run=failed)
    page = markdown(status_page(known, NOON, healthy=True, reason="fine"))
    assert "| `east` | **failed** |" in page
    assert "| `west` | **ok** |" in page


def test_status_page_marks_times_ahead_of_now() -> None:
    known = ClusterState(last_success_at=NOON + timedelta(days=1), newest_object_at=NOON)
    page = markdown(status_page(state(clusters={"east": known}), NOON, healthy=False, reason="x"))
    assert "| 2025-07-13 12:00 UTC, in the future | 2025-07-12 12:00 UTC |" in page


def test_status_page_lists_the_first_foreign_files() -> None:
    files = tuple(ForeignFile(path=f"ghost/{number:02}", oid="0" * 40) for number in range(22))
    known = state(clusters={"ghost": ClusterState(foreign=files)})
    page = markdown(status_page(known, NOON, healthy=True, reason="ok"))
    assert "## Foreign files\n\n- `ghost/00`\n" in page
    assert "… and 2 more." in page


def test_status_page_marks_clusters_that_exceed_source_max_age() -> None:
    clusters = {"east": ClusterState(files=1), "west": ClusterState(files=1)}
    known = state(clusters=clusters)
    page = markdown(status_page(known, NOON, healthy=True, reason="fine", stale={"east": "old"}))
    rows = {line.split("`")[1]: line for line in page.split("\n") if line.startswith("| `")}
    assert "stale" in rows["east"]
    assert "stale" not in rows["west"]
