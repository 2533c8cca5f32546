"""apply.sh is portable."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from steps.kubernetes.restoration.script import SCRIPT
from steps.kubernetes.restoration.stages import STAGES

if TYPE_CHECKING:
    from pathlib import Path

# Prints its arguments; fails for arguments that contain the name of the file "fail".
KUBECTL = """#!/bin/sh
echo "$*"
[ ! -f fail ] || case "$*" in *"$(cat fail)"*) exit 1;; esac
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "apply.sh").write_text(SCRIPT)
    (tmp_path / "kubectl").write_text(KUBECTL)
    for path in (tmp_path / "apply.sh", tmp_path / "kubectl"):
        path.chmod(0o755)
    return tmp_path


def apply(directory: Path, *arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [directory / "apply.sh", *arguments],
        env={"PATH": f"{directory}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def test_script_is_posix_shell(directory: Path) -> None:
    subprocess.run(["sh", "-n", directory / "apply.sh"], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", directory / "apply.sh"], check=True)


def test_script_applies_the_cluster_first_then_each_namespace_in_the_order_of_the_stages(
    directory: Path,
) -> None:
    for path in (
        "09-webhooks/_cluster",
        "03-access/0ne",
        "03-access/_cluster",
        "03-access/_1",
        "00-crds/_cluster",
    ):
        (directory / path).mkdir(parents=True)
    (directory / STAGES[1]).mkdir()
    apply_ = "apply --server-side --recursive --filename"
    assert apply(directory, "--dry-run=server") == (
        0,
        [
            f"{apply_} 00-crds/_cluster --dry-run=server",
            "wait --for=condition=Established --timeout=60s --recursive --filename 00-crds",
            f"{apply_} 03-access/_cluster --dry-run=server",
            f"{apply_} 03-access/0ne --dry-run=server",
            f"{apply_} 03-access/_1 --dry-run=server",
            f"{apply_} 09-webhooks/_cluster --dry-run=server",
        ],
    )


def test_script_continues_after_a_failure_and_exits_1(directory: Path) -> None:
    for path in ("03-access/a", "03-access/b", "04-config/a"):
        (directory / path).mkdir(parents=True)
    (directory / "fail").write_text("03-access/a")
    code, lines = apply(directory)
    assert (code, len(lines)) == (1, 3)


def test_script_runs_another_kubectl(directory: Path) -> None:
    (directory / "04-config/a").mkdir(parents=True)
    done = subprocess.run(
        [directory / "apply.sh"],
        env={"PATH": "/usr/bin:/bin", "KUBECTL": f"{directory}/kubectl --context east"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "--context east apply --server-side --recursive --filename 04-config/a\n"
