"""`make bench`: git-sync against the shell scripts that it replaces, side by side.

SIZE (objects, default 10000), ROUNDS (default 5), CONTENDERS and CASES (names, all) choose what is
timed; OUTPUT is where the JSON goes. Without MINIO_ENDPOINT a versitygw is started, without
GIT_REPOSITORY a bare repository is made. With them the bench runs there: below git-sync-bench/ in
MINIO_BUCKET and on branches git-sync-bench/…: neither may be there, and both are removed again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import obstore

from steps.core.guards import DeletionToken
from tests.bench.contenders import CONTENDERS, PREFIX, Contender, Site
from tests.bench.dataset import CLUSTERS, Dataset
from tests.bench.measure import bytes_in, measured, settle
from tests.support.repositories import bare_repository, git
from tests.support.s3 import versitygw_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from obstore.store import S3Store

# By case and contender, what each round measured.
Results = dict[str, dict[str, list[dict[str, Any]]]]

CASES = ("first run", "no change", "no change again", "1 % modified", "10 % modified", "cluster removed")
STEPS = ("discover", "download", "detect", "publish")
_WRITERS = 16


@dataclass(frozen=True)
class Bench:
    """A site with a data set, its bucket, and what of it lies on this machine."""

    site: Site
    store: S3Store
    data: Dataset
    root: Path
    own_bucket: Path | None
    own_repository: Path | None

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Write objects to the bucket."""
        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(lambda key: obstore.put(self.store, PREFIX + key, objects[key]), objects))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects from the bucket."""
        obstore.delete(self.store, [PREFIX + key for key in keys])

    def run(self, contender: Contender, number: int, leaves: list[str]) -> dict[str, Any]:
        """Time one run and check what it left in Git; only of an own repository is the growth known."""
        directory = self.root / f"{contender.name}-{number}"
        directory.mkdir(exist_ok=True)
        branch = f"git-sync-bench/{contender.name}-{number}"
        invocation = contender.invoke(self.site, directory, branch, leaves)
        before = bytes_in(self.own_repository) if self.own_repository else 0
        settle([path for path in (self.own_bucket, self.own_repository, directory) if path])
        result = measured(invocation.command, invocation.environment, directory)
        if result.exit_code != 0:
            sys.exit(f"{contender.name} ended with {result.exit_code}:\n{result.output[-4000:]}")
        grown = bytes_in(self.own_repository) - before if self.own_repository else None
        self._check(contender, branch)
        return {
            "seconds": round(result.seconds, 3),
            "cpu_seconds": round(result.cpu_seconds, 3),
            "peak_bytes": result.peak_bytes,
            "grown_bytes": grown,
            "step_seconds": _step_seconds(directory),
        }

    def _check(self, contender: Contender, branch: str) -> None:
        """Whoever leaves anything else in Git than the bucket holds is disqualified."""
        with TemporaryDirectory(dir=self.root) as scratch:
            bare_repository(Path(scratch) / "check.git")
            self._git(
                Path(scratch), "fetch", "--quiet", "--depth=1", self.site.repository, f"refs/heads/{branch}"
            )
            listed = self._git(Path(scratch), "ls-tree", "-r", "-z", "FETCH_HEAD").decode().split("\0")[:-1]
        entries = (row.split("\t") for row in listed)
        held = {path.removeprefix("clusterbackup/"): entry.split(" ")[2] for entry, path in entries}
        wanted = {
            key: hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
            for key, body in self.data.bodies.items()
        }
        if held != wanted:
            wrong = len(held.items() ^ wanted.items())
            sys.exit(f"{contender.name}: {wrong} files are not what the bucket holds")

    def _git(self, directory: Path, *arguments: str) -> bytes:
        command = ["git", "-C", str(directory / "check.git"), *arguments]
        environment = self.site.git_environment(directory)
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout

    def keys(self) -> list[str]:
        """All that the bucket holds below the bench's prefix."""
        return [entry["path"] for batch in obstore.list(self.store, PREFIX) for entry in batch]

    def empty(self) -> None:
        """Leave the bucket as it was."""
        obstore.delete(self.store, self.keys())

    def branches(self) -> list[str]:
        """The bench's branches, as the repository has them."""
        listed = self._git(self.root, "ls-remote", self.site.repository, "refs/heads/git-sync-bench/*")
        return [line.split("\t")[1] for line in listed.decode().splitlines()]

    def remove_branches(self) -> None:
        """Leave the repository as it was."""
        for branch in self.branches():
            self._git(self.root, "push", "--quiet", "--delete", self.site.repository, branch)


