"""`make bench`: compare the run time of git-sync with shell scripts that do the same.

SIZE (objects, default 10000), ROUNDS (default 5), CONTENDERS and CASES (names, default all) select what is
measured. RUNS (default 10) is the number of later runs, with 1 % changes each, that measure the growth of
the repository. OUTPUT is the directory for JSON and plots. Without MINIO_ENDPOINT the bench starts a
versitygw, and without GIT_REPOSITORY it creates a bare repository. Otherwise it uses them: the prefix
git-sync-bench/ in MINIO_BUCKET, and branches git-sync-bench/…. Neither may exist before; the bench removes
both.
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
from steps.kubernetes.rewrite import Rewritten
from tests.bench import plot, tables
from tests.bench.contenders import CONTENDERS, FLOOR, PREFIX, PROFILED, STRIP, Contender, Site
from tests.bench.dataset import CLUSTERS, Dataset
from tests.bench.measure import bytes_in, measured, settle
from tests.support import environment
from tests.support.repositories import bare_repository, git
from tests.support.s3 import versitygw_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from obstore.store import S3Store

# The measurements of each round, by case and contender.
Results = dict[str, dict[str, list[dict[str, Any]]]]

CASES = ("first run", "no change", "no change again", "1 % modified", "10 % modified", "cluster removed")
_WRITERS = 16
# ext4 without a journal does not reuse inodes that were freed in the last 35 seconds, and checks each of them
# before it takes another one. Without this pause, the first contender of a round would be slowed down.
_MANY = 10_000
_REUSE_SECONDS = 40


def _blob_id(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def _approvals(branch: str, removed: Mapping[str, bytes]) -> list[str]:
    """Return the approval of the removal of a cluster; none if nothing is removed."""
    if not removed:
        return []
    token = DeletionToken(CLUSTERS[-1], branch)
    for key, body in removed.items():
        token.add(key.encode(), _blob_id(body))
    return [f"{CLUSTERS[-1]}:{token}"]


@dataclass(frozen=True)
class Bench:
    """A site with a data set and its bucket, and the directories on this machine."""

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
        """Delete objects from the bucket."""
        obstore.delete(self.store, [PREFIX + key for key in keys])

    def run(self, contender: Contender, number: int, removed: Mapping[str, bytes]) -> dict[str, Any]:
        """Time one run and check its result in Git; measure the growth if the repository is local.

        ``removed`` are the objects of the cluster that is removed; git-sync gets an approval for it.
        """
        directory = self.root / f"{contender.name}-{number}"
        directory.mkdir(exist_ok=True)
        branch = f"git-sync-bench/{contender.reads or contender.name}-{number}"
        invocation = contender.invoke(self.site, directory, branch, _approvals(branch, removed))
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
        """Return the size of a local repository, in total and in packs; nothing for a remote one."""
        return [bytes_in(self.own_repository, end) for end in ("", ".pack")] if self.own_repository else []

    def packed_bytes(self, branch: str) -> int:
        """Return the size of a branch after a repack."""
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
        """Return the result of the newest run of the profiler."""
        found: dict[str, float] = json.loads(
            (self.root / f"{PROFILED.name}-{number}" / "phases.json").read_text()
        )
        return found

    def _check(self, contender: Contender, branch: str) -> None:
        """Raise an error if Git does not have exactly the content of the bucket, under the policy."""
        with TemporaryDirectory(dir=self.root) as scratch:
            bare_repository(Path(scratch) / "check.git")
            self._git(
                Path(scratch), "fetch", "--quiet", "--depth=1", self.site.repository, f"refs/heads/{branch}"
            )
            listed = self._git(Path(scratch), "ls-tree", "-r", "-z", "FETCH_HEAD").decode().split("\0")[:-1]
        entries = (row.split("\t") for row in listed)
        in_git = {path.removeprefix("clusterbackup/"): entry.split(" ")[2] for entry, path in entries}
        rewrite = contender.policy.rewrite if contender.policy.rewrites else Rewritten
        bodies = ((key, rewrite(body).content) for key, body in self.data.bodies.items())
        wanted = {key: _blob_id(body) for key, body in bodies if body is not None}
        if in_git != wanted:
            differing = len(in_git.items() ^ wanted.items())
            sys.exit(f"{contender.name}: {differing} files differ from the bucket")

    def _git(self, directory: Path, *arguments: str) -> bytes:
        command = ["git", "-C", str(directory / "check.git"), *arguments]
        environment = self.site.git_environment(directory)
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout

    def keys(self) -> list[str]:
        """Return all keys below the prefix of the bench."""
        return [entry["path"] for batch in obstore.list(self.store, PREFIX) for entry in batch]

    def empty(self) -> None:
        """Delete all objects of the bench."""
        obstore.delete(self.store, self.keys())

    def branches(self) -> list[str]:
        """Return the branches of the bench that exist in the repository."""
        listed = self._git(self.root, "ls-remote", self.site.repository, "refs/heads/git-sync-bench/*")
        return [line.split("\t")[1] for line in listed.decode().splitlines()]

    def remove_branches(self) -> None:
        """Delete the branches of the bench."""
        for branch in self.branches():
            self._git(self.root, "push", "--quiet", "--delete", self.site.repository, branch)


def main() -> None:
    """Run the bench and print the results."""
    size, rounds = int(os.environ.get("SIZE", "10000")), int(os.environ.get("ROUNDS", "5"))
    runs = int(os.environ.get("RUNS", "10"))
    output = Path(os.environ.get("OUTPUT", "build/bench"))
    every = (*CONTENDERS, STRIP)
    chosen = _chosen("CONTENDERS", [one.name for one in every], [one.name for one in CONTENDERS])
    contenders = [contender for contender in every if contender.name in chosen]
    cases = _chosen("CASES", list(CASES), list(CASES))
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
                report["history"] = measure_growth(bench, rounds + 1, runs)
        except KeyboardInterrupt:
            print("Stopped; the report contains the finished measurements", file=sys.stderr)
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
    """Return the contenders of a case; the floor is measured only for runs without changes."""
    return [c for c in contenders if c is not FLOOR or case.startswith("no change")]


def _chosen(name: str, known: list[str], default: list[str]) -> list[str]:
    wanted = [word.strip() for word in os.environ.get(name, "").split(",") if word.strip()] or default
    if unknown := set(wanted) - set(known):
        sys.exit(f"{name}: {', '.join(unknown)} unknown; choose from {', '.join(known)}")
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
        git(own_repository, "config", "receive.unpackLimit", "1")  # as Git hosts do: each push stays a pack
        git(own_repository, "config", "receive.autogc", "false")
        settings["GIT_REPOSITORY"] = f"file://{own_repository}"
    site = Site(settings)
    print(f"Creating {size} objects", file=sys.stderr, flush=True)
    bench = Bench(site, site.store(), Dataset(size), root, own_bucket, own_repository)
    bare_repository(root / "check.git")
    # Existing objects are not of the bench, and would be deleted at the end.
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
    """Run all cases once; each contender has a separate branch and directory."""
    # Each round starts with another contender.
    turn = number % len(contenders)
    order = contenders[turn:] + contenders[:turn]
    removed: dict[str, bytes] = {}
    for case in CASES:
        if case not in results and case != "first run":
            continue
        if case.endswith("modified"):
            time.sleep(1.1)  # some clients compare only whole seconds
            bench.put(bench.data.modify(float(case.split()[0]) / 100))
        elif case == "cluster removed":
            for key in sorted(bench.data.of(CLUSTERS[-1]), key=str.encode):
                removed[key] = bench.data.bodies.pop(key)
            bench.delete(removed)
        for contender in _timed(order, case):
            measurement = bench.run(contender, number, removed)
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


def measure_growth(bench: Bench, number: int, runs: int) -> dict[str, Any]:
    """Measure the growth of the repository over many runs with 1 % changes, as pushed and after a repack."""
    (ours,) = (contender for contender in CONTENDERS if contender.name == "git-sync")
    branch = f"git-sync-bench/{ours.name}-{number}"
    bench.run(ours, number, {})
    before = bench.packed_bytes(branch)
    changed, grown = 0, []
    for _ in range(runs):
        objects = bench.data.modify(0.01)
        bench.put(objects)
        changed += len(objects)
        grown.append(bench.run(ours, number, {})["grown_bytes"])
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
