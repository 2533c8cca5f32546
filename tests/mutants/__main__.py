"""Seed each bug into a copy of the project, and see its test fail; `make mutants` calls it."""

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
@click.option("--only", default="", help="Only the bugs with this in their names.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="How many at a time.")
@click.option("--write", is_flag=True, help="Write the table into docs/reliability.md, and do nothing else.")
def main(only: str, jobs: int, write: bool) -> None:
    """Exit 1 unless every bug is caught, by its own test, which passes where there is no bug."""
    if write:
        page.write()
        return
    mutants = [mutant for mutant in MUTANTS if only in mutant.name]
    if not mutants:
        raise click.UsageError(f"no bug has {only!r} in its name")
    for mutant in mutants:
        mutant.mutated(_ROOT)  # one that does not fit is told at once
    tests = sorted({mutant.test for mutant in mutants})
    began = time.monotonic()
    with TemporaryDirectory(prefix="mutants-") as scratch:
        intact = Path(scratch, "intact", "project")
        shutil.copytree(_ROOT, intact, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        click.echo(f"The {len(tests)} tests, without a bug:")
        status, said = _pytest(intact, [*tests, "-n", str(jobs)])
        click.echo(said.strip().rpartition("\n")[2])
        if status != 0:
            click.echo(said)
            sys.exit(1)
        with ThreadPoolExecutor(jobs) as pool:
            missed = sum(pool.map(lambda mutant: not _is_caught(mutant, intact), mutants))
    click.echo(f"{len(mutants)} bugs, {missed} not caught, {time.monotonic() - began:.0f} seconds")
    sys.exit(1 if missed else 0)


def _is_caught(mutant: Mutant, intact: Path) -> bool:
    """Whether the test fails: one that cannot even begin (a bug that is no Python, say) says nothing."""
    began = time.monotonic()
    with TemporaryDirectory(dir=intact.parents[1]) as scratch:
        # Compiled modules come along: what was compiled from the file as it was is older than the bug.
        copy = shutil.copytree(intact, Path(scratch, "project"))
        (copy / mutant.file).write_text(mutant.mutated(intact))
        status, said = _pytest(copy, [mutant.test, "-x", "-n", "0"])
    failed = re.search(r"^FAILED ", said, re.MULTILINE)
    verdict = "caught" if status == 1 and failed else "SURVIVED" if status == 0 else "BROKEN"
    click.echo(f"{verdict:8}  {time.monotonic() - began:4.0f} s  {mutant.name}  ({mutant.test})")
    if verdict == "BROKEN":
        click.echo(said)
    return verdict == "caught"


def _pytest(root: Path, arguments: Sequence[str]) -> tuple[int, str]:
    """Run pytest in a copy of the project; return its exit status and what it said."""
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
            said, _ = process.communicate(timeout=_LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            said = f"It took over {_LONGEST_SECONDS} seconds."
        # A bug may keep what the test has started from ending.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


if __name__ == "__main__":
    main()
