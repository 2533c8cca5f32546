"""Handles one request to a Git server: checks credentials, then runs `git http-backend`."""

from __future__ import annotations

import os
import subprocess
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.loopback import LoopbackHandler
from tests.support.repositories import git_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.gitserver import GitServer, Loss

_PIECE = 65536


@dataclass(frozen=True)
class GitRequest:
    """One request with its credentials; header names are in lower case.

    `service` is "git-upload-pack" (fetch), "git-receive-pack" (push) or "".
    """

    method: str
    target: str
    headers: Mapping[str, str]
    service: str
    user: str | None
    password: str | None

    @property
    def protocol(self) -> str:
        """The Git-Protocol header: "version=2" from current clients."""
        return self.headers.get("git-protocol", "")


@dataclass(frozen=True)
class Reply:
    """An HTTP answer that does not come from git."""

    status: int
    body: bytes = b"refused\n"
    type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)


def parse_request(method: str, target: str, headers: Mapping[str, str]) -> GitRequest:
    """Parse the request line and the headers."""
    url = urlsplit(target)
    requested = parse_qs(url.query).get("service", [""])[0]
    last = url.path.rpartition("/")[2]
    user, password = _credentials(headers.get("authorization", ""))
    service = requested or (last if last.startswith("git-") else "")
    return GitRequest(method, target, headers, service, user, password)


def _credentials(authorization: str) -> tuple[str | None, str | None]:
    scheme, _, encoded = authorization.partition(" ")
    with suppress(ValueError):
        if scheme.lower() == "basic":
            user, colon, password = b64decode(encoded, validate=True).decode().partition(":")
            return (user, password) if colon else (None, None)
    return None, None


def handler_for(state: GitServer) -> type[LoopbackHandler]:
    """Return a handler class for one server's state."""

    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802
            _Exchange(self, state).run()

        do_POST = do_GET  # noqa: N815

    return Handler


class _Exchange:
    def __init__(self, handler: LoopbackHandler, state: GitServer) -> None:
        self.handler = handler
        self.state = state
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.request = parse_request(handler.command, handler.target, headers)

    def run(self) -> None:
        state, request = self.state, self.request
        state.seen(request)
        if failure := state.failure_for(request):
            self._reply(failure if isinstance(failure, Reply) else Reply(failure))
        elif state.redirects(request):
            self._reply(Reply(302, headers={"Location": f"{state.redirect_to}{request.target}"}))
        elif state.refuses(request):
            self._reply(Reply(401, headers={"WWW-Authenticate": 'Basic realm="git"'}))
        else:
            if state.before is not None:
                state.before(request)
            repository = state.serve(request) if state.serve is not None else None
            self._serve(repository)

    def _reply(self, reply: Reply) -> None:
        # An unread body would be parsed as the next request on this connection.
        for _ in self.handler.request_body():
            pass
        self.handler.reply(reply.status, {"Content-Type": reply.type, **reply.headers}, reply.body)

    def _serve(self, repository: Path | None) -> None:
        loss = self.state.loss_for(self.request)
        with subprocess.Popen(
            ["git", "-c", "http.receivepack=true", "http-backend"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._cgi_environment(repository),
        ) as backend:
            assert backend.stdin is not None
            assert backend.stdout is not None
            try:
                self._feed(backend.stdin)
                if loss is None:
                    self._answer(backend.stdout)
                else:
                    backend.stdout.read()
                    self._drop_response(loss)
            except BaseException:
                backend.kill()
                raise

    def _cgi_environment(self, repository: Path | None) -> dict[str, str]:
        url, headers = urlsplit(self.request.target), self.request.headers
        path = unquote(url.path)
        if repository is not None:
            service = path[path.index("/info/refs" if path.endswith("/info/refs") else "/git-") :]
            path = f"/{repository.relative_to(self.state.root)}{service}"
        return git_environment() | {
            "GIT_PROJECT_ROOT": os.fspath(self.state.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.request.protocol,
            "REQUEST_METHOD": self.request.method,
            "PATH_INFO": path,
            "QUERY_STRING": url.query,
            # No CONTENT_LENGTH: chunked requests have none, and http-backend also reads to the end of file.
            "CONTENT_TYPE": headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_USER": self.request.user or "",
        }

    def _feed(self, stdin: IO[bytes]) -> None:
        body = self.handler.request_body()
        # A backend may close its input early; the rest of the body must still be read.
        with suppress(BrokenPipeError), stdin:
            for piece in body:
                stdin.write(piece)
        for _ in body:
            pass

    def _drop_response(self, loss: Loss) -> None:
        if loss == "reset":
            self.handler.reset_connection()
            return
        self.handler.send_response_only(200)
        self.handler.send_header("Content-Type", f"application/x-{self.request.service}-result")
        self.handler.send_header("Content-Length", "1000")
        self.handler.end_headers()
        self.handler.close_connection = True

    def _answer(self, stdout: IO[bytes]) -> None:
        handler = self.handler
        headers: dict[str, str] = {}
        while line := stdout.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name] = value.strip()
        if not headers:
            handler.reply(500, {}, b"no answer from git http-backend\n")
            return
        handler.send_response_only(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while piece := stdout.read1(_PIECE):  # type: ignore[attr-defined]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            handler.wfile.flush()  # keep-alive packets are only a few bytes
        handler.wfile.write(b"0\r\n\r\n")
