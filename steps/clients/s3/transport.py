"""The connections to the S3 server: one client of each SDK, with the same settings."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

import certifi
import minio
import urllib3
from obstore.store import S3Store

from steps.clients.http import through
from steps.clients.s3.errors import Lasting, Redirected, Refused, TooLong
from steps.clients.s3.refusal import Refusal
from steps.core import limits
from steps.core.operations import Operation
from steps.runtime import logs, retry
from steps.runtime.deadline import call_within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from steps.runtime.settings.s3 import S3Settings

_MAX_CLOCK_SKEW = timedelta(minutes=15)


@dataclass(frozen=True)
class Clients:
    """Both SDKs' clients. ``clock`` is the server's, as the last response through minio gave it."""

    minio: minio.Minio
    obstore: S3Store
    clock: ServerClock


def open_clients(settings: S3Settings, object_seconds: int) -> Clients:
    """Set up both clients. No request is sent. Raises what the SDKs raise for invalid settings.

    ``object_seconds`` is the deadline of a GET through obstore, to the last byte of the object.
    """
    access_key, secret_key = settings.access_key.get_secret_value(), settings.secret_key.get_secret_value()
    host = urllib3.util.parse_url(f"//{settings.endpoint}").host or ""
    proxy = settings.proxy_for(host) if settings.use_ssl else None
    ca_file = settings.ca_file
    pool = _open_pool(proxy, str(ca_file) if ca_file else None)
    client = minio.Minio(
        settings.endpoint,
        access_key=access_key,
        secret_key=secret_key,
        secure=settings.use_ssl,
        region=settings.region,
        http_client=pool,
    )
    client_options: dict[str, Any] = {
        "allow_http": not settings.use_ssl,
        "connect_timeout": timedelta(seconds=limits.S3_CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=limits.S3_READ_SECONDS),
        "timeout": timedelta(seconds=object_seconds),
    }
    if ca_file:
        client_options["root_certificate"] = ca_file.read_bytes()
    if proxy:
        client_options["proxy_url"] = proxy
    store = S3Store(
        settings.bucket,
        config={
            "endpoint": f"{'https' if settings.use_ssl else 'http'}://{settings.endpoint}",
            "access_key_id": access_key,
            "secret_access_key": secret_key,
            "region": settings.region,
            "virtual_hosted_style_request": False,
        },
        client_options=cast("Any", client_options),
        retry_config={"max_retries": 0},  # ObjectStore retries
    )
    return Clients(client, store, pool.clock)


class ServerClock(threading.local):
    """The Date header of this thread's last response. Runs on different machines compare it."""

    date: str | None = None

    def now(self) -> datetime:
        """Return the server's time, or the local time if the header is missing or cannot be right.

        S3 servers refuse signatures that are 15 minutes off, so a Date further away is wrong.
        """
        local = datetime.now(UTC).replace(microsecond=0)
        try:
            server = parsedate_to_datetime(self.date or "").astimezone(UTC)
        except (ValueError, OverflowError):
            return local
        return server if abs(server - local) <= _MAX_CLOCK_SKEW else local


class EndlessListing(urllib3.exceptions.HTTPError):
    """The server repeats a continuation token, or the listing has more than limits.S3_LISTING_PAGES pages."""


