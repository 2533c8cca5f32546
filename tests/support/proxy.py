"""A reverse proxy in front of an S3 store that injects faults by rules."""

from __future__ import annotations

import http.client
import re
import threading
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from tests.support.bucket import Response
from tests.support.faults import Action, Change, Cut, Hang, Request, Reset, Rule, Status, Trickle
from tests.support.loopback import LoopbackHandler, LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.s3 import S3Server

# Headers of one connection. The answer to the client always has Content-Length.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


@dataclass
class S3FaultProxy:
    """A running proxy; clients connect to `server`, and it forwards requests to `upstream`.

    It forwards the request target, Host and all other headers unchanged, so that signatures stay
    valid. With a `page_size` it changes the page size of listings, and the store must not check
    signatures. Bodies are kept in memory.
    """

    upstream: S3Server
    server: S3Server
    page_size: int | None = None
    closing: threading.Event = field(default_factory=threading.Event, repr=False)
    _rules: list[Rule] = field(default_factory=list, repr=False)
    _requests: list[Request] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def install(self, *rules: Rule) -> None:
        """Add rules. The first rule that returns an action decides; without an action a request is forwarded.

        Rules are called one at a time, so they may count; they must not send requests to this proxy.
        """
        with self._lock:
            self._rules.extend(rules)

    def clear(self) -> None:
        """Remove the rules, the page size and the recorded requests; numbers start at 1 again."""
        with self._lock:
            self.page_size = None
            self._rules.clear()
            self._requests.clear()

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in order of arrival."""
        with self._lock:
            return list(self._requests)

    @property
    def listings(self) -> list[Request]:
        """The listings among the requests."""
        return [request for request in self.requests if request.is_list]

    @property
    def fetched(self) -> list[str]:
        """The key of each GET of an object, in order and with repetitions."""
        return [request.key for request in self.requests if request.is_get]

    def admit(self, handler: LoopbackHandler) -> tuple[Request, Action | None]:
        """Record a request and return its action; called by the handler."""
        path, _, query = handler.target.partition("?")
        with self._lock:
            request = Request(
                number=len(self._requests) + 1,
                method=handler.command,
                path=path,
                query=dict(parse_qsl(query, keep_blank_values=True)),
                headers={name.lower(): value for name, value in handler.headers.items()},
            )
            self._requests.append(request)
            actions = (rule(request) for rule in self._rules)
            return request, next((action for action in actions if action is not None), None)


@contextmanager
def fault_proxy(upstream: S3Server) -> Iterator[S3FaultProxy]:
    """Run a proxy in front of `upstream`, which must use plain HTTP."""
    if upstream.secure:
        raise ValueError("the proxy supports only plain HTTP")
    proxy = S3FaultProxy(upstream, server=upstream)

    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802
            _handle(self, proxy)

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    loopback = LoopbackServer(Handler)
    proxy.server = replace(upstream, endpoint=loopback.endpoint)
    with loopback.running():
        try:
            yield proxy
        finally:
            proxy.closing.set()


def _handle(handler: LoopbackHandler, proxy: S3FaultProxy) -> None:
    body = b"".join(handler.request_body())
    request, action = proxy.admit(handler)
    match action:
        case Reset():
            handler.reset_connection()
        case Status():
            headers = {"Content-Type": "application/xml", **action.headers}
            handler.reply(action.status, headers, _error_document(action, request))
        case Hang():
            if proxy.closing.wait(action.seconds):
                handler.reset_connection()
            else:
                _send(handler, _forward(handler, proxy, body))
        case Trickle():
            answer = _forward(handler, proxy, body)
            _send(handler, answer, limit=0)
            with suppress(OSError):  # the client gives up
                for at in range(len(answer.body)):
                    if proxy.closing.wait(action.seconds):
                        break
                    handler.wfile.write(answer.body[at : at + 1])
                    handler.wfile.flush()
            handler.close_connection = True
        case Cut():
            _send(handler, _forward(handler, proxy, body), limit=action.after)
            handler.close_connection = True
        case Change():
            action.before()
            answer = _forward(handler, proxy, body)
            action.after()
            _send(handler, _changed(answer, action))
        case None:
            _send(handler, _forward(handler, proxy, body))


def _error_document(error: Status, request: Request) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{error.code}</Code><Message>injected by a test</Message>"
        f"<BucketName>{escape(request.bucket)}</BucketName>"
        f"<Resource>{escape(request.path)}</Resource>"
        f"<RequestId>{request.number:016X}</RequestId></Error>"
    ).encode()


def _forward(handler: LoopbackHandler, proxy: S3FaultProxy, body: bytes) -> Response:
    target = handler.target
    if proxy.page_size and "list-type=2" in target:
        target = re.sub(r"&max-keys=\d+", "", target) + f"&max-keys={proxy.page_size}"
    with closing(http.client.HTTPConnection(proxy.upstream.endpoint)) as connection:
        connection.putrequest(handler.command, target, skip_host=True, skip_accept_encoding=True)
        for name, value in handler.headers.items():
            # The handler has answered 100 (Continue) and joined the chunks to one body.
            if name.lower() not in _HOP_BY_HOP | {"expect", "content-length"}:
                connection.putheader(name, value)
        if body or "Content-Length" in handler.headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        kept = {name: value for name, value in headers.items() if name not in _HOP_BY_HOP}
        return Response(answer.status, kept, answer.read())


def _changed(answer: Response, change: Change) -> Response:
    body = change.body(answer.body) if answer.body else answer.body
    headers = {**answer.headers}
    if body != answer.body:
        headers["content-length"] = str(len(body))
    return Response(change.status or answer.status, change.headers(headers), body)


def _send(handler: LoopbackHandler, answer: Response, *, limit: int | None = None) -> None:
    handler.send_response_only(answer.status)
    # The answer to a HEAD has a length and no body, a 304 has neither.
    length = {"content-length": str(len(answer.body))} if answer.body else {}
    for name, value in {**length, **answer.headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(answer.body[:limit])
