"""Up to 1,000 clients keep connections to METRICS_PORT of `run` or `serve`: idle, slow, half-closed, deaf.

The run must be exact, /health and /metrics must answer other clients, and neither descriptors nor memory may
grow with the number of clients. No check depends on a time, except for generous deadlines.
"""

from __future__ import annotations

import json
import random
import resource
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from tests.soak.family import Counts, Family, endless
from tests.soak.oracle import Unsafe
from tests.support.faults import Change, when
from tests.support.idle import descriptors, peak_memory
from tests.support.process import await_port, free_port
from tests.support.served import get, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.world import Place, World
    from tests.support.served import Response

_MOST = 1000
_DEADLINE_SECONDS = 120
# Beyond what the process has without clients: 32 connections, those that are accepted before older ones are
# closed, and the descriptors of downloads, files and git.
_DESCRIPTORS = 110
_MEMORY_BYTES = 64 * 2**20

# What a client sends before it waits. A slow one continues with one byte at a time.
_OPENINGS = {
    "idle": b"",
    "half a request": b"GET /metrics HTTP/1.1\r\nHost: x\r\n",
    "large headers": b"GET / HTTP/1.1\r\n" + (b"X: " + b"x" * 4000 + b"\r\n") * 4,
    "slow": b"GET /health HTTP/1.1\r\nX: ",
    "half-closed": b"GET /metrics HTTP/1.1\r\n",
    "reads nothing": b"GET /metrics HTTP/1.1\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "reset": b"GET /metrics HTTP/1.1\r\n",
}


def _run(place: Place, case: str) -> Counts:
    choice = random.Random(case)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for the clients, which are in this process
    try:
        with place.world(case) as world:
            world.fill(objects=choice.randrange(2, 20))
            world.settle()
            world.change(puts=3)
            kinds = choice.choices(list(_OPENINGS), k=choice.choice([1, 40, 200, _MOST]))
            (_beside_run if choice.random() < 0.5 else _beside_serve)(place, world, choice, kinds)
            world.settle()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return Counter(kinds)


def _beside_run(place: Place, world: World, choice: random.Random, kinds: list[str]) -> None:
    """Connect to METRICS_PORT of a run that waits for the listing or for the first objects."""
    gate = threading.Event()
    waits = Change(before=lambda: gate.wait(_DEADLINE_SECONDS))
    lists = choice.random() < 0.5
    place.proxy.install(when(lambda request: request.is_list if lists else request.is_get, waits))
    port = free_port()
    with world.sync.start("run", METRICS_PORT=str(port)) as process:
        try:
            await_port(f"127.0.0.1:{port}", timeout_seconds=_DEADLINE_SECONDS)
            with _bounded(process.pid), _clients(port, kinds):
                _check_answers(port, runs=1)
                gate.set()
                out, _ = process.communicate(timeout=_DEADLINE_SECONDS)
        finally:
            gate.set()
            process.kill()
    place.proxy.clear()
    last = json.loads(out.splitlines()[-1])
    if process.returncode != 0 or last["operation"] != "sync_complete":
        raise Unsafe(f"the run beside {len(kinds)} clients ended with {process.returncode}: {out}")
    world.oracle.check()


def _beside_serve(_place: Place, world: World, _choice: random.Random, kinds: list[str]) -> None:
    """Connect to `serve` while another process syncs into the same WORK_DIR."""
    with serving(world.sync) as served:
        _check_answers(served.port, runs=1)
        with _bounded(served.process.pid), _clients(served.port, kinds):
            result = world.attempt()
            if result.exit != 0:
                raise Unsafe(f"a run beside serve ended with {result.exit}: {result.errors}")
            _check_answers(served.port, runs=2)


@contextmanager
def _bounded(pid: int) -> Iterator[None]:
    """Raise Unsafe if descriptors or memory of the process have grown with the number of clients."""
    before = descriptors(pid), peak_memory(pid)
    stop = threading.Event()
    most = [before]

    def watch() -> None:
        with suppress(OSError, ValueError):  # the process has ended
            while not stop.wait(0.05):
                most.append((descriptors(pid), peak_memory(pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
    opened = max(count for count, _ in most) - before[0]
    grown = max(size for _, size in most) - before[1]
    if opened > _DESCRIPTORS or grown > _MEMORY_BYTES:
        raise Unsafe(f"{opened} more descriptors and {grown} more bytes of memory")


@contextmanager
def _clients(port: int, kinds: list[str]) -> Iterator[None]:
    """Keep a connection of each kind; a slow one sends a byte now and then."""
    slow: list[socket.socket] = []
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.1):
            for client in slow:
                with suppress(OSError):
                    client.send(b"x", socket.MSG_DONTWAIT)

    trickling = threading.Thread(target=trickle)
    with ExitStack() as stack:
        for kind in kinds:
            client = stack.enter_context(_connected(port))
            with suppress(OSError):  # the server may have closed the connection, or no longer read
                client.settimeout(0.2)
                client.sendall(_OPENINGS[kind])
                if kind == "half-closed":
                    client.shutdown(socket.SHUT_WR)
                elif kind == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.close()
            if kind == "slow":
                slow.append(client)
        trickling.start()
        try:
            yield
        finally:
            stop.set()
            trickling.join()


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=_DEADLINE_SECONDS)


def _check_answers(port: int, *, runs: int) -> None:
    """Raise Unsafe unless a genuine client gets the health and the metrics of ``runs`` runs or more."""
    health, metrics = _get(port, "/health"), _get(port, "/metrics")
    if health.status != 200 or metrics.status != 200:
        raise Unsafe(f"/health answers {health.status}, /metrics {metrics.status}: {health.text}")
    (count,) = (
        float(line.split()[1])
        for line in metrics.text.splitlines()
        if line.startswith("git_sync_duration_seconds_count")
    )
    if count < runs:
        raise Unsafe(f"the metrics count {count} runs, not {runs}")


def _get(port: int, path: str) -> Response:
    """Request a path until it is answered."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        try:
            return get(port, path)
        except OSError as problem:
            if time.monotonic() > deadline:
                raise Unsafe(f"{path} is not answered: {problem}") from problem


FAMILY = Family(
    "idle-clients",
    "Up to 1,000 idle, slow, half-closed or deaf clients of METRICS_PORT",
    endless,
    _run,
    quick=2,
)
