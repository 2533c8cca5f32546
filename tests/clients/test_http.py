from __future__ import annotations

import gzip
import time
from typing import TYPE_CHECKING

import pytest

from steps.clients.http import Undelivered, post
from steps.core import limits
from tests.support import trickle
from tests.support.process import free_port
from tests.support.receiver import receiver

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline that a test can wait for."""
    monkeypatch.setattr(limits, "DELIVERY_SECONDS", 1)


@pytest.mark.parametrize(
    "opening", [trickle.STATUS_LINE, trickle.HEADERS, trickle.BODY], ids=["status", "headers", "body"]
)
@pytest.mark.usefixtures("hurried")
def test_post_ends_at_its_deadline_if_the_answer_trickles(opening: bytes) -> None:
    with trickle.trickling(opening) as server:
        began = time.monotonic()
        with pytest.raises(Undelivered, match=r"no complete answer within 1 s|answered 500"):
            post(f"http://{server.endpoint}/hook", b"{}", {})
        assert time.monotonic() - began < 5


@pytest.mark.usefixtures("hurried")
def test_post_ends_at_its_deadline_if_the_tls_handshake_trickles() -> None:
    with trickle.trickling(b"\x16\x03\x03\x40\x00") as server, pytest.raises(Undelivered, match="within 1 s"):
        post(f"https://{server.endpoint}/hook", b"{}", {})


@pytest.mark.usefixtures("hurried")
def test_post_counts_retries_and_pauses_toward_its_deadline() -> None:
    with receiver() as hook:
        hook.status = 503
        hook.during = lambda: time.sleep(0.6)
        with pytest.raises(Undelivered, match="within 1 s"):
            post(hook.url, b"{}", {})


def test_post_retries_a_passing_refusal() -> None:
    with receiver() as hook:
        hook.status = 503

        def recover() -> None:
            hook.status = 200 if len(hook.got) > 1 else 503

        hook.during = recover
        post(hook.url, b"{}", {})
        assert len(hook.got) == 2


def test_post_reads_only_the_beginning_of_a_refusal() -> None:
    with receiver() as hook:
        hook.status = 400
        hook.headers = {"Content-Encoding": "gzip"}
        hook.body = gzip.compress(b"x" * 50_000_000)
        with pytest.raises(Undelivered) as refused:
            post(hook.url, b"{}", {})
    assert len(str(refused.value)) < 1100


def test_post_does_not_follow_redirects() -> None:
    with receiver() as other, receiver() as hook:
        hook.status = 302
        hook.headers = {"Location": other.url}
        with pytest.raises(Undelivered, match="the server answered 302"):
            post(hook.url, b"{}", {})
        assert not other.got


def test_post_names_the_network_error_without_the_address() -> None:
    with pytest.raises(Undelivered) as refused:
        post(f"http://127.0.0.1:{free_port()}/s3cret", b"{}", {})
    assert str(refused.value) == "connection refused"


def test_post_names_a_ca_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Undelivered, match=r"absent\.pem cannot be read"):
        post("https://127.0.0.1:1/", b"", {}, ca_file=tmp_path / "absent.pem")
