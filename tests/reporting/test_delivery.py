"""Delivery of a reported run: pages, webhook, metrics, and sync_complete last."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from steps.reporting.delivery import Reported, deliver
from steps.runtime import retry
from steps.runtime.retry import RetryPolicy
from steps.runtime.settings.reading import read
from steps.workdir.files import write_document
from tests.support.log_lines import Output, entries, set_up
from tests.support.process import free_port
from tests.support.receiver import receiver
from tests.support.results import result, state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

OBJECTS = {"clusterbackup/east/shop/a.yaml": b"a"}


class Lock:
    """A lock that counts how often it was taken."""

    def __init__(self) -> None:
        self.taken = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.taken += 1
        yield


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DELIVERIES", RetryPolicy(attempts=2, first_pause=0.01))


@pytest.fixture
def reported(tmp_path: Path) -> Reported:
    """A run whose state is written."""
    file = tmp_path / "sync-metadata.json"
    write_document(file, state())
    return Reported(None, state(), result(), file)


def test_run_succeeds_although_its_pages_cannot_be_written(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    sync.work_dir.mkdir()
    (sync.work_dir / "report.html").mkdir()
    result = sync()
    assert result.exit == 0
    assert "Failed to write the report: is a directory" in result.errors
    assert result.lines[-1]["operation"] == "sync_complete"


@pytest.mark.usefixtures("restored_log")
def test_deliver_writes_both_pages_and_logs_sync_complete_last(reported: Reported, capsys: Output) -> None:
    set_up()
    lock = Lock()
    deliver(read({}).delivery, reported, result(), lock)
    assert "Success" in (reported.file.parent / "report.md").read_text()
    assert "<!DOCTYPE html>" in (reported.file.parent / "report.html").read_text()
    assert [line["operation"] for line in entries(capsys)] == ["sync_complete"]
    assert lock.taken == 0, "no delivery error, so the state is not written again"


@pytest.mark.usefixtures("restored_log")
def test_deliver_only_logs_a_dry_run(tmp_path: Path, capsys: Output) -> None:
    set_up()
    settings = read({"WEBHOOK_URL": f"http://127.0.0.1:{free_port()}"}).delivery
    deliver(settings, None, result(dry_run=True), Lock())
    assert [line["operation"] for line in entries(capsys)] == ["sync_complete"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("restored_log")
def test_deliver_counts_delivery_errors_in_the_state_under_the_lock(
    reported: Reported, capsys: Output
) -> None:
    set_up()
    closed = f"http://127.0.0.1:{free_port()}"
    environ = {"WEBHOOK_URL": closed, "PUSHGATEWAY_URL": closed, "SCRAPE_INTERVAL": "0s"}
    newer = state(consecutive_failures=7)  # another run was reported in the meantime
    write_document(reported.file, newer)
    lock = Lock()
    deliver(read(environ).delivery, reported, result(), lock)
    written = json.loads(reported.file.read_text())
    assert (written["counters"]["webhook_errors"], written["counters"]["pushgateway_errors"]) == (1, 1)
    assert written["consecutive_failures"] == 7
    assert lock.taken == 1
    assert [line["operation"] for line in entries(capsys)] == ["webhook", "metrics_push", "sync_complete"]


def test_signal_during_the_delivery_keeps_the_result_of_the_run(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    with receiver() as hook:
        process = sync.start("run", WEBHOOK_URL=hook.url)
        hook.during = lambda: process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[-2]["message"] == "Stopped while delivering the report"
    assert (lines[-1]["operation"], lines[-1]["data"]["exit_code"]) == ("sync_complete", 0)
