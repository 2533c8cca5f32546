"""`make bench` uses the configured site, removes its data, and checks every contender."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from tests.bench import tables
from tests.bench.__main__ import Bench, measure_growth
from tests.bench.contenders import PREFIX, Contender, Invocation, Site
from tests.bench.dataset import Dataset
from tests.bench.phases import FUNCTIONS, HASH, LINES, NAMES, WRITE
from tests.bench.plot import comparison, growth
from tests.support.repositories import bare_repository, commit_files, git

if TYPE_CHECKING:
    from tests.support.bucket import Bucket

CASES = ["first run", "10 % modified", "cluster removed"]


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
        cwd=Path(__file__).parents[2],
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


def test_bench_measures_a_configured_site_and_removes_its_data(
    bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    bucket.put("other/object.yaml", b"stays")
    done = bench(bucket, repository, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "bench-90.json").read_text())
    assert list(report["results"]) == CASES
    for by_name in report["results"].values():
        (run,) = by_name["git-sync"]
        assert run["cpu_seconds"] > 0
        assert run["grown_bytes"] is None, "the growth of a remote repository is unknown"
    assert report["phases"].keys() == set(CASES)
    for seconds in report["phases"].values():
        assert seconds["start"] > 0 < seconds["push"]
    assert "| cluster removed | git-sync |" in done.stdout
    for name in ("bench-90.svg", "growth.svg"):
        ElementTree.parse(tmp_path / "out" / name)
    assert sorted(bucket.keys()) == ["other/object.yaml"]
    assert git(repository, "for-each-ref", "--format=%(refname)").decode().split() == ["refs/heads/main"]


def test_bench_refuses_existing_data_and_does_not_remove_it(
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


def test_bench_measures_the_growth_of_a_local_repository(
    bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    git(repository, "config", "receive.unpackLimit", "1")
    site = Site(settings(bucket, repository))
    measuring = Bench(site, site.store(), Dataset(300), tmp_path, None, repository)
    bare_repository(tmp_path / "check.git")
    measuring.put(measuring.data.bodies)
    history = measure_growth(measuring, 0, 2)
    assert history["changed"] == 6
    first, second = history["grown_bytes"]
    assert first > 1000 < second
    assert 0 < history["packed_bytes"] < first + second
    report = {"size": 300, "results": {}, "history": history}
    assert any(line.startswith("| 300 | 2 |") for line in tables.histories([report]))


def test_functions_of_the_profiler_exist() -> None:
    """Otherwise the time of a renamed function would count as another phase."""
    steps = Path(__file__).parents[2] / "steps"
    for file, function in (*FUNCTIONS, LINES):
        defined = {
            node.name
            for node in ast.walk(ast.parse((steps / file).read_text()))
            if isinstance(node, ast.FunctionDef)
        }
        assert function in defined, f"{file} has no {function}"
    fetching = (steps / LINES[0]).read_text().split(f"def {LINES[1]}(", 1)[1].split("\n    def ", 1)[0]
    assert HASH.search(fetching)
    assert WRITE.search(fetching)
    assert set(FUNCTIONS.values()) <= {*NAMES, ""}


def test_tables_show_medians_and_empty_cells_for_unknown_values() -> None:
    def runs(*seconds: float) -> list[dict[str, float | None]]:
        return [
            {"seconds": s, "cpu_seconds": s, "peak_bytes": 2**20, "grown_bytes": None, "pushed_bytes": 500}
            for s in seconds
        ]

    report = {
        "size": 100,
        "bytes": 1_000_000,
        "rounds": 3,
        "machine": {"load": "0.1 to 0.2"},
        "results": {"10 % modified": {"git-sync": runs(1, 9, 2), "s5cmd": runs(4, 4, 5)}},
    }
    assert list(tables.compared(report))[4:] == [
        "| 10 % modified | git-sync | 2.00 (1.00 to 9.00) |  | 2.00 | 1 |  |",
        "| 10 % modified | s5cmd | 4.00 (4.00 to 5.00) | 0.50× | 4.00 | 1 |  |",
    ]
    assert list(tables.grown([report]))[2:] == ["| 10 % modified | 100 | 20.000 | 20.000 | 1 |  | 50 |"]
    assert "s5cmd 0.50×" in comparison(report)
    assert "100" in growth([report, {**report, "size": 1000}])


def test_bench_fails_for_a_contender_with_a_wrong_result(
    bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    def nothing(_site: Site, _directory: Path, branch: str, _approvals: list[str]) -> Invocation:
        return Invocation(
            ["git", "-C", str(repository), "branch", branch, "main"], {"PATH": os.environ["PATH"]}
        )

    site = Site(settings(bucket, repository))
    measuring = Bench(site, site.store(), Dataset(30), tmp_path, None, repository)
    with pytest.raises(SystemExit, match="idle: 31 files differ from the bucket"):
        measuring.run(Contender("idle", nothing), 0, {})
