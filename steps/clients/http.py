"""HTTP without S3: requests to the Pushgateway and the webhook, and what all clients share."""

from __future__ import annotations

import html
import http.client
import re
import ssl
from base64 import b64encode
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import certifi
import urllib3

from steps.core import limits
from steps.core.wording import shortened
from steps.runtime import retry
from steps.runtime.deadline import call_within
from steps.runtime.redaction import redacted
from steps.runtime.settings.fields import file_problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FIRST_REFUSAL = 300  # redirects are not followed: the content is meant for this address only


class Undelivered(Exception):
    """The server did not accept the content. ``reason`` never has the address, which may be a secret."""

    def __init__(self, reason: str, answer: str = "") -> None:
        super().__init__(f"{reason}: {answer}" if answer else reason)
        self.reason = reason


def post(  # noqa: PLR0913 - the parts of a request
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    credentials: tuple[str, str] | None = None,
    ca_file: Path | None = None,
    proxy: str | None = None,
) -> None:
    """Send ``body``, with retries.

    Raises Undelivered unless the server accepts it within DELIVERY_SECONDS.
    """
    if ca_file and (unusable := file_problem(str(ca_file))):
        raise Undelivered(f"{ca_file} {unusable}")
    try:
        address = urllib3.util.parse_url(url)
    except ValueError as problem:
        raise Undelivered("the URL is invalid") from problem
    login = ":".join(credentials) if credentials else unquote(address.auth or "")
    request = {
        "url": address._replace(auth=None).url,
        "body": body,
        "headers": {**headers, **({"Authorization": _basic(login)} if login else {})},
    }
    try:
        status, answer = call_within(limits.DELIVERY_SECONDS, lambda: _send(request, ca_file, proxy))
    except TimeoutError:
        raise Undelivered(f"no complete answer within {limits.DELIVERY_SECONDS} s") from None
    if status >= _FIRST_REFUSAL:
        raise Undelivered(f"the server answered {status}", server_words(answer.decode(errors="replace")))


def _send(request: Mapping[str, Any], ca_file: Path | None, proxy: str | None) -> tuple[int, bytes]:
    """Send the request and return the status and the beginning of a refusal. Raises Undelivered."""
    options: dict[str, Any] = {
        "cert_reqs": "CERT_REQUIRED",
        "ca_certs": str(ca_file) if ca_file else certifi.where(),
        "timeout": urllib3.Timeout(
            connect=limits.DELIVERY_CONNECT_SECONDS, read=limits.DELIVERY_READ_SECONDS
        ),
        "retries": urllib3.Retry(
            total=retry.DELIVERIES.attempts - 1,
            backoff_factor=retry.DELIVERIES.first_pause,  # the first retry comes without a pause
            backoff_max=retry.DELIVERIES.longest_pause,
            status_forcelist=(429, 502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
            respect_retry_after_header=False,  # the server must not decide how long a run takes
        ),
    }
    try:
        pool = urllib3.ProxyManager(**through(proxy), **options) if proxy else urllib3.PoolManager(**options)
        with (
            pool,
            closing(pool.request("POST", **request, redirect=False, preload_content=False)) as response,
        ):
            refused = response.status >= _FIRST_REFUSAL
            return response.status, response.read1(limits.DELIVERY_ANSWER_BYTES) if refused else b""
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as problem:
        raise Undelivered(reason_of(root_cause(problem))) from None


def through(proxy: str) -> dict[str, Any]:
    """Return a pool's arguments for ``proxy``. urllib3 ignores credentials in the proxy's address."""
    login = unquote(urllib3.util.parse_url(proxy).auth or "")
    headers = {"Proxy-Authorization": _basic(login)} if login else {}
    return {"proxy_url": proxy, "proxy_headers": headers}


def _basic(login: str) -> str:
    return f"Basic {b64encode(login.encode()).decode()}"  # urllib3's own helper encodes Latin-1 only


def root_cause(problem: BaseException) -> BaseException:
    """Return the network's own error: urllib3 nests it in ``reason``, ``__cause__`` and ``args``."""
    inner = getattr(problem, "reason", None) or problem.__cause__
    if inner is None and isinstance(problem, urllib3.exceptions.ProtocolError):
        inner = problem.args[-1]
    return root_cause(inner) if isinstance(inner, BaseException) else problem


def reason_of(cause: BaseException) -> str:
    """Return the network's error as text that is the same each time: without numbers of bytes."""
    if isinstance(cause, http.client.IncompleteRead | http.client.RemoteDisconnected):
        return "the connection ended before the answer"
    if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, ssl.SSLError):
        return cause.strerror.lower()
    return server_words(re.sub(r"\s*\(_ssl\.c:\d+\)", "", str(cause)))  # a line of Python's source


_TITLE = re.compile(r"<title[^>]*>([^<]*)</title>", re.IGNORECASE)
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)


def server_words(text: str) -> str:
    """Return a server's message for an error: in one line, of a web page only its title or its text.

    Secrets are redacted before the text is cut, because a part of a secret is not recognized.
    """
    if text.lstrip().startswith("<"):
        title = _TITLE.search(text)
        text = html.unescape(title[1] if title and title[1].strip() else _TAGS.sub(" ", text))
    return shortened(" ".join(redacted(text).split()), limits.SERVER_MESSAGE_CHARACTERS)
