"""The webhook: signed JSON of a run; a failed delivery does not fail the run."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from steps.core import limits
from tests.support.idle import idle_clients
from tests.support.process import await_port, free_port
from tests.support.receiver import Delivery, Receiver, receiver
from tests.support.trickle import HEADERS, trickling

if TYPE_CHECKING:
    from collections.abc import Iterator

    import trustme

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = "clusterbackup/east/shop/Deployment/a.yaml"


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def notifying(sync: Sync, bucket: Bucket, hook: Receiver) -> Sync:
    """A sync that calls the webhook after each run."""
    bucket.put(KEY, b"a")
    return sync.with_settings(WEBHOOK_URL=f"{hook.url}/services/T0/s3cret-path", WEBHOOK_SECRET="k3y")


def payload(delivery: Delivery) -> dict[str, Any]:
    parsed = json.loads(delivery.body)
    assert isinstance(parsed, dict)
    return parsed


def test_webhook_delivers_the_run_with_a_signature(notifying: Sync, hook: Receiver) -> None:
    assert notifying(GIT_COMMIT_URL="https://git.example.com/x/commit/{commit}").exit == 0
    (delivery,) = hook.got
    assert (delivery.method, delivery.target) == ("POST", "/services/T0/s3cret-path")
    assert delivery.headers["content-type"] == "application/json"
    expected = hmac.new(b"k3y", delivery.body, hashlib.sha256).hexdigest()
    assert delivery.headers["x-git-sync-signature-256"] == f"sha256={expected}"
    body = payload(delivery)
    run = notifying.state["last_run"]
    assert body["run"] == run
    assert body["schema_version"] == 1
    assert body["commit_url"] == f"https://git.example.com/x/commit/{run['commit']}"
    assert body["text"] == "git-sync: Success on main. 1 new, 0 modified, 0 deleted in 1 cluster."


def test_webhook_error_does_not_repeat_the_answer(notifying: Sync, hook: Receiver) -> None:
    hook.status = 404
    result = notifying()
    assert result.exit == 0
    (line,) = result.of("webhook", "error")
    assert line["error"] == "the server answered 404"


def test_webhook_without_a_secret_is_not_signed(notifying: Sync, hook: Receiver) -> None:
    assert notifying(WEBHOOK_SECRET="").exit == 0
    assert "x-git-sync-signature-256" not in hook.got[0].headers


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ("always", ["success", "success", "failed"]),
        ("change", ["success"]),
        ("failure", ["failed"]),
        ("change, failure", ["success", "failed"]),
        ("substance", ["success"]),
        ("", ["success", "success", "failed"]),
    ],
)
def test_webhook_on_selects_the_runs(on: str, expected: list[str], notifying: Sync, hook: Receiver) -> None:
    selective = notifying.with_settings(WEBHOOK_ON=on)
    assert selective().exit == 0  # one new object
    assert selective().exit == 0  # nothing new
    assert selective(MINIO_BUCKET="absent").exit == 40
    assert selective("run", "--dry-run").exit == 0
    assert [payload(delivery)["run"]["outcome"] for delivery in hook.got] == expected


def test_webhook_on_substance_skips_volatile_changes(notifying: Sync, bucket: Bucket, hook: Receiver) -> None:
    selective = notifying.with_settings(WEBHOOK_ON="substance")
    pod = b"kind: Pod\nmetadata: {name: a, resourceVersion: '%d'}\nspec: {nodeName: %s}\n"
    for content in (pod % (1, b"x"), pod % (2, b"x"), pod % (3, b"y")):
        bucket.put(KEY, content)
        assert selective().exit == 0
    changes = [payload(delivery)["run"]["changes"]["objects"] for delivery in hook.got]
    assert [(one["added"], one["modified"]) for one in changes] == [(1, 0), (0, 1)]


def test_webhook_on_rejects_unknown_values(notifying: Sync) -> None:
    result = notifying(WEBHOOK_ON="never")
    assert result.exit == 40
    assert "WEBHOOK_ON: " in result.errors


@pytest.mark.parametrize("fault", ["unreachable", "404", "cut"])
def test_unreachable_webhook_is_logged_and_counted_but_does_not_fail_the_run(
    fault: str, notifying: Sync, hook: Receiver
) -> None:
    failing = notifying
    if fault == "unreachable":
        failing = notifying.with_settings(WEBHOOK_URL=f"http://127.0.0.1:{free_port()}/s3cret-path")
    elif fault == "404":
        hook.status = 404
    else:
        failing = notifying.with_settings(WEBHOOK_URL=f"{hook.url.replace('http:', 'https:')}/s3cret-path")
    result = failing()
    assert result.exit == 0
    (line,) = result.of("webhook", "error")
    assert line["message"] == "Failed to call the webhook"
    assert result.lines[-1]["operation"] == "sync_complete"
    assert "s3cret" not in result.text
    assert "k3y" not in result.text
    assert failing.state["counters"]["webhook_errors"] == 1


def test_run_ends_at_the_deadline_of_a_delivery_if_the_receiver_trickles(
    notifying: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DELIVERY_SECONDS", 1)
    with trickling(HEADERS) as receiver_:
        slow = f"http://{receiver_.endpoint}/s3cret-path"
        began = time.monotonic()
        result = notifying(WEBHOOK_URL=slow, PUSHGATEWAY_URL=slow, SCRAPE_INTERVAL="0s")
        assert time.monotonic() - began < 10
    assert result.exit == 0
    errors = [line["error"] for line in result.of("webhook", "error") + result.of("metrics_push", "error")]
    assert errors == ["no complete answer within 1 s"] * 2
    assert result.lines[-1]["operation"] == "sync_complete"


def test_webhook_over_https_with_a_private_ca(
    sync: Sync, bucket: Bucket, ca: trustme.CA, tmp_path: Path
) -> None:
    bucket.put(KEY, b"a")
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with receiver(tls=ca) as hook:
        secure = sync.with_settings(WEBHOOK_URL=hook.url.replace("//", "//us%40er:p%3Aw@"))
        assert "certificate verify failed" in secure().errors
        assert secure(WEBHOOK_CA_FILE=str(tmp_path / "ca.pem")).exit == 0
        assert hook.got[0].headers["authorization"] == "Basic dXNAZXI6cDp3"


def test_webhook_is_called_once_without_an_error(notifying: Sync, hook: Receiver) -> None:
    assert notifying().exit == 0
    assert notifying.state["counters"]["webhook_errors"] == 0
    assert len(hook.got) == 1


# -- the examples ---------------------------------------------------------------------------------


@contextmanager
def example_receiver() -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Run examples/verify-webhook.py on a free port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "verify-webhook.py"), str(port)],
        env={"PATH": os.environ["PATH"], "WEBHOOK_SECRET": "k3y"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        await_port(f"127.0.0.1:{port}")
        yield port, process
    finally:
        process.kill()
        process.communicate()


def test_example_receiver_accepts_only_the_right_signature(sync: Sync, bucket: Bucket) -> None:
    bucket.put(KEY, b"a")
    with example_receiver() as (port, process):
        notifying = sync.with_settings(WEBHOOK_URL=f"http://127.0.0.1:{port}/", WEBHOOK_SECRET="k3y")
        assert notifying().of("webhook") == []
        assert process.stdout is not None
        run = notifying.state["last_run"]
        assert process.stdout.readline().split() == [run["run_id"], "success", run["commit"]]
        (line,) = notifying(WEBHOOK_SECRET="another").of("webhook", "error")
        assert "the server answered 403" in line["error"]


def test_example_receiver_answers_while_other_clients_send_nothing(sync: Sync, bucket: Bucket) -> None:
    bucket.put(KEY, b"a")
    with (
        example_receiver() as (port, _),
        idle_clients(port, 5),
        idle_clients(port, 5, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"),
    ):
        url = f"http://127.0.0.1:{port}/"
        assert sync(WEBHOOK_URL=url, WEBHOOK_SECRET="k3y").of("webhook", "error") == []


@pytest.mark.slow
def test_example_receiver_closes_a_connection_whose_request_trickles() -> None:
    with (
        example_receiver() as (port, _),
        socket.create_connection(("127.0.0.1", port), timeout=0.2) as client,
    ):
        began = time.monotonic()
        answer: bytes | None = None
        while answer is None and time.monotonic() - began < 30:
            with suppress(TimeoutError):
                client.sendall(b"P")
                answer = client.recv(1)
        assert answer == b""
        assert time.monotonic() - began < 12
