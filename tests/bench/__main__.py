"""`make bench`: git-sync against the shell scripts that it replaces, side by side.

SIZE (objects, default 10000), ROUNDS (default 5), CONTENDERS and CASES (names, all) choose what is
timed; RUNS (default 10) is how many runs of 1 % each the repository is watched for afterwards. OUTPUT
is where JSON and plots go. Without MINIO_ENDPOINT a versitygw is started, without
GIT_REPOSITORY a bare repository is made. With them the bench runs there: below git-sync-bench/ in
MINIO_BUCKET and on branches git-sync-bench/…: neither may be there, and both are removed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
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

from steps.core.deletion_guard import DeletionToken
from tests.bench import plot, tables
from tests.bench.contenders import CONTENDERS, FLOOR, PREFIX, PROFILED, Contender, Site
from tests.bench.dataset import CLUSTERS, Dataset
from tests.bench.measure import bytes_in, measured, settle
from tests.support import environment
from tests.support.repositories import bare_repository, git
from tests.support.s3 import versitygw_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from obstore.store import S3Store

# By case and contender, what each round measured.
Results = dict[str, dict[str, list[dict[str, Any]]]]

CASES = ("first run", "no change", "no change again", "1 % modified", "10 % modified", "cluster removed")
_WRITERS = 16
# Where ext4 has no journal it passes over inodes that were freed within 35 seconds, and looks at each of
# them before it takes another: whoever goes first would pay for the files that the last round has removed.
_MANY = 10_000
_REUSE_SECONDS = 40


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
        branch = f"git-sync-bench/{contender.reads or contender.name}-{number}"
        invocation = contender.invoke(self.site, directory, branch, leaves)
        before = self._repository_bytes()
        settle([path for path in (self.own_bucket, self.own_repository, directory) if path])
        result = measured(invocation.command, invocation.environment, directory)
        if result.exit_code != 0:
            sys.exit(f"{contender.name} ended with {result.exit_code}:\n{result.output[-4000:]}")
        grown = [after - bytes_ for after, bytes_ in zip(self._repository_bytes(), before, strict=True)]
        self._check(contender, branch)
        return {
            "seconds": round(result.seconds, 3),
            "cpu_seconds": round(result.cpu_seconds, 3),
            "peak_bytes": result.peak_bytes,
            "grown_bytes": grown[0] if grown else None,
            "pushed_bytes": grown[1] if grown else None,
        }

    def _repository_bytes(self) -> list[int]:
        """What an own repository takes, in all and in packs; nothing is known of another's."""
        return [bytes_in(self.own_repository, end) for end in ("", ".pack")] if self.own_repository else []

    def packed_bytes(self, branch: str) -> int:
        """What a branch takes once a host has packed it anew."""
        with TemporaryDirectory(dir=self.root) as scratch:
            clone = f"{scratch}/clone.git"
            self._git(
                self.root,
                "clone",
                "--quiet",
                "--bare",
                "--single-branch",
                f"--branch={branch}",
                self.site.repository,
                clone,
            )
            git(Path(clone), "repack", "-adq")
            return bytes_in(Path(clone), ".pack")

    def phases(self, number: int) -> dict[str, float]:
        """What the profiler found in its newest run."""
        found: dict[str, float] = json.loads(
            (self.root / f"{PROFILED.name}-{number}" / "phases.json").read_text()
        )
        return found

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
    runs = int(os.environ.get("RUNS", "10"))
    output = Path(os.environ.get("OUTPUT", "build/bench"))
    chosen = _chosen("CONTENDERS", [contender.name for contender in CONTENDERS])
    contenders = [contender for contender in CONTENDERS if contender.name in chosen]
    cases = _chosen("CASES", list(CASES))
    with ExitStack() as stack:
        bench = _set_up(stack, size)
        results: Results = {case: {c.name: [] for c in _timed(contenders, case)} for case in cases}
        profile: Results = {case: {PROFILED.name: []} for case in cases}
        load = os.getloadavg()[0]
        report: dict[str, Any] = {
            "size": size,
            "bytes": sum(map(len, bench.data.bodies.values())),
            "machine": _machine(),
            "results": results,
        }
        try:
            if "git-sync" in chosen:
                _round(bench, rounds, [PROFILED], profile)
                report["phases"] = {case: by[PROFILED.name][0]["phases"] for case, by in profile.items()}
            for number in range(rounds):
                if size >= _MANY and bench.own_bucket:
                    time.sleep(_REUSE_SECONDS)
                _round(bench, number, contenders, results)
            if "git-sync" in chosen and bench.own_repository and runs:
                report["history"] = watched(bench, rounds + 1, runs)
        except KeyboardInterrupt:
            print("Stopped: what has been measured counts", file=sys.stderr)
        report["machine"]["load"] = f"{load:.1f} to {os.getloadavg()[0]:.1f}"
    output.mkdir(parents=True, exist_ok=True)
    (output / f"bench-{size}.json").write_text(json.dumps(report, indent=1) + "\n")
    reports = [json.loads(path.read_text()) for path in output.glob("bench-*.json")]
    reports.sort(key=lambda kept: kept["size"])
    (output / f"bench-{size}.svg").write_text(plot.comparison(report))
    (output / "growth.svg").write_text(plot.growth(reports))
    print("", *tables.compared(report), "", sep="\n")
    if "phases" in report:
        print(*tables.shares(report), "", *tables.grown(reports), "", *tables.histories(reports), sep="\n")


def _timed(contenders: Iterable[Contender], case: str) -> list[Contender]:
    """The least that a run could be is known for those without changes."""
    return [c for c in contenders if c is not FLOOR or case.startswith("no change")]


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
    environment.clean()
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
        for contender in _timed(order, case):
            measurement = bench.run(contender, number, leaves)
            if contender is PROFILED:
                measurement["phases"] = bench.phases(number)
            print(
                f"round {number + 1}: {case}: {contender.name} {measurement['seconds']:.2f} s",
                file=sys.stderr,
                flush=True,
            )
            if case in results:
                results[case][contender.name].append(measurement)
    bench.put(removed)
    bench.data.bodies |= removed


def watched(bench: Bench, number: int, runs: int) -> dict[str, Any]:
    """How the repository grows over many runs of 1 %, as pushed, and as a host packs it in the end."""
    (ours,) = (contender for contender in CONTENDERS if contender.name == "git-sync")
    branch = f"git-sync-bench/{ours.name}-{number}"
    bench.run(ours, number, [])
    before = bench.packed_bytes(branch)
    changed, grown = 0, []
    for _ in range(runs):
        objects = bench.data.modify(0.01)
        bench.put(objects)
        changed += len(objects)
        grown.append(bench.run(ours, number, [])["grown_bytes"])
    return {"changed": changed, "grown_bytes": grown, "packed_bytes": bench.packed_bytes(branch) - before}


def _machine() -> dict[str, str]:
    def output_of(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    return {
        "system": f"{platform.system()} {platform.release()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "git": output_of("git", "--version"),
    }


if __name__ == "__main__":
    main()
