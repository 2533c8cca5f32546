"""`make bench` runs where it is told to, leaves nothing there, and believes no contender."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bench.__main__ import Bench
from tests.bench.contenders import PREFIX, Contender, Invocation, Site
from tests.bench.dataset import Dataset
from tests.support.bucket import Bucket, new_bucket
from tests.support.repositories import bare_repository, commit_files, git
from tests.support.s3 import S3Server, moto_server

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = ["first run", "10 % modified", "cluster removed"]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with moto_server() as running:
        yield running


@pytest.fixture
def bucket(server: S3Server) -> Bucket:
    return new_bucket(server)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = bare_repository(tmp_path / "repository.git")
    commit_files(path, {"README.md": b"not of the bench\n"})
    return path


def settings(bucket: Bucket, repository: Path) -> dict[str, str]:
    return {
        "MINIO_ENDPOINT": bucket.server.endpoint,
        "MINIO_ACCESS_KEY": bucket.server.access_key,
        "MINIO_SECRET_KEY": bucket.server.secret_key,
        "MINIO_BUCKET": bucket.name,
        "MINIO_USE_SSL": "false",
        "GIT_REPOSITORY": f"file://{repository}",
    }


def bench(bucket: Bucket, repository: Path, output: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.bench"],
        cwd=Path(__file__).parents[1],
        env={
            "PATH": os.environ["PATH"],
            **settings(bucket, repository),
            "SIZE": "90",
            "ROUNDS": "1",
            "CONTENDERS": "git-sync",
            "CASES": ",".join(CASES),
            "OUTPUT": str(output),
            "TMPDIR": str(output.parent),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_bench_measures_a_foreign_site_and_leaves_it_as_it_was(
    bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    bucket.put("somebody/else.yaml", b"stays")
    done = bench(bucket, repository, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "bench-90.json").read_text())
    assert list(report["results"]) == CASES
    for by_name in report["results"].values():
        (run,) = by_name["git-sync"]
        assert run["cpu_seconds"] > 0
        assert 0 < sum(run["step_seconds"].values()) < run["seconds"]
    assert "| cluster removed | git-sync |" in done.stdout
    assert sorted(bucket.keys()) == ["somebody/else.yaml"]
    assert git(repository, "for-each-ref", "--format=%(refname)").decode().split() == ["refs/heads/main"]


def test_what_is_there_already_is_neither_used_nor_removed(
    bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    git(repository, "branch", "git-sync-bench/mine", "main")
    done = bench(bucket, repository, tmp_path / "out")
    assert (done.returncode, "git-sync-bench/mine" in done.stderr) == (1, True)
    assert b"git-sync-bench/mine" in git(repository, "branch", "--list", "git-sync-bench/*")
    bucket.put(f"{PREFIX}mine", b"precious")
    done = bench(bucket, repository, tmp_path / "out")
    assert (done.returncode, "is not empty" in done.stderr) == (1, True)
    assert bucket.keys() == [f"{PREFIX}mine"]


def test_who_leaves_anything_else_in_git_than_the_bucket_holds_is_disqualified(
    bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    def nothing(_site: Site, _directory: Path, branch: str, _leaves: list[str]) -> Invocation:
        return Invocation(
            ["git", "-C", str(repository), "branch", branch, "main"], {"PATH": os.environ["PATH"]}
        )

    site = Site(settings(bucket, repository))
    measuring = Bench(site, site.store(), Dataset(30), tmp_path, None, repository)
    with pytest.raises(SystemExit, match="idle: 31 files are not what the bucket holds"):
        measuring.run(Contender("idle", nothing), 0, [])
