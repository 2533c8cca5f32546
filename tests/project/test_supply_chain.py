"""Dependencies are pinned by hash, declared and licensed; ignored security rules have a reason."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import metadata, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {path.stem: path.read_text() for path in sorted((ROOT / "requirements").glob("*.txt"))}

# Not imported, but zoneinfo reads it.
NOT_IMPORTED = {"tzdata"}

# Licences that allow distribution in one image.
LICENCES = {
    *("MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "MPL-2.0", "PSF-2.0", "Unlicense"),
    *("MIT License", "BSD License", "Mozilla Public License 2.0 (MPL 2.0)", "Apache Software License"),
}


def canonical(requirement: str) -> str:
    """Return the normalised name in a requirement."""
    name = re.match(r"[\w.-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def entries(lock: str) -> list[str]:
    """Return the lines of a lock without comments; continued lines are joined."""
    joined = re.sub(r"^\s*#.*\n", "", lock, flags=re.MULTILINE).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip()]


def pins(lock: str) -> set[str]:
    """Return name==version of each entry."""
    return {entry.split(" ")[0] for entry in entries(lock)}


@pytest.mark.parametrize("name", LOCKS)
def test_pin_has_one_version_and_hashes_and_no_index(name: str) -> None:
    for entry in entries(LOCKS[name]):
        pin, *hashes = re.split(r"\s+--hash=", entry.strip())
        assert re.fullmatch(r"[a-z0-9.-]+==[\w.]+( ; [^@]+)?", pin), pin
        assert hashes, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", text) for text in hashes), pin
    assert "://" not in LOCKS[name], "a lock must not name a package index"


def test_shipped_packages_have_the_tested_versions() -> None:
    assert pins(LOCKS["runtime"]) < pins(LOCKS["dev"])
    assert pins(LOCKS["build"]) < pins(LOCKS["dev"])


def test_locks_contain_the_dependencies_of_pyproject() -> None:
    declared = {*CONFIG["project"]["dependencies"], *CONFIG["project"]["optional-dependencies"]["workflows"]}
    for group, lock in (("build", "build"), ("bench", "bench"), ("audit", "audit"), ("dev", "dev")):
        wanted = [entry for entry in CONFIG["dependency-groups"][group] if isinstance(entry, str)]
        assert set(map(canonical, wanted)) <= set(map(canonical, pins(LOCKS[lock]))), lock
    assert set(map(canonical, declared)) <= set(map(canonical, pins(LOCKS["dev"])))


@pytest.mark.parametrize(
    ("package", "declared"),
    [
        ("steps", CONFIG["project"]["dependencies"]),
        (
            "workflows",
            CONFIG["project"]["dependencies"] + CONFIG["project"]["optional-dependencies"]["workflows"],
        ),
    ],
)
def test_imported_packages_are_declared(package: str, declared: list[str]) -> None:
    providers = packages_distributions()
    imported = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module)
    modules = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - {"steps", "workflows"}
    needed = {canonical(name) for module in modules for name in providers[module]}
    names = set(map(canonical, declared)) - NOT_IMPORTED
    assert needed <= names, "imported and not declared"
    if package == "steps":
        assert needed == names, "declared and not imported"


@pytest.mark.parametrize("pin", sorted(pins(LOCKS["runtime"])))
def test_shipped_package_has_an_accepted_licence(pin: str) -> None:
    known = metadata(canonical(pin))
    classified = [
        text.rpartition(" :: ")[2] for text in known.get_all("Classifier", []) if "License ::" in text
    ]
    stated = (
        [known["License-Expression"]] if known["License-Expression"] else classified or [known["License"]]
    )
    assert {licence for text in stated for licence in re.split(r" AND | OR ", text)} <= LICENCES, pin


# -- the code of this project -------------------------------------------------------------------------------


def test_security_rules_apply_to_all_shipped_code() -> None:
    lint = CONFIG["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert not [rule for rule in lint["ignore"] if re.fullmatch(r"S\d*", rule)]
    exempt = {
        path
        for path, rules in lint["per-file-ignores"].items()
        if [r for r in rules if re.fullmatch(r"S\d*", r)]
    }
    assert exempt == {"tests/**"}


@pytest.mark.parametrize("folder", ["steps", "workflows", "examples"])
def test_ignored_security_rule_has_a_reason(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"#\s*(noqa|type: ignore)", line) and re.search(r"noqa: .*\bS\d", line):
                assert re.search(r"noqa: [A-Z0-9, ]+ - \S", line), f"{path}:{number}"
            assert not re.search(r"#\s*(ruff|flake8): noqa|#\s*noqa(?!:)", line), f"{path}:{number}"


def test_audit_fails_without_access_to_the_advisories() -> None:
    """Without --strict, pip-audit accepts packages that it cannot look up."""
    (recipe,) = re.findall(r"^audit:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert "pip-audit --strict --require-hashes" in recipe
    assert "requirements/*.txt" in recipe
    assert "exit 1" in recipe
