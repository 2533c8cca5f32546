"""The layout of the code: short functions, small modules, few packages, and a test file per module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("steps", "workflows")
# `__init__` and `__main__` need no test file; the tests of the command line run them.
MODULES = [
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if not path.stem.startswith("__")
]
FUNCTION_LINES = 60
MODULE_BYTES = 20_000
STEP_FILES = 13
TOP_LEVEL = 20

# Functions that may be longer, as path::name, and the reason.
LONG_FUNCTIONS: dict[str, str] = {}

# Modules without a separate test file, and the reason.
UNTESTED_BY_NAME = {
    "steps/core/operations.py": "only names; tests/project/test_docs.py compares them with docs/logs.md",
}


def function_lines(path: Path) -> dict[str, int]:
    """Return the number of lines of each function in a file, from `def` to the end."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            found[node.name] = max(lines, found.get(node.name, 0))
    return found


@pytest.mark.parametrize("folder", [*PACKAGES, "tests", "images", "examples"])
def test_functions_are_short(folder: str) -> None:
    """Their complexity is limited by ruff (C901)."""
    long = {
        f"{path.relative_to(ROOT)}::{name}": lines
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name, lines in function_lines(path).items()
        if lines > FUNCTION_LINES
    }
    assert long.keys() == {name for name in LONG_FUNCTIONS if name.startswith(f"{folder}/")}, long


def test_modules_are_small() -> None:
    sizes = {str(module): (ROOT / module).stat().st_size for module in MODULES}
    assert not {name: size for name, size in sizes.items() if size > MODULE_BYTES}


def test_steps_has_few_files_at_its_top() -> None:
    """The files at the top are the steps, the command line, contracts and errors."""
    files = {path.name for path in (ROOT / "steps").glob("*.py")}
    assert len(files) <= STEP_FILES, files


def test_top_level_packages_are_few() -> None:
    """Count the modules and packages directly below steps/, and workflows/ as one.

    `__init__` and `__main__` do not count.
    """
    below = {
        path.stem
        for path in (ROOT / "steps").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    names = {name for name in below if not name.startswith("__")} | {"workflows"}
    assert len(names) <= TOP_LEVEL, names


def test_each_module_has_a_test_file_by_its_name() -> None:
    """The tests of steps/a/b.py are in tests/a/test_b.py; workflows/c.py has tests/workflows/test_c.py."""
    without = {
        module.as_posix()
        for module in MODULES
        if not (ROOT / "tests" / _below(module).with_name(f"test_{module.name}")).is_file()
    }
    assert without == UNTESTED_BY_NAME.keys()


def _below(module: Path) -> Path:
    return module.relative_to("steps") if module.parts[0] == "steps" else module


def test_exceptions_have_a_reason() -> None:
    assert all({**LONG_FUNCTIONS, **UNTESTED_BY_NAME}.values())
