"""`make scale`: time and memory of a first run and of runs without changes, with very many objects.

The bucket is a server that generates its objects (see tests.scale.server); the repository is real. The
environment variables OBJECTS, CLUSTERS and OUTPUT configure it; docs/performance.md has the results.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.scale import server as server_module
from tests.scale.measure import GIT, PYTHON, REMOTE, Measured, cpu_seconds, measured
from tests.support.process import serving
from tests.support.repositories import bare_repository, git

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = ("first run", "no change", "no change again")
STEPS = ("discover", "download", "detect", "publish")
_HEAD = ("Case", "Seconds", *STEPS, "CPU seconds", "Server's", "Python MiB", "git MiB", "Remote's git MiB")


def scale(objects: int, clusters: int, root: Path) -> Iterator[dict[str, Any]]:
    """Measure each case; exit if a run has an unexpected result."""
    repository = bare_repository(root / "backups.git")
    server = [sys.executable, server_module.__file__, str(objects), str(clusters)]
    with serving(server, ready=r"listening on (\S+), process (\d+)\n", log=root / "server") as ready:
        environment = {
            "PATH": os.environ["PATH"],
            **server_module.settings(ready[1]),
            "GIT_REPOSITORY": f"file://{repository}",
            "WORK_DIR": str(root / "workspace"),
            "LOG_FORMAT": "json",
            "METRICS_PORT": "0",
            "RETRY_ATTEMPTS": "1",
            "MAX_OBJECTS": "0",  # no limit, so that few clusters may have all objects
        }
        for case in CASES:
            before = cpu_seconds(int(ready[2]))
            run = measured([sys.executable, "-m", "steps", "run"], environment, root)
            _check(run, objects // clusters * clusters if case == CASES[0] else 0)
            state = json.loads((root / "workspace" / "sync-metadata.json").read_text())
            yield {
                "case": case,
                "seconds": run.seconds,
                "cpu_seconds": run.cpu_seconds,
                "server_cpu_seconds": cpu_seconds(int(ready[2])) - before,
                "peak_bytes": {kind: run.peak_bytes.get(kind, 0) for kind in (PYTHON, GIT, REMOTE)},
                "step_seconds": state["last_run"]["step_seconds"],
            }
    files = git(repository, "ls-tree", "-r", "--name-only", "main").count(b"\n")
    if files != objects // clusters * clusters:
        raise SystemExit(f"the branch has {files} files")


def _check(run: Measured, changed: int) -> None:
    complete = [line for line in run.output.splitlines() if '"sync_complete"' in line]
    if run.exit_code or len(complete) != 1 or json.loads(complete[0])["data"]["files_changed"] != changed:
        raise SystemExit(f"exit code {run.exit_code}, {changed} changes expected:\n{run.output[-3000:]}")


def _cells(measurement: dict[str, Any]) -> list[str]:
    return [
        measurement["case"],
        f"{measurement['seconds']:.1f}",
        *(f"{measurement['step_seconds'][step]:.1f}" for step in STEPS),
        f"{measurement['cpu_seconds']:.1f}",
        f"{measurement['server_cpu_seconds']:.1f}",
        *(f"{measurement['peak_bytes'][kind] / 2**20:.0f}" for kind in (PYTHON, GIT, REMOTE)),
    ]


def main() -> None:
    """Measure, print a table for docs/performance.md, and write a JSON report."""
    objects = int(os.environ.get("OBJECTS") or 1_000_000)
    clusters = int(os.environ.get("CLUSTERS") or 500)
    output = Path(os.environ.get("OUTPUT") or "build/scale")
    print(f"{objects:,} objects in {clusters:,} clusters\n\n| {' | '.join(_HEAD)} |\n{'|---' * len(_HEAD)}|")
    results = []
    with TemporaryDirectory(prefix="git-sync-scale-", dir=os.environ.get("TMPDIR", "/var/tmp")) as directory:
        for measurement in scale(objects, clusters, Path(directory)):
            results.append(measurement)
            print(f"| {' | '.join(_cells(measurement))} |", flush=True)
    report = {
        "objects": objects,
        "clusters": clusters,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}",
        "results": results,
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / f"scale-{objects}.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
