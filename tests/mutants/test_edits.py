"""Edits by syntax: matches, replacements, and the error if the place is not unique."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.mutants.edits import (
    Delete,
    NoMatch,
    Replace,
    Swap,
    Text,
    Value,
    Without,
    always,
    find_scope,
    never,
)
from tests.mutants.seeded import Mutant

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mutants.edits import Edit

CODE = """
LIMITS = (FIRST, SECOND)

def nested():
    def check():
        return 1

class Store:
    def check(self, size, listed):
        # A comment, and an unusual line break.
        if (size
                != listed.size) and not self.lenient:
            raise Wrong(size, kind="size")
        elif listed.gone:
            self.forget(listed)
        self.log(f"checked {listed.key}: ok", {"level": "info"})
        return self.cache[listed.key] or self.read(listed.key)
"""


def _edited(edit: Edit, where: str = "Store.check") -> str:
    tree = ast.parse(CODE)
    edit.apply(find_scope(tree, where))
    return ast.unparse(tree)


@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        (never("A != B.size"), "size != listed.size and (not self.lenient)", "False"),
        (always("listed.gone"), "elif listed.gone", "elif True"),
        (Without("not self.lenient"), "size != listed.size and (not self.lenient)", "size != listed.size"),
        (
            Replace("A[B] or C", "C"),
            "self.cache[listed.key] or self.read(listed.key)",
            "self.read(listed.key)",
        ),
        (Replace("raise Wrong(...)", "return size"), "raise Wrong(size, kind='size')", "return size"),
        (Replace("self.forget(A)", "return A"), "self.forget(listed)", "return listed"),
        (Replace("return ...", "return None"), "self.cache[listed.key] or self.read(listed.key)", "None"),
        (Delete("self.forget(...)"), "self.forget(listed)", "pass"),
        (
            Delete("if listed.gone: ..."),
            "elif listed.gone:\n            self.forget(listed)",
            "else:\n            pass",
        ),
        (Value("kind", "'other'"), "kind='size'", "kind='other'"),
        (Value("level", "'debug'"), "'level': 'info'", "'level': 'debug'"),
        (Text("^checked ", ""), "checked {listed.key}", "{listed.key}"),
    ],
)
def test_edit_changes_only_its_place(edit: Edit, old: str, new: str) -> None:
    intact = ast.unparse(ast.parse(CODE))
    assert intact.count(old) == 1
    assert _edited(edit) == intact.replace(old, new)


def test_swap_exchanges_statements_and_elements() -> None:
    assert "LIMITS = (SECOND, FIRST)" in _edited(Swap("FIRST", "SECOND"), "")
    swapped = _edited(Swap("return ...", "self.log(...)"))
    assert swapped.index("return self.cache") < swapped.index("self.log")


@pytest.mark.parametrize(
    ("edit", "where", "message"),
    [
        (never("A > B"), "Store.check", "found 0 times instead of once: a condition with A > B"),
        (Replace("listed.key", "key"), "Store.check", "found 3 times instead of once: listed.key"),
        (Replace("A.key == A.key", "True"), "Store.check", "found 0 times instead of once: A.key == A.key"),
        (Delete("self.forget(...)"), "Store.gone", "found 0 times instead of once: a definition of gone"),
    ],
)
def test_no_match_names_the_pattern(edit: Edit, where: str, message: str) -> None:
    with pytest.raises(NoMatch) as refused:
        _edited(edit, where)
    assert str(refused.value) == message


def test_mutant_without_a_match_names_itself_and_its_function(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(CODE)
    with pytest.raises(NoMatch, match=r"^a bug \(code\.py::Store\.check\): found 0 times"):
        Mutant("a bug", "code.py::Store.check", never("missing"), "").mutated(tmp_path)
