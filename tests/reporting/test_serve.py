"""serve: metrics, health and pages over HTTP, from a state that others write."""

from __future__ import annotations

import json
import re
import signal
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bucket import new_bucket
from tests.support.faults import Hang, Status, when
from tests.support.process import await_port, free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Iterator

    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.s3 import S3Server
    from tests.support.sync import Sync

OBJECTS = {"clusterbackup/east/shop/a.yaml": b"a", "clusterbackup/west/shop/b.yaml": b"b"}
_DEADLINE_SECONDS = 20


class Got:
    """One answer."""

    def __init__(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.text = body.decode()

    @property
    def json(self) -> dict[str, Any]:
        parsed = json.loads(self.text)
        assert isinstance(parsed, dict)
        return parsed


def get(port: int, path: str, *, method: str = "GET", accept: str = "") -> Got:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", method=method, headers={"Accept": accept}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return Got(response.status, response.headers.items(), response.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Got(refused.code, refused.headers.items(), refused.read())


class Served:
    """A running `git-sync serve`."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.log: list[dict[str, Any]] = []

    def get(self, path: str, **options: str) -> Got:
        return get(self.port, path, **options)

    def next_line(self) -> dict[str, Any]:
        """Wait for the next line of its log."""
        assert self.process.stdout is not None
        line = json.loads(self.process.stdout.readline())
        assert isinstance(line, dict)
        self.log.append(line)
        return line

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=_DEADLINE_SECONDS)
        assert err == ""
        self.log += [json.loads(line) for line in out.splitlines()]
        return self.process.returncode


@contextmanager
def serving(sync: Sync, **settings: str) -> Iterator[Served]:
    port = free_port()
    process = sync.start("serve", METRICS_PORT=str(port), **settings)
    served = Served(process, port)
    try:
        assert served.next_line()["operation"] == "serve"
        yield served
    finally:
        process.kill()
        process.communicate()


def test_it_answers_for_the_runs_of_others_as_they_come(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    with serving(sync) as served:
        health = served.get("/health")
        assert (health.status, health.json["healthy"]) == (503, False)
        assert "no run has been reported yet" in health.json["reason"]
        assert "git_sync_duration_seconds_count 0.0" in served.get("/metrics").text
        assert "git_sync_last_success_timestamp" not in served.get("/metrics").text
        assert served.get("/report").status == 404
        assert "no run has been reported yet" in served.get("/").text

        assert sync().exit == 0
        health = served.get("/health")
        assert (health.status, health.json["healthy"]) == (200, True)
        assert "git_sync_duration_seconds_count 1.0" in served.get("/metrics").text
        assert "Healthy" in served.get("/").text
        assert "2 new" in served.get("/report").text
        pushed, complete = served.next_line(), served.next_line()
        assert (pushed["operation"], pushed["data"]["git_commit"]) == (
            "git_push",
            sync.state["last_run"]["commit"],
        )
        assert complete["operation"] == "sync_complete"
        assert complete["data"]["files_changed"] == 2

        assert sync(MINIO_ENDPOINT=f"127.0.0.1:{free_port()}").exit == 30
        assert (served.get("/health").status, served.get("/metrics").status) == (200, 200)
        failed, complete = served.next_line(), served.next_line()
        assert (failed["level"], failed["operation"]) == ("error", "minio_connect")
        assert (complete["level"], complete["data"]["exit_code"]) == ("error", 30)
        assert served.stop() == 0
        assert [line["message"] for line in served.log if line["operation"] == "serve"][
            -1
        ] == "Stopped by SIGTERM"


def test_health_is_stale_when_the_schedule_says_so(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
    with serving(sync, HEALTH_MAX_AGE="0s") as served:
        health = served.get("/health")
        assert health.status == 503
        assert "stale since" in health.json["reason"]
        assert health.headers["content-type"] == "application/json"
        assert "Unhealthy" in served.get("/").text


def test_scrapers_get_the_format_that_they_ask_for(sync: Sync) -> None:
    with serving(sync) as served:
        assert served.get("/metrics").headers["content-type"].startswith("text/plain; version=")
        asked = served.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
        assert asked.headers["content-type"].startswith("application/openmetrics-text")
        assert asked.text.endswith("# EOF\n")


def test_other_paths_and_methods_are_refused(sync: Sync) -> None:
    with serving(sync) as served:
        assert served.get("/metrics?x=1").status == 200
        assert served.get("/../../etc/passwd").status == 404
        assert served.get("/sync-metadata.json").status == 404
        assert served.get("/metrics", method="POST").status == 501
        head = served.get("/health", method="HEAD")
        assert (head.status, head.text) == (503, "")


def test_no_name_can_become_markup_or_script(sync: Sync, bucket: Bucket) -> None:
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


def test_the_status_page_shows_how_each_cluster_is(faulty: Sync, bucket: Bucket, proxy: S3FaultProxy) -> None:
    names = ("east", "gone", "north", "west")
    bucket.put_many({f"clusterbackup/{name}/a.yaml": b"x" for name in names})
    assert faulty().exit == 0
    bucket.delete("clusterbackup/gone/a.yaml")
    bucket.put("clusterbackup/north/.gitignore", b"x")
    proxy.install(when(lambda it: it.is_list and it.concerns("clusterbackup/west/"), Status(503, "SlowDown")))
    assert faulty(RETRY_ATTEMPTS="1").exit == 20
    with serving(faulty) as served:
        page = served.get("/").text
    badges = re.findall(
        r'<code>(\w+)</code></td><td data-head="Status"><span class="badge \w+">([\w ]+)<', page
    )
    assert badges == [("east", "ok"), ("gone", "missing"), ("north", "quarantined keys"), ("west", "failed")]


def test_a_damaged_state_is_503_everywhere_and_said_once(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
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


@pytest.mark.parametrize("port", ["taken", "0"])
def test_a_port_that_cannot_be_had_ends_serve(port: str, sync: Sync) -> None:
    with serving(sync) as served:
        result = sync("serve", METRICS_PORT=str(served.port) if port == "taken" else "0")
    assert result.exit == 40
    assert "Failed to listen on METRICS_PORT" in result.errors


# -- the state as an artifact in S3 -----------------------------------------------------------


@pytest.fixture
def artifacts(s3: S3Server) -> Bucket:
    """Argo's artifact repository."""
    return new_bucket(s3)


@pytest.fixture
def remote(sync: Sync, artifacts: Bucket) -> Sync:
    """serve, with the state in S3 and no volume."""
    server = artifacts.server
    return sync.with_settings(
        WORK_DIR="/nonexistent",
        STATE_ENDPOINT=server.endpoint,
        STATE_BUCKET=artifacts.name,
        STATE_KEY="git-sync/backup-system/sync-metadata.json",
        STATE_ACCESS_KEY=server.access_key,
        STATE_SECRET_KEY=server.secret_key,
        STATE_USE_SSL="false",
    )


def test_the_state_is_read_from_its_artifact(
    sync: Sync, remote: Sync, bucket: Bucket, artifacts: Bucket
) -> None:
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
    result = remote("health")
    assert result.exit == 1
    assert "sync-metadata.json does not exist" in result.errors
    artifacts.put(remote.settings["STATE_KEY"], (sync.work_dir / "sync-metadata.json").read_bytes())
    assert remote("health").exit == 0
    with serving(remote) as served:
        assert [served.next_line()["operation"] for _ in range(2)] == ["git_push", "sync_complete"]
        assert served.get("/health").status == 200
        assert 'git_sync_cluster_files{cluster="east"} 1.0' in served.get("/metrics").text


def test_an_artifact_out_of_reach_is_503_and_no_zeros(remote: Sync) -> None:
    with serving(remote, STATE_ENDPOINT=f"127.0.0.1:{free_port()}") as served:
        metrics = served.get("/metrics")
        assert metrics.status == 503
        assert "connection refused" in metrics.text
        assert "git_sync_" not in metrics.text
        assert served.get("/health").json["healthy"] is False


def test_what_the_artifact_needs_is_asked_for_at_once(remote: Sync) -> None:
    result = remote("serve", STATE_BUCKET="", STATE_KEY="", STATE_SECRET_KEY="", STATE_CA_FILE="/absent.pem")
    assert result.exit == 40
    for name in ("STATE_BUCKET", "STATE_KEY", "STATE_SECRET_KEY", "STATE_CA_FILE"):
        assert re.search(rf"{name}(: | is required)", result.errors)


# -- a run, while it works --------------------------------------------------------------------


def test_a_run_answers_while_it_works_and_no_longer(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put_many(OBJECTS)
    assert faulty().exit == 0
    bucket.put("clusterbackup/east/shop/a.yaml", b"changed")
    proxy.install(when(lambda request: request.is_get, Hang(60)))
    port = free_port()
    process = faulty.start("run", METRICS_PORT=str(port))
    await_port(f"127.0.0.1:{port}", timeout_seconds=_DEADLINE_SECONDS)
    assert "git_sync_duration_seconds_count 1.0" in get(port, "/metrics").text
    assert get(port, "/health").status == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=_DEADLINE_SECONDS) == 143
    process.communicate()
    with pytest.raises(urllib.error.URLError):
        get(port, "/metrics")


def test_a_run_works_also_where_its_port_is_taken(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    with serving(sync) as served:
        result = sync(METRICS_PORT=str(served.port))
    assert result.exit == 0
    (line,) = result.of("serve", "warning")
    assert "address already in use" in line["error"]
