"""The bench's bucket: SIZE Kubernetes manifests in three clusters, the same bytes on every machine.

The manifests are made like those of the demo. As in real dumps most are small, half of them have kubectl's
last-applied-configuration, and a few (dashboards, CRDs) are some hundred times larger: median 1.1 kB, mean
5 kB.
"""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from tests.demo.dataset import CLUSTER_SCOPED, SORTS, lines, manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

CLUSTERS = ("production-east", "production-west", "staging")
_APPS_PER_NAMESPACE = 12
_LARGE_EVERY = 25
_LARGE_MEDIAN_BYTES = 70_000
_WORDS = (
    "rate",
    "sum",
    "namespace",
    "pod",
    "container",
    "http_requests_total",
    "le",
    "job",
    "by",
    "instance",
)


@dataclass
class Dataset:
    """The objects of the bucket: key (without prefix) to body. Changes are numbered, not random."""

    size: int
    bodies: dict[str, bytes] = field(init=False)
    _changes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        share = math.ceil(self.size / len(CLUSTERS))
        self.bodies = {}
        for cluster in CLUSTERS:
            self.bodies |= islice(_cluster(cluster), min(share, self.size - len(self.bodies)))

    def of(self, cluster: str) -> list[str]:
        """Return the keys of one cluster."""
        return [key for key in self.bodies if key.startswith(f"{cluster}/")]

    def modify(self, share: float) -> dict[str, bytes]:
        """Change the resourceVersion of this share of the objects, spread over all."""
        self._changes += 1
        count = max(1, round(len(self.bodies) * share))
        keys = random.Random(self._changes).sample(sorted(self.bodies), count)
        changed = {key: _touched(self.bodies[key], f"{key}#{self._changes}") for key in keys}
        self.bodies |= changed
        return changed


def _touched(body: bytes, seed: str) -> bytes:
    head, mark, rest = body.partition(b'resourceVersion: "')
    version, quote, tail = rest.partition(b'"')
    other = str(random.Random(seed).randrange(10 ** (len(version) - 1), 10 ** len(version))).encode()
    return b"".join((head, mark, other, quote, tail))


def _cluster(cluster: str) -> Iterator[tuple[str, bytes]]:
    """Yield manifests without end, in namespaces with a dozen applications each."""
    number = 0
    chance = random.Random(cluster)
    while True:
        namespace = f"team-{number // _APPS_PER_NAMESPACE:04}"
        sort = chance.choice(("web", "api", "api", "worker", "worker", "db", "job", "agent"))
        if number % _APPS_PER_NAMESPACE == 0:
            sort, app = "ns", namespace
        else:
            app = f"{chance.choice(('cart', 'ledger', 'search', 'mailer', 'intake'))}-{number:05}"
        number += 1
        for entry in SORTS[sort].format(app).split():
            kind, name = entry.split(":", 1)
            folder = "_cluster" if CLUSTER_SCOPED.fullmatch(kind) else namespace
            path = f"{cluster}/{folder}/{kind}/{name}"
            document = manifest(path, namespace, app, {}, None)
            if chance.random() < 0.5:
                applied = json.dumps({k: v for k, v in document.items() if k != "status"})
                notes = document["metadata"].setdefault("annotations", {})
                notes["kubectl.kubernetes.io/last-applied-configuration"] = applied
            if kind == "ConfigMap" and chance.randrange(_LARGE_EVERY) < 4:
                document.setdefault("data", {})["dashboard.json"] = _dashboard(chance)
            yield f"{path}.yaml", "\n".join([*lines(document), ""]).encode()


def _dashboard(chance: random.Random) -> str:
    panels: list[dict[str, object]] = []
    size = 0
    wanted = chance.lognormvariate(math.log(_LARGE_MEDIAN_BYTES), 0.8)
    while size < wanted:
        panel = {
            "id": len(panels),
            "title": " ".join(chance.choices(_WORDS, k=4)),
            "gridPos": {"h": 8, "w": 12, "x": chance.randrange(24), "y": chance.randrange(900)},
            "targets": [{"expr": f"{chance.choice(_WORDS)}({chance.getrandbits(32):x}[5m])", "refId": "A"}],
        }
        panels.append(panel)
        size += len(json.dumps(panel, indent=1))
    return json.dumps({"panels": panels}, indent=1)
