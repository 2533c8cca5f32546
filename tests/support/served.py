"""`git-sync serve` as a process, and requests to it."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.process import free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Iterator

    from tests.support.sync import Sync

DEADLINE_SECONDS = 20


class Response:
    """One answer."""

    def __init__(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.text = body.decode()

    @property
    def json(self) -> dict[str, Any]:
        parsed = json.loads(self.text)
        assert isinstance(parsed, dict)
        return parsed


def get(port: int, path: str, *, method: str = "GET", accept: str = "") -> Response:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", method=method, headers={"Accept": accept}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return Response(answer.status, answer.headers.items(), answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Response(refused.code, refused.headers.items(), refused.read())


class Served:
    """A running `git-sync serve`."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.log: list[dict[str, Any]] = []

    def get(self, path: str, **options: str) -> Response:
        return get(self.port, path, **options)

    def next_line(self) -> dict[str, Any]:
        """Wait for the next line of its log."""
        assert self.process.stdout is not None
        line = json.loads(self.process.stdout.readline())
        assert isinstance(line, dict)
        self.log.append(line)
        return line

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=DEADLINE_SECONDS)
        assert err == ""
        self.log += [json.loads(line) for line in out.splitlines()]
        return self.process.returncode


@contextmanager
def serving(sync: Sync, **settings: str) -> Iterator[Served]:
    port = free_port()
    process = sync.start("serve", METRICS_PORT=str(port), **settings)
    served = Served(process, port)
    try:
        assert served.next_line()["operation"] == "serve"
        yield served
    finally:
        process.kill()
        process.communicate()
