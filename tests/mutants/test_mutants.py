"""Each seeded bug matches the code, and its test exists; `make mutants` runs the tests."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutants import page
from tests.mutants.seeded import MUTANTS

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]


@cache
def unparsed(file: str) -> str:
    return ast.unparse(ast.parse((ROOT / file).read_text())) + "\n"


def test_seeded_bug_has_a_unique_name_and_changes_its_file() -> None:
    for mutant in MUTANTS:
        mutated = mutant.mutated(ROOT)
        compile(mutated, mutant.file, "exec")
        assert mutated != unparsed(mutant.file), mutant.name
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_seeded_bug_names_an_existing_test(request: pytest.FixtureRequest) -> None:
    found = {item.nodeid for item in request.session.items}
    found |= {name.partition("[")[0] for name in found}
    if not (tests := sorted({mutant.test for mutant in MUTANTS} - found)):
        return
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
