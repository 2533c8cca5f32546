"""Each seeded bug matches the code, and its test exists; `make mutants` runs the tests."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from tests.mutants import page
from tests.mutants.seeded import MUTANTS

ROOT = Path(__file__).parents[2]


def test_seeded_bug_has_a_unique_name_and_changes_its_file() -> None:
    for mutant in MUTANTS:
        mutated = mutant.mutated(ROOT)
        compile(mutated, mutant.file, "exec")
        assert mutated != ast.unparse(ast.parse((ROOT / mutant.file).read_text())) + "\n", mutant.name
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_seeded_bug_names_an_existing_test() -> None:
    tests = sorted({mutant.test for mutant in MUTANTS})
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert collected.returncode == 0, collected.stdout + collected.stderr


def test_reliability_page_lists_the_seeded_bugs() -> None:
    assert page.current() == page.table(), "make mutants ARGS=--write"
