"""Git over SSH: broken connections, a silent server, wrong keys."""

from __future__ import annotations

from contextlib import contextmanager
from shutil import which
from typing import TYPE_CHECKING, NamedTuple, cast

from tests.soak.family import Counts, Family, shuffled
from tests.soak.git_world import FOREVER, ONCE, short_timeouts, sync_once, verify_recovery
from tests.support.sshserver import ssh_git_server
from tests.support.tcp_proxy import Break, tcp_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.world import Place, World
    from tests.support.sshserver import SSHServer
    from tests.support.tcp_proxy import Direction, How, TcpProxy

# More bytes than a run with changes sends, in its seven connections.
EXTENT = {"up": 22528, "down": 29696}
_STEPS = {"rst": 512, "fin": 512, "hang": 4096}
_KEYS = ("wrong-host-key", "unknown-key")


def _cases(seed: int) -> Iterator[str]:
    if which("ssh") is None:
        return iter(())
    cuts = [
        f"{direction}-{after}-{how}-{duration}"
        for direction, extent in EXTENT.items()
        for how, step in _STEPS.items()
        for after in range(0, extent, step)
        for duration in (ONCE, FOREVER)
    ]
    return shuffled([*cuts, *_KEYS], seed)


class _Reached(NamedTuple):
    world: World
    server: SSHServer
    proxy: TcpProxy


@contextmanager
def _served(place: Place, case: str) -> Iterator[_Reached]:
    with (
        place.world(case, proxied=False) as world,
        ssh_git_server(place.root) as server,
        tcp_proxy(f"127.0.0.1:{server.port}") as proxy,
    ):
        port = proxy.endpoint.rpartition(":")[2]
        for known_hosts in (server.known_hosts_path, server.wrong_known_hosts_path):
            known_hosts.write_text(known_hosts.read_text().replace(f":{server.port}", f":{port}"))
        world.sync = world.sync.with_settings(
            GIT_REPOSITORY=server.url_for(world.repository).replace(f":{server.port}", f":{port}"),
            SSH_KEY_PATH=str(server.key_path),
            SSH_KNOWN_HOSTS_PATH=str(server.known_hosts_path),
        )
        world.fill(objects=3)
        sync_once(world)
        yield _Reached(world, server, proxy)


def _run(place: Place, case: str) -> Counts:
    with _served(place, case) as (world, server, proxy):
        if case == "wrong-host-key":
            result = world.attempt(SSH_KNOWN_HOSTS_PATH=str(server.wrong_known_hosts_path))
            return verify_recovery(world, result, {40}, triggered=1)
        if case == "unknown-key":
            result = world.attempt(SSH_KEY_PATH=str(server.other_key_path))
            return verify_recovery(world, result, {40}, triggered=1)
        direction, after, how, duration = case.split("-")
        fault = Break(cast("Direction", direction), int(after), cast("How", how), duration == FOREVER)
        proxy.arm(fault)
        with short_timeouts():
            result = world.attempt()
        triggered = min(proxy.triggered, 1)
        proxy.arm()
        return verify_recovery(
            world, result, {0, 30} if fault.lasting or how == "hang" else {0}, triggered=triggered
        )


FAMILY = Family("git-ssh", "The SSH connection to the Git server is cut, or hangs", _cases, _run, quick=1)