def main() -> None:
    """Run the bench and show what came of it."""
    size, rounds = int(os.environ.get("SIZE", "10000")), int(os.environ.get("ROUNDS", "5"))
    output = Path(os.environ.get("OUTPUT", "build/bench"))
    chosen = _chosen("CONTENDERS", [contender.name for contender in CONTENDERS])
    contenders = [contender for contender in CONTENDERS if contender.name in chosen]
    cases = _chosen("CASES", list(CASES))
    with ExitStack() as stack:
        bench = _set_up(stack, size)
        results: Results = {case: {contender.name: [] for contender in contenders} for case in cases}
        for number in range(rounds):
            _round(bench, number, contenders, results)
    report = {
        "size": size,
        "bytes": sum(map(len, bench.data.bodies.values())),
        "rounds": rounds,
        "machine": _machine(),
        "results": results,
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / f"bench-{size}.json").write_text(json.dumps(report, indent=1) + "\n")
    _show(report)


def _chosen(name: str, known: list[str]) -> list[str]:
    wanted = [word.strip() for word in os.environ.get(name, "").split(",") if word.strip()] or known
    if unknown := set(wanted) - set(known):
        sys.exit(f"{name}: {', '.join(unknown)} is none of {', '.join(known)}")
    return [word for word in known if word in wanted]


def _set_up(stack: ExitStack, size: int) -> Bench:
    root = Path(
        stack.enter_context(
            TemporaryDirectory(prefix="git-sync-bench-", dir=os.environ.get("TMPDIR", "/var/tmp"))
        )
    )
    settings = {
        name: value for name, value in os.environ.items() if name.startswith(("MINIO_", "GIT_", "SSH_"))
    }
    for name in os.environ:
        if name.startswith(("GIT_", "AWS_")):
            del os.environ[name]
    own_bucket = own_repository = None
    if "MINIO_ENDPOINT" not in settings:
        own_bucket = root / "bucket"
        own_bucket.mkdir()
        (own_bucket / "backups").mkdir()
        server = stack.enter_context(versitygw_server(own_bucket))
        settings |= {
            "MINIO_ENDPOINT": server.endpoint,
            "MINIO_ACCESS_KEY": server.access_key,
            "MINIO_SECRET_KEY": server.secret_key,
            "MINIO_BUCKET": "backups",
            "MINIO_USE_SSL": "false",
        }
    if "GIT_REPOSITORY" not in settings:
        own_repository = bare_repository(root / "backups.git")
        git(own_repository, "config", "receive.unpackLimit", "1")  # as hosts do: each push stays a pack
        git(own_repository, "config", "receive.autogc", "false")
        settings["GIT_REPOSITORY"] = f"file://{own_repository}"
    site = Site(settings)
    print(f"Making {size} objects", file=sys.stderr, flush=True)
    bench = Bench(site, site.store(), Dataset(size), root, own_bucket, own_repository)
    bare_repository(root / "check.git")
    # Whatever is there already is somebody's, and would be removed in the end.
    if bench.keys():
        sys.exit(f"{PREFIX} in {settings['MINIO_BUCKET']} is not empty")
    if branches := bench.branches():
        sys.exit(f"{', '.join(branches)}: the repository has branches of another bench; remove them first")
    if own_bucket is None:
        stack.callback(bench.empty)
    if own_repository is None:
        stack.callback(bench.remove_branches)
    bench.put(bench.data.bodies)
    return bench


