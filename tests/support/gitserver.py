"""A Git server over HTTP(S), with basic auth, protocol v2, and faults on request."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from tests.support.gitbackend import GitRequest, Reply, handler_for
from tests.support.loopback import LoopbackServer, certified

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    import trustme

Loss = Literal["cut", "reset"]


@dataclass
class _Fault:
    left: int
    service: str
    outcome: int | Loss


@dataclass
class GitServer:
    """A running server, its switches, and the requests it received.

    `token`, `anonymous_read`, `redirect_to`, `answer`, `before` and `serve` may be set while it runs.
    `redirect_to` is a base URL: every request is redirected there with 302, or with
    `redirect_after_login` only requests that have the token. `answer` returns a status or a Reply for a
    request, before credentials are checked, or None to let it pass. `before` is called with each accepted
    request before git receives it, for example to move a branch between a fetch and a push. `serve`
    returns another repository to serve the request from, or None.
    `ca_file` is the PEM file to trust; None for plain HTTP.
    """

    root: Path
    url: str
    token: str
    ca_file: Path | None = None
    anonymous_read: bool = False
    redirect_to: str | None = None
    redirect_after_login: bool = False
    answer: Callable[[GitRequest], int | Reply | None] | None = None
    before: Callable[[GitRequest], None] | None = None
    serve: Callable[[GitRequest], Path | None] | None = None
    _requests: list[GitRequest] = field(default_factory=list, repr=False)
    _faults: list[_Fault] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def url_for(self, repository: Path | str) -> str:
        """Return the URL of a repository under the root, given by its path or its name."""
        path = Path(repository)
        return f"{self.url}/{path.relative_to(self.root) if path.is_absolute() else path}"

    @property
    def requests(self) -> list[GitRequest]:
        """Every request so far, accepted or not."""
        with self._lock:
            return list(self._requests)

    @property
    def user_names(self) -> set[str]:
        """The user names received by basic auth."""
        return {request.user for request in self.requests if request.user is not None}

    @property
    def authorizations(self) -> list[str]:
        """Every Authorization header received."""
        values = (request.headers.get("authorization") for request in self.requests)
        return [header for header in values if header is not None]

    def fail_next(self, count: int, status: int, service: str = "") -> None:
        """Answer the next `count` requests with `status`, without checking credentials.

        `service` limits this to "git-upload-pack" (fetch) or "git-receive-pack" (push).
        """
        with self._lock:
            self._faults.append(_Fault(count, service, status))

    def lose_response(self, count: int = 1, service: str = "git-receive-pack", how: Loss = "cut") -> None:
        """Carry out the next `count` POSTs to `service` and drop the response.

        "cut" closes the connection after the headers: git reports that the remote end hung up. "reset"
        resets it before any byte: libcurl then repeats a small POST, and git reports the push that
        succeeded as "remote rejected".
        """
        with self._lock:
            self._faults.append(_Fault(count, service, how))

    def seen(self, request: GitRequest) -> None:
        """Record a request; called by the handler."""
        with self._lock:
            self._requests.append(request)

    def failure_for(self, request: GitRequest) -> int | Reply | None:
        """Return the answer to fail `request` with, once; called by the handler."""
        if self.answer is not None and (answer := self.answer(request)):
            return answer
        outcome = self._use(request, int)
        return outcome if isinstance(outcome, int) else None

    def loss_for(self, request: GitRequest) -> Loss | None:
        """Return how to drop the response to `request`, once; called by the handler."""
        outcome = self._use(request, str) if request.method == "POST" else None
        return None if isinstance(outcome, int) else outcome

    def _use(self, request: GitRequest, kind: type[int | str]) -> int | Loss | None:
        with self._lock:
            for fault in self._faults:
                fits = isinstance(fault.outcome, kind) and fault.service in {"", request.service}
                if fits and fault.left > 0:
                    fault.left -= 1
                    return fault.outcome
        return None

    def redirects(self, request: GitRequest) -> bool:
        """Whether `request` is redirected; called by the handler."""
        return self.redirect_to is not None and not (self.redirect_after_login and self.refuses(request))

    def refuses(self, request: GitRequest) -> bool:
        """Whether `request` lacks the credentials that it needs; called by the handler."""
        if self.anonymous_read and request.service == "git-upload-pack":
            return False
        return not request.user or request.password != self.token


@contextmanager
def https_git_server(
    root: Path, ca: trustme.CA, token: str, *, anonymous_read: bool = False
) -> Iterator[GitServer]:
    """Serve the bare repositories under `root` over HTTPS, with a certificate of `ca`.

    It requires basic auth with any user name and `token` as the password. With `anonymous_read`, only
    pushes require it.
    """
    with TemporaryDirectory(prefix="git-ca-") as folder:
        ca_file = Path(folder) / "ca.pem"
        ca.cert_pem.write_to_path(str(ca_file))
        with _serve(root, token, certified(ca)) as server:
            server.ca_file = ca_file
            server.anonymous_read = anonymous_read
            yield server


@contextmanager
def http_git_server(root: Path, token: str, *, anonymous_read: bool = False) -> Iterator[GitServer]:
    """Serve the bare repositories under `root` over HTTP."""
    with _serve(root, token, None) as server:
        server.anonymous_read = anonymous_read
        yield server


@contextmanager
def _serve(root: Path, token: str, tls: ssl.SSLContext | None) -> Iterator[GitServer]:
    state = GitServer(root=root, url="", token=token)
    server = LoopbackServer(handler_for(state), tls=tls)
    state.url = f"{'https' if tls else 'http'}://{server.endpoint}"
    with server.running():
        yield state
