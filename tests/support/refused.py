"""Objects, some of which a Git host refuses, and what a run reports about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.steps import KEY

if TYPE_CHECKING:
    from tests.support.sync import Sync

TOKEN = b"token: ghp_0123\n"
SECRET = "clusterbackup/west/shop/ConfigMap/a.yaml"
FORBIDDEN = "clusterbackup/west/forbidden/a.yaml"
GOOD = {
    **{f"clusterbackup/{name}/shop/{n:02}.yaml": b"new" for name in ("east", "north") for n in range(20)},
    KEY: b"2",
}


def refused(sync: Sync) -> list[str]:
    """Return the refused objects of the last run, as keys."""
    return [f"clusterbackup/{one['path']}" for one in sync.state["last_run"]["refused_by_host"]]


def cluster(sync: Sync, name: str) -> dict[str, Any]:
    """Return the last run's result of a cluster."""
    found: dict[str, Any] = next(c for c in sync.state["last_run"]["clusters"] if c["name"] == name)
    return found


def without(objects: dict[str, bytes], *keys: str) -> dict[str, bytes]:
    """Return the objects without these keys."""
    return {key: body for key, body in objects.items() if key not in keys}
