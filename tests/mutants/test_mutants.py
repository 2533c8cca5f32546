"""The seeded bugs fit the code, and their tests are there; that these catch them is for `make mutants`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.mutants import page
from tests.mutants.seeded import MUTANTS

ROOT = Path(__file__).parents[2]


def test_each_bug_has_a_name_of_its_own_and_one_place_where_it_fits() -> None:
    for mutant in MUTANTS:
        compile(mutant.mutated(ROOT), mutant.file, "exec")
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_the_tests_that_catch_them_exist() -> None:
    tests = sorted({mutant.test for mutant in MUTANTS})
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_page_lists_them() -> None:
    assert page.shown() == page.table(), "make mutants ARGS=--write"
