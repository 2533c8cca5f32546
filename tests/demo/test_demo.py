"""`make demo` is the README's promise, so it is a test as well."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.demo import dataset

EXPECTED_COMMIT = """
Clusters processed: 3
- production-east: 245 files
- production-west: 189 files
- staging: 67 files

Total files: 501
Changes: 23 new, 15 modified, 2 deleted

Git-Sync-Run: """


def test_the_demo_tells_its_story_to_the_end() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo"],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(
        r"Automated backup sync - \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n" + re.escape(EXPECTED_COMMIT),
        done.stdout,
    )
    assert re.findall(r"^\(exit (\d+)\)", done.stdout, re.MULTILINE) == ["0", "0", "0", "20", "0"]
    assert "0 new, 0 modified, 0 deleted in 3 clusters" in done.stdout


def test_the_data_set_is_what_the_commit_says() -> None:
    before, after = dataset.before(), dataset.after()
    assert [
        sum(key.startswith(f"clusterbackup/{cluster}/") for key in after)
        for cluster in ("production-east", "production-west", "staging")
    ] == [245, 189, 67]
    assert len(after.keys() - before.keys()) == 23
    assert len(before.keys() - after.keys()) == 2
    assert sum(before[key] != after[key] for key in before.keys() & after.keys()) == 15
