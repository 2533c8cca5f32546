"""No command that reads the history shows the value of a Secret, in any shape that Git can have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.backups import Backups
from tests.support.program import git_sync
from tests.support.secret_shapes import CANARY, PROBES, SHAPES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.program import Finished

RULES = "- kinds: [Database]\n  secret: [spec.password, spec.replicas]\n"
DATABASE = f"kind: Database\nmetadata: {{name: %s}}\nspec: {{password: {CANARY}, replicas: %s}}\n"

# An image, a permission and a number of replicas are texts that history quotes.
QUOTED = f"""\
{{kind: Secret, apiVersion: example.com/v1,
 metadata: {{name: a, annotations: {{iam.amazonaws.com/role: "{CANARY}"}}}},
 spec: {{replicas: "{CANARY}", template: {{spec: {{containers: [{{name: main, image: "{CANARY}"}}]}}}}}}}}
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return file


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    """Every shape: created, with another name of a value, deleted."""
    found = Backups.at(tmp_path / "backups.git")
    first = {"a/x/first.yaml": b"kind: ConfigMap\nmetadata: {name: first}\n"}
    files = {
        f"a/{number}/{shape.path.partition('/')[2]}": shape.content
        for number, shape in enumerate(SHAPES.values())
    }
    files["a/x/database.yaml"] = (DATABASE % ("a", CANARY)).encode()
    files["a/x/quoted.yaml"] = QUOTED.encode()
    found.sync("2025-07-10T22:00:00Z", first)
    found.sync("2025-07-11T22:00:00Z", files)
    changed = {
        path: content.replace(b"password", b"passw0rd").replace(b"replicas", b"replica")
        for path, content in files.items()
    }
    changed["a/x/database.yaml"] = (DATABASE % ("a", "2")).encode()
    found.sync("2025-07-12T22:00:00Z", changed)
    found.sync("2025-07-13T22:00:00Z", dict.fromkeys(files))
    return found


def check(done: Finished, *expected: str) -> None:
    assert done.returncode in {0, 10}, done.stderr
    shown = done.stdout.encode() + done.stderr.encode()
    assert not [probe for probe in PROBES if probe in shown]
    assert [text for text in expected if text not in done.stdout] == []


@pytest.mark.parametrize("how", ["text", "markdown", "html", "json"])
def test_diff_shows_no_value_of_any_shape(how: str, backups: Backups, rules: Path) -> None:
    for day in ("2025-07-11", "2025-07-12", "2025-07-13"):
        times = ("--from", day, "--to", day)
        done = git_sync(
            "diff", "--repo", str(backups.directory), *times, "--format", how, RULES_FILE=str(rules)
        )
        check(done, "Database", "(hidden")


@pytest.mark.parametrize("how", ["text", "markdown", "html", "json"])
@pytest.mark.parametrize("pattern", [(), ("a/*",)])
def test_history_shows_no_value_of_any_shape(
    how: str, pattern: tuple[str, ...], backups: Backups, rules: Path
) -> None:
    place = ("--repo", str(backups.directory), "--format", how)
    check(git_sync("history", *pattern, *place, RULES_FILE=str(rules)), "Database")


@pytest.mark.parametrize("options", [(), ("--exact",), ("--map-namespace", "shop=copy")])
def test_restore_reports_no_value_of_any_shape(
    options: tuple[str, ...], backups: Backups, tmp_path: Path
) -> None:
    place = ("--repo", str(backups.directory), "--cluster", "a", "--at", "2025-07-11", *options)
    output = tmp_path / "restored"
    check(git_sync("restore", *place, "--output", str(output), "--dry-run"))
    check(git_sync("restore", *place, "--output", str(output)))
    for name in ("MANIFEST.json", "apply.sh"):
        written = (output / name).read_bytes() if (output / name).exists() else b""
        assert not [probe for probe in PROBES if probe in written]
    assert (output / "MANIFEST.json").exists()
