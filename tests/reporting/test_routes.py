"""The paths of the HTTP server: formats, errors, and names in its pages."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from steps.reporting.routes import Routes
from steps.reporting.state_source import LastReading, StateFile
from steps.runtime.settings.reading import read
from tests.support.first_sync import first_sync
from tests.support.served import serving

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

OBJECTS = {"clusterbackup/east/shop/a.yaml": b"a", "clusterbackup/west/shop/b.yaml": b"b"}


def test_health_answers_503_after_health_max_age(sync: Sync) -> None:
    first_sync(sync, OBJECTS)
    with serving(sync, HEALTH_MAX_AGE="0s") as served:
        health = served.get("/health")
        assert health.status == 503
        assert "stale since" in health.json["reason"]
        assert health.headers["content-type"] == "application/json"
        assert "Unhealthy" in served.get("/").text


def test_metrics_have_the_requested_format(sync: Sync) -> None:
    first_sync(sync, OBJECTS)
    with serving(sync) as served:
        assert served.get("/metrics").headers["content-type"].startswith("text/plain; version=")
        asked = served.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
        assert asked.headers["content-type"].startswith("application/openmetrics-text")
        assert asked.text.endswith("# EOF\n")


def test_pages_show_hostile_names_as_text(sync: Sync, bucket: Bucket) -> None:
    evil = "<script>alert(1)<"
    bucket.put_many(
        {f"clusterbackup/{evil}/{evil}/{evil}.yaml": b"x", "clusterbackup/east/a\u202e\nb.yaml": b"x"}
    )
    assert sync().exit == 0
    with serving(sync) as served:
        for path in ("/", "/report"):
            page = served.get(path)
            assert "<script" not in page.text
            assert "&lt;script&gt;" in page.text
            assert "\u202e" not in page.text
            assert page.headers["content-security-policy"].startswith("default-src 'none'")
            assert page.headers["x-content-type-options"] == "nosniff"
        assert r"a\u202e\nb.yaml" in served.get("/report").text


def test_every_path_answers_503_for_a_damaged_state(sync: Sync) -> None:
    first_sync(sync, OBJECTS)
    good = (sync.work_dir / "sync-metadata.json").read_text()
    (sync.work_dir / "sync-metadata.json").write_text("{")
    with serving(sync) as served:
        assert served.next_line()["operation"] == "setup_workdir"
        for path in ("/", "/report", "/metrics", "/health"):
            answer = served.get(path)
            assert answer.status == 503
            assert "is damaged" in answer.text
        (sync.work_dir / "sync-metadata.json").write_text(good)
        assert served.get("/health").status == 200


def test_report_is_rendered_once_for_each_run(sync: Sync, bucket: Bucket) -> None:
    first_sync(sync, OBJECTS)
    configured = read(sync.settings)
    routes = Routes(configured.http, LastReading(StateFile(sync.work_dir / "sync-metadata.json")))
    first = routes.respond("/report", "")
    assert routes.respond("/report", "") is first
    bucket.put("clusterbackup/east/shop/new.yaml", b"new")
    assert sync().exit == 0
    second = routes.respond("/report", "")
    assert second.body != first.body
    assert routes.respond("/report", "") is second
    assert routes.respond("/report/filtered", "").status == HTTPStatus.NOT_FOUND
