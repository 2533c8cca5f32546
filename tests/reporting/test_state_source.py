"""The state as a file, and as an artifact in S3."""

from __future__ import annotations

import re
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from steps.contracts import State
from steps.core import limits
from steps.core.operations import Operation
from steps.errors import FixConfiguration, TryAgain
from steps.reporting.state_source import LastReading, Reading, StateFile
from steps.workdir.files import write_document
from tests.support.bucket import new_bucket
from tests.support.faults import Hang, when
from tests.support.first_sync import first_sync
from tests.support.process import free_port
from tests.support.results import state
from tests.support.served import DEADLINE_SECONDS, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from steps.errors import SyncError
    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.s3 import S3Server
    from tests.support.sync import Sync

OBJECTS = {"clusterbackup/east/shop/a.yaml": b"a", "clusterbackup/west/shop/b.yaml": b"b"}


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


def test_health_and_serve_read_the_state_from_s3(sync: Sync, remote: Sync, artifacts: Bucket) -> None:
    first_sync(sync, OBJECTS)
    result = remote("health")
    assert result.exit == 1
    assert "sync-metadata.json does not exist" in result.errors
    artifacts.put(remote.settings["STATE_KEY"], (sync.work_dir / "sync-metadata.json").read_bytes())
    assert remote("health").exit == 0
    with serving(remote) as served:
        assert [served.next_line()["operation"] for _ in range(2)] == ["git_push", "sync_complete"]
        assert served.get("/health").status == 200
        assert 'git_sync_cluster_files{cluster="east"} 1.0' in served.get("/metrics").text


def test_serve_answers_503_while_s3_is_unreachable(remote: Sync) -> None:
    with serving(remote, STATE_ENDPOINT=f"127.0.0.1:{free_port()}") as served:
        metrics = served.get("/metrics")
        assert metrics.status == 503
        assert "connection refused" in metrics.text
        assert "git_sync_" not in metrics.text
        assert served.get("/health").json["healthy"] is False


def test_serve_reports_every_problem_of_the_s3_settings_at_once(remote: Sync) -> None:
    result = remote("serve", STATE_BUCKET="", STATE_KEY="", STATE_SECRET_KEY="", STATE_CA_FILE="/absent.pem")
    assert result.exit == 40
    for name in ("STATE_BUCKET", "STATE_KEY", "STATE_SECRET_KEY", "STATE_CA_FILE"):
        assert re.search(rf"{name}(: | is required)", result.errors)


def test_serve_of_an_argo_installation_exits_40_without_the_address_of_the_state(sync: Sync) -> None:
    """Otherwise it would show an empty WORK_DIR, as in an installation with CronJobs."""
    result = sync("serve", STATE_NAMESPACE="backup-system")
    assert result.exit == 40
    assert "STATE_ENDPOINT is required" in result.errors


def test_state_file_returns_the_state_of_the_newest_run(tmp_path: Path) -> None:
    source = StateFile(tmp_path / "sync-metadata.json")
    assert source.read() is None
    for failures in (1, 2):
        write_document(tmp_path / "sync-metadata.json", state(consecutive_failures=failures))
        assert source.read() == state(consecutive_failures=failures)


def test_state_file_raises_if_the_state_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "sync-metadata.json").write_text("{")
    with pytest.raises(FixConfiguration, match=r"sync-metadata\.json is damaged"):
        StateFile(tmp_path / "sync-metadata.json").read()


# -- the state as it was read last ---------------------------------------------------------------------


class Scripted:
    """A source that does what the test sets."""

    where = "somewhere"
    pause_seconds = 1.0
    cache_seconds = 0.0

    def __init__(self) -> None:
        self.answer: Callable[[], State | None] = lambda: None
        self.reads = 0

    def read(self) -> State | None:
        self.reads += 1
        return self.answer()


def fail(problem: SyncError) -> State:
    raise problem


@pytest.fixture
def source() -> Scripted:
    return Scripted()


