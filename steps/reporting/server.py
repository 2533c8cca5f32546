"""The HTTP server of `serve`, and of `run` while it works.

It only reads. Its pages contain no secret, but they name clusters and files: do not expose the port outside
the cluster.

No client can keep a connection, a descriptor or memory: each connection has one buffer, carries one request
and has one deadline. This is asyncio and not a web server, because waitress 3.0, uvicorn 0.47 and cheroot 11
limit the silence between two bytes, never the time of a whole request.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from steps.core import limits
from steps.core.operations import Operation
from steps.errors import FixConfiguration
from steps.reporting.routes import Response, Routes, text_response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steps.reporting.state_source import LastReading
    from steps.runtime.settings.delivery import HttpSettings

_HEADERS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_REQUEST_LINE = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.[01]")
_END_OF_HEAD = b"\r\n\r\n"


@contextmanager
def http_server(settings: HttpSettings, states: LastReading, *, address: str | None) -> Iterator[None]:
    """Listen on METRICS_PORT of ``address`` while the block runs; None: of every address of this machine.

    Raises FixConfiguration if the port or the address is unavailable.
    """
    listener = _listen(address, settings.port)
    stop = asyncio.Event()
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.set_default_executor(ThreadPoolExecutor(limits.HTTP_RESPONSE_THREADS))
        serving = _serve(listener, Routes(settings, states), stop)
        thread = threading.Thread(target=runner.run, args=(serving,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()


def _listen(address: str | None, port: int) -> socket.socket:
    try:
        if address is not None:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            return socket.create_server((address, port), family=family)
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as problem:
        place = f"port {port}" if address is None else f"{address}, port {port}"
        reason = os.strerror(problem.errno or 0)  # create_server() adds an address to the error's own text
        cause = f"{place}: {reason.lower()}"
        where = {"setting": "METRICS_PORT", "port": port}
        raise FixConfiguration(
            Operation.SERVE, "Failed to listen on METRICS_PORT", cause, **where
        ) from problem


async def _serve(listener: socket.socket, routes: Routes, stop: asyncio.Event) -> None:
    connections = _Connections()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(routes, connections),
        sock=listener,
        backlog=limits.HTTP_ACCEPTED_CONNECTIONS,  # asyncio accepts the same number at a time
    )
    listener.listen(limits.HTTP_QUEUED_CONNECTIONS)
    await stop.wait()
    server.close()
    connections.close()


class _Connections:
    """The open connections, oldest first."""

    def __init__(self) -> None:
        self._open: dict[_Connection, None] = {}

    def add(self, connection: _Connection) -> None:
        """Add a connection. Beyond HTTP_CONNECTIONS, close the oldest that still waits for its request.

        So clients that send nothing do not lock out a client that sends its request at once.
        """
        if len(self._open) >= limits.HTTP_CONNECTIONS:
            oldest = next((known for known in self._open if known.is_waiting), next(iter(self._open)))
            self.remove(oldest)
            oldest.abort()
        self._open[connection] = None

    def remove(self, connection: _Connection) -> None:
        """Forget a connection that has ended."""
        self._open.pop(connection, None)

    def close(self) -> None:
        """Close all of them, finished or not."""
        for connection in self._open:
            connection.abort()


class _Connection(asyncio.BufferedProtocol):
    """One request and its response.

    The connection ends HTTP_REQUEST_SECONDS after the client has connected, even if the request or the
    response is incomplete. asyncio reads into the one buffer of HTTP_HEAD_BYTES.
    """

    is_waiting = True  # for the end of the request's head

    def __init__(self, routes: Routes, connections: _Connections) -> None:
        self._routes = routes
        self._connections = connections
        self._buffer = bytearray(limits.HTTP_HEAD_BYTES)
        self._length = 0
        self._response: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.call_later(limits.HTTP_REQUEST_SECONDS, self.abort)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # a client that disconnects is not an error of the server
        self._deadline.cancel()
        self._connections.remove(self)
        if self._response:
            self._response.cancel()  # if it has not begun, it needs no time

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        # After the response, what a client sends is read and discarded: unread bytes would make close()
        # reset the connection, and the client might lose the response.
        return memoryview(self._buffer)[self._length if self.is_waiting else 0 :]

    def buffer_updated(self, nbytes: int) -> None:
        if not self.is_waiting:
            return
        begin = max(0, self._length - len(_END_OF_HEAD))
        self._length += nbytes
        end = self._buffer.find(_END_OF_HEAD, begin, self._length)
        if end >= 0:
            self.is_waiting = False
            self._response = self._loop.create_task(self._answer(bytes(self._buffer[:end])))
        elif self._length == len(self._buffer):
            self.is_waiting = False
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._send(text_response(status, f"The headers exceed {limits.HTTP_HEAD_BYTES} bytes"))

    async def _answer(self, head: bytes) -> None:
        request_line, *headers = head.split(b"\r\n")
        request = _REQUEST_LINE.fullmatch(request_line)
        if request is None:
            self._send(text_response(HTTPStatus.BAD_REQUEST, "This is not an HTTP request"))
        elif request[1] not in {b"GET", b"HEAD"}:
            self._send(text_response(HTTPStatus.NOT_IMPLEMENTED, "Only GET and HEAD are supported"))
        else:
            path = request[2].decode("latin-1").partition("?")[0]
            response = await asyncio.to_thread(self._routes.respond, path, _accept(headers))
            self._send(response, has_body=request[1] == b"GET")

    def _send(self, response: Response, *, has_body: bool = True) -> None:
        if self._transport.is_closing():
            return
        length = {"Content-Type": response.content_type, "Content-Length": str(len(response.body))}
        lines = [f"HTTP/1.1 {response.status.value} {response.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in (length | _HEADERS).items()]
        head = "\r\n".join(lines).encode() + _END_OF_HEAD
        self._transport.write(head + response.body if has_body else head)
        self._transport.write_eof()


def _accept(headers: list[bytes]) -> str:
    """Return the value of the Accept header, empty if there is none."""
    fields = (line.partition(b":") for line in headers)
    values = (value.strip().decode("latin-1") for name, _, value in fields if name.lower() == b"accept")
    return ", ".join(values)
