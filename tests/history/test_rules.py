"""git-sync rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.errors import FixCommandLine
from steps.history.rules import printed_rules, removals
from steps.kubernetes.policy import Policy
from steps.kubernetes.rules_file import parse_rules
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
