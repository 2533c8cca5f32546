"""Sending something to a web address: to the Pushgateway, to a webhook."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import certifi
import urllib3

from steps.runtime.logs import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CONNECT_SECONDS = 5
_READ_SECONDS = 10
_QUICK_RETRIES = 2
_REFUSED = 300  # redirects are not followed: what is sent is meant for this address


_SAID_BYTES = 1000


class Undelivered(Exception):
    """It did not arrive, for this reason. The address is not part of it: it may be a secret."""

    def __init__(self, reason: str, said: str = "") -> None:
        super().__init__(f"{reason}: {said}" if said else reason)
        self.reason = reason


def post(  # noqa: PLR0913 - what a request is made of
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    credentials: tuple[str, str] | None = None,
    ca_file: Path | None = None,
    proxy: str | None = None,
) -> None:
    """Send ``body``; Undelivered unless the server accepts it, also at a second and third try."""
    if ca_file and not os.access(ca_file, os.R_OK):
        raise Undelivered(f"{ca_file} cannot be read")
    try:
        address = urllib3.util.parse_url(url)
    except ValueError as problem:
        raise Undelivered("the address is none") from problem
    login = ":".join(credentials) if credentials else unquote(address.auth or "")
    options: dict[str, Any] = {
        "cert_reqs": "CERT_REQUIRED",
        "ca_certs": str(ca_file) if ca_file else certifi.where(),
        "timeout": urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
        "retries": urllib3.Retry(
            total=_QUICK_RETRIES,
            backoff_factor=0.5,
            status_forcelist=(429, 502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
            respect_retry_after_header=False,  # a server must not say how long a run lasts
        ),
    }
    try:
        pool = urllib3.ProxyManager(**through(proxy), **options) if proxy else urllib3.PoolManager(**options)
        with pool:
            response = pool.request(
                "POST",
                address._replace(auth=None).url,
                body=body,
                headers={**headers, **({"Authorization": _basic(login)} if login else {})},
                redirect=False,
                preload_content=False,
            )
            said = response.read1(_SAID_BYTES) if response.status >= _REFUSED else b""
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as problem:
        cause = root_cause(problem)
        raise Undelivered(
            first_line((cause.strerror if isinstance(cause, OSError) else None) or str(cause))
        ) from None
    if response.status >= _REFUSED:
        raise Undelivered(f"the server answered {response.status}", first_line(said.decode(errors="replace")))


def through(proxy: str) -> dict[str, Any]:
    """The arguments that make a pool go through ``proxy``: urllib3 finds no credentials in an address."""
    login = unquote(urllib3.util.parse_url(proxy).auth or "")
    headers = {"Proxy-Authorization": _basic(login)} if login else {}
    return {"proxy_url": proxy, "proxy_headers": headers}


def _basic(login: str) -> str:
    return f"Basic {b64encode(login.encode()).decode()}"  # urllib3's own helper knows Latin-1 alone


def root_cause(problem: BaseException) -> BaseException:
    """Follow urllib3's nesting (MaxRetryError.reason, __cause__) to what the network said."""
    inner = getattr(problem, "reason", None) or problem.__cause__
    return root_cause(inner) if isinstance(inner, BaseException) else problem


def first_line(text: str) -> str:
    """The first line, cut and in lower case, as it goes into an error.

    Secrets go before that: nobody would know one again afterwards.
    """
    return redacted(text.strip().split("\n", 1)[0])[:300].lower()
