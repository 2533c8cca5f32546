"""serve: metrics, health and pages over HTTP, from a state that others write."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.faults import Hang, when
from tests.support.first_sync import first_sync
from tests.support.idle import descriptors, idle_clients
from tests.support.process import await_port, free_port
from tests.support.served import DEADLINE_SECONDS, get, serving

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Sync

OBJECTS = {"clusterbackup/east/shop/a.yaml": b"a", "clusterbackup/west/shop/b.yaml": b"b"}


def test_serve_shows_and_logs_each_new_run(sync: Sync, bucket: Bucket) -> None:
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


@pytest.mark.parametrize("port", ["taken", "0"])
def test_serve_exits_40_if_its_port_is_unavailable(port: str, sync: Sync) -> None:
    with serving(sync) as served:
        result = sync("serve", METRICS_PORT=str(served.port) if port == "taken" else "0")
    assert result.exit == 40
    assert "Failed to listen on METRICS_PORT" in result.errors


# -- the state as an artifact in S3 -----------------------------------------------------------


# -- a run, while it works --------------------------------------------------------------------


def test_run_serves_until_it_ends(faulty: Sync, bucket: Bucket, proxy: S3FaultProxy) -> None:
    first_sync(faulty, OBJECTS)
    bucket.put("clusterbackup/east/shop/a.yaml", b"changed")
    proxy.install(when(lambda request: request.is_get, Hang(60)))
    port = free_port()
    process = faulty.start("run", METRICS_PORT=str(port))
    await_port(f"127.0.0.1:{port}", timeout_seconds=DEADLINE_SECONDS)
    assert "git_sync_duration_seconds_count 1.0" in get(port, "/metrics").text
    assert get(port, "/health").status == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=DEADLINE_SECONDS) == 143
    process.communicate()
    with pytest.raises(urllib.error.URLError):
        get(port, "/metrics")


def test_run_continues_if_its_port_is_taken(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    with serving(sync) as served:
        result = sync(METRICS_PORT=str(served.port))
    assert result.exit == 0
    (line,) = result.of("serve", "warning")
    assert "address already in use" in line["error"]


@contextmanager
def started(sync: Sync, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """A command as a process, which ends with the block."""
    process = sync.start(*arguments, **settings)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_run_commits_while_many_clients_are_connected(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(when(lambda request: request.is_get, Hang(3)))
    port = free_port()
    with started(faulty, "run", METRICS_PORT=str(port)) as process:
        await_port(f"127.0.0.1:{port}", timeout_seconds=DEADLINE_SECONDS)
        with idle_clients(port, 832):
            assert descriptors(process.pid) < 150
            assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("bind", "reachable"), [("", True), ("127.0.0.1", False), ("::1", False), ("0.0.0.0", True)]
)
def test_serve_listens_on_metrics_bind(bind: str, reachable: bool, sync: Sync) -> None:
    port = free_port()
    with started(sync, "serve", METRICS_PORT=str(port), METRICS_BIND=bind) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["operation"] == "serve"
        assert listens(other_address(), port) is reachable
        assert listens("::1" if bind == "::1" else "127.0.0.1", port)


def test_run_listens_on_loopback_only(faulty: Sync, bucket: Bucket, proxy: S3FaultProxy) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(when(lambda request: request.is_get, Hang(60)))
    port = free_port()
    with started(faulty, "run", METRICS_PORT=str(port)):
        await_port(f"127.0.0.1:{port}", timeout_seconds=DEADLINE_SECONDS)
        assert not listens(other_address(), port)


def other_address() -> str:
    """An IPv4 address of this machine that is not 127.0.0.1: all of 127.0.0.0/8 is loopback on Linux."""
    return "127.0.0.2"


def listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True
