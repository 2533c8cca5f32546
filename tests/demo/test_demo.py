"""`make demo` does what the README describes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.demo import dataset
from tests.support.repositories import log

EXPECTED_COMMIT = """
Clusters processed: 3
- production-east: 245 files
- production-west: 189 files
- staging: 67 files

Total files: 501
Changes: 23 new, 15 modified, 2 deleted

Git-Sync-Run: """


def test_demo_shows_its_runs_and_keeps_its_files() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.demo", "--keep"],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        output = ""
        while "until Ctrl-C" not in output and (line := demo.stdout.readline()):
            output += line
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, output + rest
    assert re.search(
        r"Automated backup sync - \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n" + re.escape(EXPECTED_COMMIT),
        output,
    )
    assert re.findall(r"^\(exit (\d+)\)", output, re.MULTILINE) == ["0", "0", "0", "20", "0"]
    assert "0 new, 0 modified, 0 deleted in 3 clusters" in output
    kept = dict(re.findall(r"^(Report|Repository|Settings): +(\S+)$", output, re.MULTILINE))
    assert "git-sync run report" in Path(kept["Report"]).read_text()
    assert len(log(Path(kept["Repository"]))) == 3
    assert "export MINIO_BUCKET=" in Path(kept["Settings"]).read_text()
    shutil.rmtree(Path(kept["Settings"]).parent)


def test_dataset_matches_the_documented_commit() -> None:
    before, after = dataset.before(), dataset.after()
    assert [
        sum(key.startswith(f"clusterbackup/{cluster}/") for key in after)
        for cluster in ("production-east", "production-west", "staging")
    ] == [245, 189, 67]
    assert len(after.keys() - before.keys()) == 23
    assert len(before.keys() - after.keys()) == 2
    assert sum(before[key] != after[key] for key in before.keys() & after.keys()) == 15
