"""The connections to the S3 server: one client of each SDK, with the same settings."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

import certifi
import minio
import urllib3
from obstore.store import S3Store

from steps.clients.http import through, urllib3_retry
from steps.core.operations import Operation
from steps.runtime import logs, retry

if TYPE_CHECKING:
    from steps.runtime.settings.s3 import S3Settings

_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_MAX_CLOCK_SKEW = timedelta(minutes=15)
_MAX_PAGES = 100_000


@dataclass(frozen=True)
class Clients:
    """Both SDKs' clients. ``clock`` is the server's, as the last response through minio gave it."""

    minio: minio.Minio
    obstore: S3Store
    clock: ServerClock


def open_clients(settings: S3Settings) -> Clients:
    """Set up both clients. No request is sent. Raises what the SDKs raise for invalid settings."""
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
        "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=_READ_SECONDS),
        "timeout": timedelta(hours=1),
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
    """The server repeats a continuation token, or the listing has more than _MAX_PAGES pages."""


class _PageLoopGuard(threading.local):
    """The continuation tokens of this thread's listing: minio would follow a loop of them endlessly."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def check(self, url: str) -> None:
        """Raise EndlessListing if this request asks for a page a second time."""
        target = urllib3.util.parse_url(url)
        token = dict(parse_qsl(target.query or "")).get("continuation-token")
        if token is None:
            self._seen.clear()
        elif (page := f"{target.netloc}{target.path} {token}") in self._seen or len(self._seen) >= _MAX_PAGES:
            raise EndlessListing("the listing does not end")
        else:  # a redirect asks another host or path for the same page
            self._seen.add(page)


class _Pool(urllib3.PoolManager):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.clock = ServerClock()
        self._loop_guard = _PageLoopGuard()

    def urlopen(self, method: str, url: str, redirect: bool = True, **options: Any) -> Any:  # type: ignore[override]  # noqa: FBT001, FBT002 - urllib3's signature
        self._loop_guard.check(url)
        response = super().urlopen(method, url, redirect, **options)
        self.clock.date = response.headers.get("Date")
        if logs.is_debug():
            path = urllib3.util.parse_url(url).request_uri
            logs.debug(Operation.S3_REQUEST, f"{method} {response.status}", path=path)
        return response


class _ProxiedPool(_Pool, urllib3.ProxyManager):
    pass


def _open_pool(proxy: str | None, ca_file: str | None) -> _Pool:
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
        "retries": urllib3_retry(retry.REQUESTS, status_forcelist=(429, 500, 502, 503, 504)),
        "maxsize": 16,
        "cert_reqs": "CERT_REQUIRED",
        "ca_certs": ca_file or certifi.where(),
    }
    return _ProxiedPool(**through(proxy), **options) if proxy else _Pool(**options)
