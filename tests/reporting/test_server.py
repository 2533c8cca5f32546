"""The HTTP server: requests, and clients that do not behave."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from steps.core import limits
from tests.support.idle import descriptors, idle_clients, peak_memory
from tests.support.served import DEADLINE_SECONDS, serving

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

OBJECTS = {"clusterbackup/east/shop/a.yaml": b"a", "clusterbackup/west/shop/b.yaml": b"b"}


def test_server_rejects_other_paths_and_methods(sync: Sync) -> None:
    with serving(sync) as served:
        assert served.get("/?x=1").status == 200
        assert served.get("/../../etc/passwd").status == 404
        assert served.get("/sync-metadata.json").status == 404
        assert served.get("/metrics", method="POST").status == 501
        head = served.get("/health", method="HEAD")
        assert (head.status, head.text) == (503, "")


# -- clients that do not behave ------------------------------------------------------------------------


def exchange(port: int, request: bytes) -> bytes:
    """Send a request as it is and return all that the server sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /?x=1 HTTP/1.0\r\n\r\n", b"200 OK"),
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"200 OK"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"501 Not Implemented"),
        (b"GET /metrics\r\n\r\n", b"400 Bad Request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400 Bad Request"),
        (b"\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 65536, b"431 Request Header Fields Too Large"),
    ],
    ids=["http-1.0", "lower-case", "post", "no-version", "tls", "empty", "large"],
)
def test_server_answers_each_request_with_its_status(request_: bytes, status: bytes, sync: Sync) -> None:
    with serving(sync) as served:
        head = exchange(served.port, request_).partition(b"\r\n\r\n")[0]
        assert head.startswith(b"HTTP/1.1 " + status + b"\r\n")
        assert b"\r\nConnection: close" in head
        assert served.get("/").status == 200


def test_server_answers_a_request_that_arrives_in_pieces(sync: Sync) -> None:
    with serving(sync) as served, socket.create_connection(("127.0.0.1", served.port)) as client:
        for byte in b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n":
            client.sendall(bytes([byte]))
            time.sleep(0.005)
        assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_server_answers_while_more_clients_wait_than_it_accepts(sync: Sync) -> None:
    with serving(sync) as served:
        before = descriptors(served.process.pid)
        with idle_clients(served.port, 1000, b"GET /metrics HTTP/1.1\r\n"):
            began = time.monotonic()
            assert served.get("/").status == 200
            assert time.monotonic() - began < 2
            assert descriptors(served.process.pid) - before <= 2 * limits.HTTP_CONNECTIONS


def test_server_memory_is_bounded_for_many_large_headers(sync: Sync) -> None:
    with serving(sync) as served:
        assert served.get("/").status == 200
        before = peak_memory(served.process.pid)
        with idle_clients(served.port, 60, b"GET / HTTP/1.1\r\n" + (b"X: " + b"x" * 65000 + b"\r\n") * 50):
            assert served.get("/").status == 200
        assert peak_memory(served.process.pid) - before < 16 * 2**20


def test_server_closes_a_connection_whose_request_trickles(sync: Sync) -> None:
    with serving(sync) as served, socket.create_connection(("127.0.0.1", served.port)) as client:
        began = time.monotonic()
        client.settimeout(0.2)
        answer: bytes | None = None
        while answer is None and time.monotonic() - began < 2 * limits.HTTP_REQUEST_SECONDS:
            with suppress(TimeoutError):
                client.sendall(b"G")
                answer = client.recv(1)
        assert answer == b""
        assert time.monotonic() - began < limits.HTTP_REQUEST_SECONDS + 2


def test_server_closes_the_connection_of_a_client_that_does_not_read(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({f"clusterbackup/{'c' * 200}{number}/a.yaml": b"x" for number in range(300)})
    assert sync().exit == 0
    with serving(sync) as served, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.port))
        before = descriptors(served.process.pid)
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        time.sleep(limits.HTTP_REQUEST_SECONDS + 1)
        assert descriptors(served.process.pid) <= before
