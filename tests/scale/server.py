"""An S3 server that stores nothing: it computes objects and listings from their number.

`python -m tests.scale.server OBJECTS CLUSTERS` prints its address and runs until it is stopped. It supports
listings (version 2), GET and HEAD, and checks no signature.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
import threading
from bisect import bisect_right
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "backups"
PREFIX = "clusterbackup/"
_PAGE = 1000
_IN_A_DIRECTORY = 100
_MODIFIED = datetime(2025, 7, 12, 22, 6, 58, tzinfo=UTC)
_IF_MATCH = re.compile(rb"\r\nif-match: *([^\r]*)", re.IGNORECASE)


class Objects:
    """The objects of the bucket: an equal number in each cluster, each with unique content.

    ``strays`` is the number of objects outside of the clusters.
    """

    def __init__(self, objects: int, clusters: int, strays: int = 0) -> None:
        self.clusters = [f"cluster-{number:06}" for number in range(clusters)]
        self.each = objects // clusters
        self.strays = strays

    def keys(self, cluster: str) -> Iterator[str]:
        """Return the keys of a cluster, in byte order."""
        return (self.key(cluster, number) for number in range(self.each))

    def key(self, cluster: str, number: int) -> str:
        """Return the key of one object of a cluster."""
        directory = f"team-{number // _IN_A_DIRECTORY:05}"
        return f"{PREFIX}{cluster}/{directory}/ConfigMap/settings-{number:07}.yaml"

    def has(self, key: str) -> bool:
        """Whether the object exists."""
        found = re.fullmatch(rf"{PREFIX}([^/]+)/.*-(\d+)\.yaml", key)
        return (
            found is not None
            and found[1] in self.clusters
            and int(found[2]) < self.each
            and key == self.key(found[1], int(found[2]))
        )

    @staticmethod
    def content(key: str) -> bytes:
        """Return the content of the object with that key."""
        _, cluster, namespace, _, name = key.split("/")
        return (
            f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name.removesuffix('.yaml')}\n"
            f"  namespace: {namespace}\n  labels:\n    app.kubernetes.io/instance: {cluster}\n"
            f"data:\n  checksum: {hashlib.sha256(key.encode()).hexdigest()}\n  replicas: '3'\n"
        ).encode()


def etag(content: bytes) -> str:
    """Return the ETag of an object, without quotes."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def settings(endpoint: str) -> dict[str, str]:
    """Return git-sync's settings for a server."""
    return {
        "MINIO_ENDPOINT": endpoint,
        "MINIO_ACCESS_KEY": "unused",
        "MINIO_SECRET_KEY": "unused-secret",
        "MINIO_BUCKET": BUCKET,
        "MINIO_USE_SSL": "false",
    }


class Server:
    """Serves on a free loopback port, with one thread per connection."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"

    @contextmanager
    def running(self) -> Iterator[dict[str, str]]:
        """Serve until the block ends; yield git-sync's settings for this server."""
        thread = threading.Thread(target=self.serve, daemon=True)
        thread.start()
        try:
            yield settings(self.endpoint)
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            self._listener.close()

    def serve(self) -> None:
        """Serve until the listening socket is shut down."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        waiting = b""
        with connection, suppress(OSError):
            while True:
                head, end, waiting = waiting.partition(b"\r\n\r\n")
                if end:
                    connection.sendall(self._answer(head))
                elif received := connection.recv(1 << 16):
                    waiting = head + received
                else:
                    return

    def _answer(self, head: bytes) -> bytes:
        method, target, _ = head[: head.index(b"\r\n")].decode("ascii").split(" ")
        url = urlsplit(target)
        key = unquote(url.path).removeprefix(f"/{BUCKET}").removeprefix("/")
        if not key:
            parameters = dict(parse_qsl(url.query, keep_blank_values=True))
            return _response("200 OK", self.listed(parameters).encode(), "Content-Type: application/xml")
        if not self._objects.has(key):
            return _response("404 Not Found", b"", "Content-Type: application/xml")
        content = self._objects.content(key)
        tag = f'"{etag(content)}"'
        wanted = _IF_MATCH.search(head)
        if wanted and wanted[1].decode() != tag:
            return _response("412 Precondition Failed", b"")
        modified = f"Last-Modified: {_MODIFIED:%a, %d %b %Y %H:%M:%S} GMT"
        return _response("200 OK", content, f"ETag: {tag}", modified, with_body=method != "HEAD")

    def listed(self, parameters: dict[str, str]) -> str:
        prefix, after = parameters.get("prefix", ""), parameters.get("start-after", "")
        start = int(parameters.get("continuation-token") or 0)
        if parameters.get("delimiter"):
            return self._children(prefix, start)
        cluster = prefix.removeprefix(PREFIX).rstrip("/")
        if cluster not in self._objects.clusters or prefix != f"{PREFIX}{cluster}/":
            return _document([])
        count = self._objects.each
        if after and not start:  # S3 ignores start-after if there is a token
            start = bisect_right(range(count), after, key=lambda number: self._objects.key(cluster, number))
        end = min(start + _PAGE, count)
        keys = (self._objects.key(cluster, number) for number in range(start, end))
        return _document(
            [_row(key, self._objects.content(key)) for key in keys], token=str(end) if end < count else ""
        )

    def _children(self, prefix: str, start: int) -> str:
        """Return a listing of the strays and then the clusters directly below the prefix."""
        if prefix != PREFIX:
            return _document(
                [f"<CommonPrefixes><Prefix>{PREFIX}</Prefix></CommonPrefixes>"] if not prefix else []
            )
        strays, names = self._objects.strays, self._objects.clusters
        end = min(start + _PAGE, strays + len(names))
        rows = [
            _row(f"{PREFIX}a-stray-{number:08}", b"")
            if number < strays
            else f"<CommonPrefixes><Prefix>{PREFIX}{names[number - strays]}/</Prefix></CommonPrefixes>"
            for number in range(start, end)
        ]
        return _document(rows, token=str(end) if end < strays + len(names) else "")


def _row(key: str, content: bytes) -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>{_MODIFIED:%Y-%m-%dT%H:%M:%S}.000Z</LastModified>"
        f"<ETag>&quot;{etag(content)}&quot;</ETag><Size>{len(content)}</Size></Contents>"
    )


def _document(rows: list[str], *, token: str = "") -> str:
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{BUCKET}</Name>'
        f"<KeyCount>{len(rows)}</KeyCount><IsTruncated>{str(bool(token)).lower()}</IsTruncated>{more}"
        f"{''.join(rows)}</ListBucketResult>"
    )


def _response(status: str, body: bytes, *headers: str, with_body: bool = True) -> bytes:
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body)}",
        f"Date: {datetime.now(UTC):%a, %d %b %Y %H:%M:%S} GMT",
        *headers,
    )
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return head + body if with_body else head


if __name__ == "__main__":
    server = Server(Objects(int(sys.argv[1]), int(sys.argv[2])))
    print(f"listening on {server.endpoint}, process {os.getpid()}", flush=True)
    server.serve()
