"""The same over SSH: cut connections, a server that says nothing, keys that are not the right ones."""

from __future__ import annotations

from contextlib import contextmanager
from shutil import which
from typing import TYPE_CHECKING, NamedTuple, cast

from tests.soak.family import Counts, Family, shuffled
from tests.soak.git_world import FOREVER, ONCE, begin, impatient, judged
from tests.support.sshserver import ssh_git_server
from tests.support.tcp_proxy import Break, wire_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.world import Place, World
    from tests.support.sshserver import SSHServer
    from tests.support.tcp_proxy import Direction, How, Wire

# Somewhat more bytes than a run sends that changes something: seven conversations.
EXTENT = {"up": 22528, "down": 29696}
_STEPS = {"rst": 512, "fin": 512, "hang": 4096}
_KEYS = ("wrong-host-key", "unknown-key")


def _cases(seed: int) -> Iterator[str]:
    if which("ssh") is None:
        return iter(())
    cuts = [
        f"{direction}-{after}-{how}-{spell}"
        for direction, extent in EXTENT.items()
        for how, step in _STEPS.items()
        for after in range(0, extent, step)
        for spell in (ONCE, FOREVER)
    ]
    return shuffled([*cuts, *_KEYS], seed)


class _Reached(NamedTuple):
    world: World
    server: SSHServer
    wire: Wire


@contextmanager
def _served(place: Place, case: str) -> Iterator[_Reached]:
    with (
        place.world(case, proxied=False) as world,
        ssh_git_server(place.root) as server,
        wire_to(f"127.0.0.1:{server.port}") as wire,
    ):
        port = wire.endpoint.rpartition(":")[2]
        for known_hosts in (server.known_hosts_path, server.wrong_known_hosts_path):
            known_hosts.write_text(known_hosts.read_text().replace(f":{server.port}", f":{port}"))
        world.sync = world.sync.with_settings(
            GIT_REPOSITORY=server.url_for(world.repository).replace(f":{server.port}", f":{port}"),
            SSH_KEY_PATH=str(server.key_path),
            SSH_KNOWN_HOSTS_PATH=str(server.known_hosts_path),
        )
        world.fill(objects=3)
        begin(world)
        yield _Reached(world, server, wire)


def _run(place: Place, case: str) -> Counts:
    with _served(place, case) as (world, server, wire):
        if case == "wrong-host-key":
            result = world.attempt(SSH_KNOWN_HOSTS_PATH=str(server.wrong_known_hosts_path))
            return judged(world, result, {40}, struck=1)
        if case == "unknown-key":
            result = world.attempt(SSH_KEY_PATH=str(server.other_key_path))
            return judged(world, result, {40}, struck=1)
        direction, after, how, spell = case.split("-")
        fault = Break(cast("Direction", direction), int(after), cast("How", how), spell == FOREVER)
        wire.arm(fault)
        with impatient():
            result = world.attempt()
        struck = min(wire.struck, 1)
        wire.arm()
        return judged(world, result, {0, 30} if fault.lasting or how == "hang" else {0}, struck=struck)


FAMILY = Family("git-ssh", "The connection is cut, or hangs, over SSH", _cases, _run, quick=1)
