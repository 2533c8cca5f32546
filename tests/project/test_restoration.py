"""docs/restore.md: its tables, the schema, and the drill, step by step."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from tests.demo import dataset
from tests.project import restoration
from tests.support.backups import Backups

if TYPE_CHECKING:
    from typing import Any

# Prints what it was called with.
KUBECTL = '#!/bin/sh\necho "kubectl $*"\n'


def test_tables_equal_the_code() -> None:
    assert restoration.PAGE.read_text() == restoration.page(), (
        "run python -m tests.project.restoration --write"
    )
    assert all(table in restoration.page() for table in restoration.tables().values())


def test_schema_equals_the_code() -> None:
    assert restoration.SCHEMA.read_text() == restoration.schema(), (
        "run python -m tests.project.restoration --write"
    )


@pytest.fixture
def drill(tmp_path: Path) -> dict[str, str]:
    """The environment of the drill: the demo's backups, git-sync, and a kubectl that prints its arguments."""
    backups = Backups.at(tmp_path / "backups.git")
    files: dict[str, Any] = {
        key.removeprefix("clusterbackup/"): body for key, body in dataset.before().items()
    }
    backups.sync("2025-07-12T22:00:00Z", files, listed=dataset.CLUSTERS)
    programs = tmp_path / "bin"
    programs.mkdir()
    root = Path(__file__).parents[2]
    git_sync = f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m steps "$@"\n'
    for name, content in (("kubectl", KUBECTL), ("git-sync", git_sync)):
        (programs / name).write_text(content)
        (programs / name).chmod(0o755)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "LOG_FORMAT": "text",
        "REPOSITORY": str(backups.directory),
    }


def run(steps: str, environment: dict[str, str], directory: Path) -> str:
    script = re.sub(r"https://git\.example\.com/\S+", f"file://{environment['REPOSITORY']}", steps)
    done = subprocess.run(
        ["bash", "-eu", "-c", script],
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_drill_restores_a_namespace(drill: dict[str, str], tmp_path: Path) -> None:
    text = restoration.PAGE.read_text().split("## Drill", 1)[1].split("\n## ", 1)[0]
    blocks = [
        re.sub("(?m)^   ", "", block) for block in re.findall(r"   ```bash\n(.*?)   ```", text, re.DOTALL)
    ]
    assert len(blocks) == 5
    printed = run("\n".join(blocks), drill, tmp_path)
    assert "production-east as listed 2025-07-12T22:00:00Z" in printed
    assert "nothing is written" in printed
    assert "next: read restored/MANIFEST.json, then run restored/apply.sh" in printed
    apply = "kubectl --context production-east apply --server-side --recursive --filename"
    checked = re.findall(rf"{apply} (\S+) --dry-run=server$", printed, re.MULTILINE)
    applied = re.findall(rf"{apply} (\S+)$", printed, re.MULTILINE)
    assert checked == applied
    assert applied == sorted(applied)
    assert "03-access/payments" in applied
    assert (
        "kubectl --context production-east diff --server-side --recursive --filename restored/03-access"
        in printed
    )
    schema = json.loads(restoration.schema())
    jsonschema.validate(json.loads((tmp_path / "restored/MANIFEST.json").read_text()), schema)


def test_documented_copy_works(drill: dict[str, str], tmp_path: Path) -> None:
    text = restoration.PAGE.read_text().split("## A copy beside the original", 1)[1]
    (block, *_) = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    printed = run(f"export GIT_REPOSITORY=file://{drill['REPOSITORY']}\n{block}", drill, tmp_path)
    assert "--filename 07-workloads/payments-copy" in printed
    assert (tmp_path / "copy/01-namespaces/_cluster/namespace-payments-copy.yaml").is_file()
