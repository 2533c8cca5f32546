"""The Deployment `git-sync`, and the report of a run."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from tests.e2e.site import kubectl

if TYPE_CHECKING:
    from tests.e2e.installation import Installation

_TIMEOUT_SECONDS = 120


def test_serve_shows_the_runs_of_the_pipeline(installation: Installation) -> None:
    installation.bucket.put_many({f"clusterbackup/east/shop/{n}.yaml": b"x" for n in range(3)})
    installation.components = ("serve",)
    site = installation.site
    installation.install(
        STATE_ENDPOINT=site.s3_from_pods, STATE_BUCKET=installation.artifacts.name, STATE_USE_SSL="false"
    )
    keys = {"STATE_ACCESS_KEY": "state-reader", "STATE_SECRET_KEY": site.s3.secret_key}
    installation.apply({"kind": "Secret", "metadata": {"name": "git-sync-state"}, "stringData": keys})
    run = installation.sync()
    assert run.exits("report") == [0]

    here = ("-n", installation.namespace)
    kubectl(*here, "rollout", "status", "deployment/git-sync", "--timeout=120s")

    def ask(path: str) -> str:
        service = f"/api/v1/namespaces/{installation.namespace}/services/git-sync:8080/proxy"
        return kubectl("get", "--raw", f"{service}{path}")

    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while "git_sync_duration_seconds_count 1.0\n" not in ask("/metrics"):
        assert time.monotonic() < deadline, ask("/metrics")
        time.sleep(1)
    assert json.loads(ask("/health"))["healthy"] is True
    assert "3 new, 0 modified, 0 deleted in 1 cluster" in ask("/report")

    while "sync_complete" not in (log := kubectl(*here, "logs", "deployment/git-sync")):
        assert time.monotonic() < deadline, log
        time.sleep(1)
    (complete,) = [line for line in map(json.loads, log.splitlines()) if line["operation"] == "sync_complete"]
    assert complete["data"]["files_changed"] == 3

    (report,) = run.pods("report")
    for name, text in (
        ("report-html", "<title>Success: git-sync run report"),
        ("report-markdown", "**Success**"),
    ):
        path = f"artifact-files/{installation.namespace}/workflows/{run.name}/{report.id}/outputs/{name}"
        assert text in site.argo_api("GET", path).decode()
