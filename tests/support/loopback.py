"""A threaded HTTP/1.1 server on a free loopback port, which closes all threads and sockets at its end."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import BufferedIOBase

    import trustme

_PIECE = 65536
_LINGER_ZERO = struct.pack("ii", 1, 0)


def certified(ca: trustme.CA | None) -> ssl.SSLContext | None:
    """Return a server context with a certificate of that CA; None without a CA."""
    if ca is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


class LoopbackServer(ThreadingHTTPServer):
    """Serves until `running` ends, which also closes idle connections."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler], *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        if tls is not None:
            # The handshake then happens on the first read, in the thread of the connection.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def endpoint(self) -> str:
        """The address, as "host:port"."""
        return f"127.0.0.1:{self.server_port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve, with one thread per connection, until the block ends."""
        thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()
            with self._lock:
                for connection in self._open:
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
            self.server_close()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        # An orderly shutdown would send FIN to a client that must receive RST.
        if request.fileno() < 0 or request.getsockopt(*_LINGER, 8) == _LINGER_ZERO:
            request.close()
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Expected in tests: clients close connections and refuse certificates.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


_LINGER = (socket.SOL_SOCKET, socket.SO_LINGER)


class LoopbackHandler(BaseHTTPRequestHandler):
    """The base class of all handlers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    @property
    def target(self) -> str:
        """The request target as sent; `path` would turn a leading `//` into `/`."""
        return self.requestline.split(" ")[1]

    def reset_connection(self) -> None:
        """Close this connection after this request, with RST."""
        self.connection.setsockopt(*_LINGER, _LINGER_ZERO)
        self.close_connection = True

    def reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer with `body`; the answer to a HEAD has only its length."""
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def request_body(self) -> Iterator[bytes]:
        """Yield the body of the request in pieces, with Content-Length or in chunks.

        Raises ConnectionError when the client closes the connection early.
        """
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                yield from _exactly(self.rfile, size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            yield from _exactly(self.rfile, int(self.headers.get("Content-Length", "0")))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: tests read the records of the servers."""


def _exactly(source: BufferedIOBase, size: int) -> Iterator[bytes]:
    while size > 0:
        piece = source.read(min(size, _PIECE))
        if not piece:
            raise ConnectionError("the client closed the connection")
        size -= len(piece)
        yield piece