def test_last_reading_is_the_current_state(source: Scripted) -> None:
    states = LastReading(source)
    for failures in (1, 2):
        source.answer = partial(state, consecutive_failures=failures)
        assert states.read() == Reading(state(consecutive_failures=failures))


def test_last_reading_is_the_last_state_while_the_source_does_not_answer(source: Scripted) -> None:
    states = LastReading(source)
    source.answer = state
    states.read()
    release = threading.Event()
    source.answer = lambda: state(consecutive_failures=2) if release.wait(60) else None
    began = time.monotonic()
    readings = [states.read() for _ in range(5)]
    assert [reading.state for reading in readings] == [state()] * 5
    assert "no answer from somewhere yet" in str(readings[-1].problem)
    assert time.monotonic() - began < 1
    assert readings[-1].age_seconds > 0.5
    assert source.reads == 2
    release.set()
    assert until(lambda: states.read().problem is None)
    assert states.read().state == state(consecutive_failures=2)


def test_last_reading_is_the_last_state_for_a_while_after_transient_errors(
    source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = LastReading(source)
    source.answer = state
    states.read()
    problem = TryAgain(Operation.MINIO_CONNECT, "Failed to read from S3", "connection refused")
    source.answer = partial(fail, problem)
    assert states.read().state == state()
    assert states.read().problem is problem
    monkeypatch.setattr(limits, "HTTP_STALE_STATE_SECONDS", 0)
    with pytest.raises(TryAgain, match="connection refused"):
        states.read()


def test_last_reading_raises_a_permanent_error_at_once(source: Scripted) -> None:
    states = LastReading(source)
    source.answer = state
    states.read()
    source.answer = partial(fail, FixConfiguration(Operation.MINIO_CONNECT, "Failed", "access denied"))
    with pytest.raises(FixConfiguration, match="access denied"):
        states.read()


def test_last_reading_raises_if_the_source_has_never_answered(source: Scripted) -> None:
    release = threading.Event()
    source.answer = lambda: state() if release.wait(60) else None
    with pytest.raises(TryAgain, match="no answer from somewhere yet"):
        LastReading(source).read()
    release.set()


def test_last_reading_raises_if_the_source_breaks(source: Scripted) -> None:
    source.answer = partial(State.model_validate, {})
    with pytest.raises(FixConfiguration, match="Unexpected error"):
        LastReading(source).read()


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_serve_answers_with_the_last_state_while_s3_hangs(
    sync: Sync, remote: Sync, artifacts: Bucket, proxy: S3FaultProxy
) -> None:
    first_sync(sync, OBJECTS)
    artifacts.put(remote.settings["STATE_KEY"], (sync.work_dir / "sync-metadata.json").read_bytes())
    with serving(remote, STATE_ENDPOINT=proxy.server.endpoint) as served:
        assert served.get("/health").json["stale"] is False
        assert "git_sync_state_age_seconds 0.0" in served.get("/metrics").text
        proxy.install(when(lambda request: request.is_get, Hang(600)))
        time.sleep(2.5)  # the state is read again two seconds later
        for path in ("/health", "/metrics", "/", "/report"):
            began = time.monotonic()
            answer = served.get(path)
            assert time.monotonic() - began < 1
            assert answer.status == 200
        health = served.get("/health").json
        assert (health["healthy"], health["stale"]) == (True, True)
        assert re.search(r"this was read \d+ s ago: Failed to read the state: no answer", health["reason"])
        assert "git_sync_state_age_seconds 0.0" not in served.get("/metrics").text
        proxy.clear()
        assert until(lambda: served.get("/health").json["stale"] is False)


def test_state_file_is_parsed_again_only_after_a_change(tmp_path: Path) -> None:
    path = tmp_path / "sync-metadata.json"
    source = StateFile(path)
    assert source.read() is None
    write_document(path, state())
    first = source.read()
    assert first == state()
    assert source.read() is first
    write_document(path, state())
    assert source.read() is not first
    path.unlink()
    assert source.read() is None
