"""`make sizing`: the cost of a run on Kubernetes, by the number of clusters in the bucket and of shards.

It uses the cluster of the end-to-end tests (tests/e2e/README.md). CLUSTERS (default 3,30,300), SHARDS
(values of MAX_SHARDS, default 1,10,200) and OBJECTS (in each cluster, default 20) select the runs; OUTPUT
is the JSON file. Each measured run has no changes, so it shows the fixed cost of a run.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.e2e.installation import Installation
from tests.e2e.site import Site

if TYPE_CHECKING:
    from tests.e2e.installation import Node, Run

_TIMEOUT_SECONDS = 1800


def main() -> None:
    """Run all combinations, and print the results."""
    numbers, shards = _numbers("CLUSTERS", "3,30,300"), _numbers("SHARDS", "1,10,200")
    objects = int(os.environ.get("OBJECTS", "20"))
    output = Path(os.environ.get("OUTPUT", "build/bench"))
    output.mkdir(parents=True, exist_ok=True)
    measured: list[dict[str, Any]] = []
    print("| Clusters | MAX_SHARDS | Pods | Seconds | Of them download | Pods' seconds |")
    print("|---|---|---|---|---|---|", flush=True)
    for clusters in numbers:
        with TemporaryDirectory() as directory:
            installation = Installation(Site.from_environment(), Path(directory))
            try:
                measured += _measure(installation, clusters, objects, shards)
            finally:
                installation.remove()
        (output / "sizing.json").write_text(json.dumps(measured, indent=1) + "\n")


def _numbers(name: str, default: str) -> list[int]:
    return [int(word) for word in os.environ.get(name, default).split(",")]


def _measure(
    installation: Installation, clusters: int, objects: int, shards: list[int]
) -> list[dict[str, Any]]:
    """Run once, and then without changes for each number of shards that makes a difference."""
    installation.bucket.put_many(
        {
            f"clusterbackup/cluster-{cluster:03}/team-{number % 4}/ConfigMap/object-{number}.yaml": (
                f"apiVersion: v1\nkind: ConfigMap\ndata:\n  of: cluster-{cluster}\n  number: '{number}'\n"
            ).encode()
            for cluster in range(clusters)
            for number in range(objects)
        }
    )
    installation.install(MAX_SHARDS="10")
    rows = [_row(_run(installation), clusters, "10, first run")]
    for most in sorted({min(most, clusters) for most in shards}):
        installation.configure(MAX_SHARDS=str(most))
        rows.append(_row(_run(installation), clusters, str(most)))
    return rows


def _run(installation: Installation) -> Run:
    run = installation.wait(installation.submit(), _TIMEOUT_SECONDS)
    if run.phase != "Succeeded":
        raise SystemExit(installation.describe(run))
    return run


def _row(run: Run, clusters: int, shards: str) -> dict[str, Any]:
    pods = [node for node in run.nodes if node.type == "Pod"]
    downloads = run.pods("download")
    row = {
        "clusters": clusters,
        "max_shards": shards,
        "pods": len(pods),
        "seconds": _seconds(run.nodes),
        "download_seconds": _seconds(downloads),
        "pod_seconds": sum(_seconds([pod]) for pod in pods),
    }
    print("|", " | ".join(str(value) for value in row.values()), "|", flush=True)
    return row


def _seconds(nodes: list[Node]) -> int:
    """Return the seconds from the first start to the last end; Argo stores whole seconds."""
    moments = [datetime.fromisoformat(at) for node in nodes for at in (node.started, node.finished)]
    return round((max(moments) - min(moments)).total_seconds())


if __name__ == "__main__":
    main()