def _round(bench: Bench, number: int, contenders: list[Contender], results: Results) -> None:
    """All cases once, each contender on a branch and in a directory of its own."""
    # They take turns in going first.
    turn = number % len(contenders)
    order = contenders[turn:] + contenders[:turn]
    removed: dict[str, bytes] = {}
    for case in CASES:
        if case not in results and case != "first run":
            continue
        leaves = []
        if case.endswith("modified"):
            time.sleep(1.1)  # whole seconds are all that some clients compare
            bench.put(bench.data.modify(float(case.split()[0]) / 100))
        elif case == "cluster removed":
            token = DeletionToken(CLUSTERS[-1])
            for key in sorted(bench.data.of(CLUSTERS[-1]), key=str.encode):
                token.add(key.encode())
                removed[key] = bench.data.bodies.pop(key)
            bench.delete(removed)
            leaves = [f"{CLUSTERS[-1]}:{token}"]
        for contender in order:
            measurement = bench.run(contender, number, leaves)
            print(
                f"round {number + 1}: {case}: {contender.name} {measurement['seconds']:.2f} s",
                file=sys.stderr,
                flush=True,
            )
            if case in results:
                results[case][contender.name].append(measurement)
    bench.put(removed)
    bench.data.bodies |= removed


def _step_seconds(directory: Path) -> dict[str, float]:
    """Read what git-sync says of its own last run; nothing for contenders that say nothing."""
    metadata = directory / "workspace" / "sync-metadata.json"
    if not metadata.exists():
        return {}
    seconds: dict[str, float] = json.loads(metadata.read_text())["last_run"]["step_seconds"]
    return seconds


def _machine() -> dict[str, str]:
    def said(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    return {
        "system": f"{platform.system()} {platform.release()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "git": said("git", "--version"),
    }


def _show(report: dict[str, Any]) -> None:
    """Print tables, as they stand in docs/performance.md."""
    megabytes, rounds = report["bytes"] / 1e6, report["rounds"]
    print(
        f"\n{report['size']:,} objects, {megabytes:.0f} MB; medians of {rounds} rounds (minimum to maximum)\n"
    )
    print("| Case | Contender | Seconds | git-sync takes | CPU seconds | Peak MiB | Repository grows, kB |")
    print("|---|---|---|---|---|---|---|")
    for case, by_name in report["results"].items():
        ours = _median(by_name.get("git-sync", []), "seconds")
        for name, runs in by_name.items():
            seconds = [run["seconds"] for run in runs]
            ratio = (
                "" if name == "git-sync" or math.isnan(ours) else f"{ours / _median(runs, 'seconds'):.2f}×"
            )
            print(
                f"| {case} | {name}",
                f"{_median(runs, 'seconds'):.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
                ratio,
                f"{_median(runs, 'cpu_seconds'):.2f}",
                f"{_median(runs, 'peak_bytes') / 2**20:.0f}",
                "|" if runs[0]["grown_bytes"] is None else f"{_median(runs, 'grown_bytes') / 1e3:,.0f} |",
                sep=" | ",
            )
    if "git-sync" not in next(iter(report["results"].values())):
        return
    print("\nWhere git-sync's time goes, in per cent\n\n| Case |", " | ".join(STEPS), "| start and report |")
    print("|---" * (len(STEPS) + 2) + "|")
    for case, by_name in report["results"].items():
        runs = by_name["git-sync"]
        whole = sum(run["seconds"] for run in runs)
        shares = [100 * sum(run["step_seconds"][step] for run in runs) / whole for step in STEPS]
        print(f"| {case} |", " | ".join(f"{share:.0f}" for share in (*shares, 100 - sum(shares))), "|")


def _median(runs: list[dict[str, Any]], key: str) -> float:
    return statistics.median(run[key] for run in runs) if runs else math.nan


if __name__ == "__main__":
    main()
