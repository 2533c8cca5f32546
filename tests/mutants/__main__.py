"""Seed each bug into a copy of the project and check that its test fails; `make mutants` calls it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from tests.mutants import page
from tests.mutants.seeded import MUTANTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.mutants.seeded import Mutant

_ROOT = Path(__file__).parents[2]
_LONGEST_SECONDS = 600


@click.command()
@click.option("--only", default="", help="Only the bugs whose names contain this.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Number of parallel jobs.")
@click.option("--write", is_flag=True, help="Only write the table in docs/reliability.md.")
def main(only: str, jobs: int, write: bool) -> None:
    """Exit 1 unless each bug is caught by its test, which must pass without the bug."""
    if write:
        page.write()
        return
    mutants = [mutant for mutant in MUTANTS if only in mutant.name]
    if not mutants:
        raise click.UsageError(f"no bug has a name that contains {only!r}")
    for mutant in mutants:
        mutant.mutated(_ROOT)  # fails here if one matches nothing
    tests = sorted({mutant.test for mutant in mutants})
    began = time.monotonic()
    with TemporaryDirectory(prefix="mutants-") as scratch:
        intact = Path(scratch, "intact", "project")
        shutil.copytree(_ROOT, intact, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        click.echo(f"Running the {len(tests)} tests without a bug:")
        status, output = _pytest(intact, [*tests, "-n", str(jobs)])
        click.echo(output.strip().rpartition("\n")[2])
        if status != 0:
            click.echo(output)
            sys.exit(1)
        with ThreadPoolExecutor(jobs) as pool:
            missed = sum(pool.map(lambda mutant: not _is_caught(mutant, intact), mutants))
    click.echo(f"{len(mutants)} bugs, {missed} not caught, {time.monotonic() - began:.0f} seconds")
    sys.exit(1 if missed else 0)


def _is_caught(mutant: Mutant, intact: Path) -> bool:
    """Return whether the test fails. If it cannot start, the bug counts as not caught."""
    began = time.monotonic()
    with TemporaryDirectory(dir=intact.parents[1]) as scratch:
        # The copy includes compiled modules: Python ignores the one of the changed file, which is newer.
        copy = shutil.copytree(intact, Path(scratch, "project"))
        (copy / mutant.file).write_text(mutant.mutated(intact))
        status, output = _pytest(copy, [mutant.test, "-x", "-n", "0"])
    failed = re.search(r"^FAILED ", output, re.MULTILINE)
    verdict = "caught" if status == 1 and failed else "SURVIVED" if status == 0 else "BROKEN"
    click.echo(f"{verdict:8}  {time.monotonic() - began:4.0f} s  {mutant.name}  ({mutant.test})")
    if verdict == "BROKEN":
        click.echo(output)
    return verdict == "caught"


def _pytest(root: Path, arguments: Sequence[str]) -> tuple[int, str]:
    """Run pytest in a copy of the project; return its exit status and its output."""
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            f"--basetemp={root.parent}/tmp",
            *arguments,
        ],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=_LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            output = f"The test took more than {_LONGEST_SECONDS} seconds."
        # With a bug, processes that the test started may not end.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, output


if __name__ == "__main__":
    main()