class _PageLoopGuard(threading.local):
    """The continuation tokens of this thread's listing: minio would follow a loop of them endlessly."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def check(self, url: str) -> None:
        """Raise EndlessListing if this request asks for a page a second time."""
        target = urllib3.util.parse_url(url) if "continuation-token" in url else urllib3.util.Url()
        token = dict(parse_qsl(target.query or "")).get("continuation-token")
        if token is None:
            self._seen.clear()
            return
        page = f"{target.netloc}{target.path} {token}"
        if page in self._seen or len(self._seen) >= limits.S3_LISTING_PAGES:
            raise EndlessListing("the listing does not end")
        self._seen.add(page)


class _Pool(urllib3.PoolManager):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.clock = ServerClock()
        self._loop_guard = _PageLoopGuard()

    def urlopen(self, method: str, url: str, redirect: bool = True, **options: Any) -> Any:  # type: ignore[override]  # noqa: FBT001, FBT002, ARG002 - urllib3's signature
        self._loop_guard.check(url)
        # ObjectStore.fetch() itself retries the GET of an object, whose body is streamed.
        is_streamed = not options.get("preload_content", True)
        send = self._answer if is_streamed else self._retried
        response = send(method, url, options)
        self.clock.date = response.headers.get("Date")
        if logs.is_debug():
            path = urllib3.util.parse_url(url).request_uri
            logs.debug(Operation.S3_REQUEST, f"{method} {response.status}", path=path)
        if response.status not in _ACCEPTED_STATUSES:
            body = response.data.decode(errors="replace")
            raise Refused(method, Refusal.of(response.status, body, response.headers.get("Content-Type", "")))
        return response

    def _retried(self, method: str, url: str, options: Mapping[str, Any]) -> urllib3.BaseHTTPResponse:
        for pause in retry.REQUESTS.pauses():
            try:
                response = self._answer(method, url, options)
            except urllib3.exceptions.HTTPError as problem:
                if pause is None or not _is_passing(problem):
                    raise
            else:
                if pause is None or response.status not in _RETRIED_STATUSES:
                    return response
            # Retry-After is ignored: the server must not decide how long a run takes.
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _answer(self, method: str, url: str, options: Mapping[str, Any]) -> urllib3.BaseHTTPResponse:
        """Send the request once. The answer is complete, but for the body of a streamed object."""
        try:
            return call_within(limits.S3_ANSWER_SECONDS, lambda: self._received(method, url, dict(options)))
        except TimeoutError:
            raise urllib3.exceptions.TimeoutError(
                f"no complete answer within {limits.S3_ANSWER_SECONDS} s"
            ) from None

    def _received(self, method: str, url: str, options: dict[str, Any]) -> urllib3.BaseHTTPResponse:
        streamed = not options.pop("preload_content", True)
        response = super().urlopen(method, url, redirect=False, preload_content=False, **options)
        if location := response.get_redirect_location():
            response.close()
            raise Redirected(location)
        if streamed and response.status in _ACCEPTED_STATUSES:
            return response
        body = response.read(limits.S3_ANSWER_BYTES + 1)
        if len(body) > limits.S3_ANSWER_BYTES:
            response.close()
            raise TooLong
        response.release_conn()
        headers = response.headers.copy()
        if method != "HEAD":
            for name in _OF_THE_BODY:
                headers.discard(name)
        return urllib3.HTTPResponse(
            io.BytesIO(body),
            headers,
            status=response.status,
            reason=response.reason,
            request_method=method,
            preload_content=True,
        )


# Statuses after which the same request may succeed.
_RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
_ACCEPTED_STATUSES = frozenset({200, 206})

# Headers that describe how the body was sent; the body is decoded here.
_OF_THE_BODY = frozenset({"content-encoding", "content-length", "transfer-encoding"})


def _is_passing(problem: urllib3.exceptions.HTTPError) -> bool:
    return not isinstance(problem, Lasting | TooLong | EndlessListing | urllib3.exceptions.SSLError)


class _ProxiedPool(_Pool, urllib3.ProxyManager):
    pass


def _open_pool(proxy: str | None, ca_file: str | None) -> _Pool:
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=limits.S3_CONNECT_SECONDS, read=limits.S3_READ_SECONDS),
        "retries": False,  # _Pool retries: urllib3 would obey Retry-After, and read any refusal to its end
        "maxsize": 16,
        "cert_reqs": "CERT_REQUIRED",
        "ca_certs": ca_file or certifi.where(),
    }
    return _ProxiedPool(**through(proxy), **options) if proxy else _Pool(**options)
