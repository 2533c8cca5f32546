"""A separate bucket for each test, in which every key that S3 allows can be written."""

from __future__ import annotations

import hashlib
import http.client
import pickle
import secrets
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.signer import sign_v4_s3

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.s3 import S3Server

_REGION = "us-east-1"
_WRITERS = 8


class S3Error(Exception):
    """The store answered with a status other than 2xx; `body` has the reason."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body.decode(errors='replace')}")
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Response:
    """A response as received; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Bucket:
    """One bucket on one server.

    This module signs and sends the requests, because minio-py refuses keys with `.` or `..` segments,
    and other SDKs normalise paths.
    """

    server: S3Server
    name: str

    @property
    def minio(self) -> Minio:
        """Return a minio-py client for the server, without retries."""
        return minio_client(self.server)

    def put(self, key: str, body: bytes, *, headers: Mapping[str, str] | None = None) -> str:
        """Store `body` under exactly `key`; return its ETag without quotes."""
        response = self.request("PUT", key, body=body, headers=headers)
        return response.headers["etag"].strip('"')

    def put_many(self, objects: Mapping[str, bytes]) -> None:
        """Store all `objects` (key to body): with one request if the server can, else several at a time."""
        if self.server.copies_buckets:
            self._seed(objects)
            return
        everything = list(objects.items())
        if everything:  # rclone fails when two requests create the same folder at the same time
            self.put(*everything[0])
        shares = [everything[start::_WRITERS] for start in range(_WRITERS)]
        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(self._put_share, shares))

    def copy_from(self, source: Bucket) -> None:
        """Store the objects of another bucket of the same server, with their times. Only for moto."""
        self._seed({}, source.name)

    def _seed(self, objects: Mapping[str, bytes], source: str | None = None) -> None:
        body = pickle.dumps((self.name, dict(objects), source))
        with _connection(self.server) as connection:
            _send(connection, "POST", "/-/seed", body, {})

    def _put_share(self, share: list[tuple[str, bytes]]) -> None:
        with _connection(self.server) as connection:
            for key, body in share:
                self.request("PUT", key, body=body, connection=connection)

    def get(self, key: str) -> bytes:
        """Return the content of the object. Raises S3Error with status 404 if it does not exist."""
        return self.request("GET", key).body

    def delete(self, key: str) -> None:
        """Delete an object; in a versioned bucket this adds a delete marker."""
        self.request("DELETE", key)

    def clear(self, prefix: str = "") -> None:
        """Delete every object under `prefix`."""
        for key in self.keys(prefix):
            self.delete(key)

    def keys(self, prefix: str = "") -> list[str]:
        """Return every key under `prefix`, in the order of the store."""
        listed = self.minio.list_objects(self.name, prefix=prefix, recursive=True)
        return [entry.object_name or "" for entry in listed]

    def enable_versioning(self) -> None:
        """Enable versioning: the store keeps overwritten and deleted objects."""
        self.request(
            "PUT",
            query={"versioning": ""},
            body=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
        )

    def request(
        self,
        method: str,
        key: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> Response:
        """Send one signed request for `key`, or for the bucket if `key` is empty; raises S3Error."""
        path = f"/{self.name}/{quote(key, safe='/')}" if key else f"/{self.name}"
        target = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
        signed = _sign(self.server, method, target, body, headers or {})
        if connection is not None:
            return _send(connection, method, target, body, signed)
        with _connection(self.server) as own:
            return _send(own, method, target, body, signed)


def new_bucket(server: S3Server, *, versioned: bool = False) -> Bucket:
    """Create a bucket with a random name, so that tests can share a server."""
    bucket = Bucket(server, f"backups-{secrets.token_hex(6)}")
    bucket.request("PUT")
    if versioned:
        bucket.enable_versioning()
    return bucket


def minio_client(server: S3Server) -> Minio:
    """Return a minio-py client that does not retry, so that tests see each fault."""
    return Minio(
        server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
        secure=server.secure,
        region=_REGION,
        http_client=urllib3.PoolManager(
            retries=False, ca_certs=str(server.ca_file) if server.ca_file else None
        ),
    )


def _sign(
    server: S3Server, method: str, target: str, body: bytes, headers: Mapping[str, str]
) -> dict[str, str]:
    now = datetime.now(UTC)
    digest = hashlib.sha256(body).hexdigest()
    signed = sign_v4_s3(
        method=method,
        url=urlsplit(f"{server.url}{target}"),
        region=_REGION,
        headers={
            "Host": server.endpoint,
            "x-amz-content-sha256": digest,
            "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
            **headers,
        },
        credentials=Credentials(server.access_key, server.secret_key),
        content_sha256=digest,
        date=now,
    )
    return {name: str(value) for name, value in signed.items()}


@contextmanager
def _connection(server: S3Server) -> Iterator[http.client.HTTPConnection]:
    connection = (
        http.client.HTTPSConnection(
            server.endpoint, context=ssl.create_default_context(cafile=server.ca_file)
        )
        if server.secure
        else http.client.HTTPConnection(server.endpoint)
    )
    try:
        yield connection
    finally:
        connection.close()


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: bytes,
    headers: Mapping[str, str],
) -> Response:
    connection.request(method, target, body=body, headers=dict(headers))
    answer = connection.getresponse()
    content = answer.read()
    if answer.status >= 300:
        raise S3Error(answer.status, content)
    return Response(answer.status, {n.lower(): v for n, v in answer.getheaders()}, content)
