"""git-sync rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.errors import FixCommandLine
from steps.history.rules import printed_rules, removals
from steps.kubernetes.policy import Policy
from steps.kubernetes.rules_file import parse_rules
from steps.kubernetes.secret_filter import SecretsMode
from steps.kubernetes.volatile import BUILT_IN

if TYPE_CHECKING:
    from pathlib import Path


def test_printed_rules_are_a_rules_file_with_the_same_rules() -> None:
    extra = parse_rules(b'- kinds: ["*", Pod.]\n  keep: ["a[*].b[x.y/z: 1]"]\n  labels: {"a/b": "c*"}\n')
    policy = Policy(rules=(*BUILT_IN, *extra))
    assert parse_rules(printed_rules(policy).encode()) == policy.rules


def test_test_shows_a_diff_and_the_share(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: Pod\nspec: {}\nstatus: {}\n")
    (tmp_path / "b.yaml").write_text("apiVersion: v1\nkind: Event\n")
    (tmp_path / "c.yaml").write_text("kind: [\n")
    name = str(tmp_path / "a.yaml")
    assert list(removals(Policy(), tmp_path)) == [
        f"--- {name}",
        f"+++ {name}",
        "@@ -1,3 +1,2 @@",
        " kind: Pod",
        " spec: {}",
        "-status: {}",
        f"not written: {tmp_path / 'b.yaml'}",
        "changed: 1 of 3 files; not written: 1",
        "removed: 38 of 65 bytes (58 %)",
        "kept exactly: 1 file",
        f"  {tmp_path / 'c.yaml'}: not YAML (line 2)",
    ]


def test_test_of_a_file_reads_only_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: Pod\n")
    (tmp_path / "b.yaml").write_text("kind: Pod\n")
    assert next(removals(Policy(), tmp_path / "a.yaml")) == "changed: 0 of 1 file; not written: 0"


def test_test_names_a_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(FixCommandLine, match="no such file or directory"):
        list(removals(Policy(), tmp_path / "absent"))


SECRET = "kind: Secret\nmetadata: {name: db}\nstatus: {}\ndata:\n  password: aHVudGVyMi1jYW5hcnk=\n"


@pytest.mark.parametrize(
    ("mode", "fate", "not_written"),
    [
        (None, "stay in clear text", 0),
        (SecretsMode.KEEP, "stay in clear text", 0),
        (SecretsMode.EXCLUDE, "excluded", 1),
        (SecretsMode.REDACT, "redacted", 0),
    ],
)
def test_test_counts_secrets_and_shows_no_value(
    mode: SecretsMode | None, fate: str, not_written: int, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(SECRET)
    (tmp_path / "list.yaml").write_text(f"{SECRET}---\n{SECRET}---\nkind: Pod\n")
    lines = list(removals(Policy(secrets=mode), tmp_path))
    assert f"{tmp_path / 'a.yaml'}: 1 Secret {fate}" in lines
    assert f"{tmp_path / 'list.yaml'}: 2 Secrets {fate}" in lines
    assert lines[-1] == f"Secrets: 3 in 2 files {fate}"
    assert f"changed: {2 - not_written} of 2 files; not written: {not_written}" in lines
    assert not any("aHVu" in line or "redacted:" in line for line in lines)


def test_test_names_a_file_that_may_contain_a_secret_and_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{SECRET}x: [\n")
    policy = Policy(secrets=SecretsMode.EXCLUDE)
    first, *_, last = removals(policy, tmp_path)
    assert first.startswith(
        f"not written: {tmp_path / 'a.yaml'}: may contain a Secret, and is not readable: not YAML"
    )
    assert last == "may contain a Secret, not readable, not written: 1 file"
