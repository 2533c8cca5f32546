"""Edits that find their place in a function by its syntax, independent of line numbers, layout and comments.

An edit describes the place with a pattern: one Python expression or statement. In a pattern

- ``...`` matches any expression; as the only argument of a call, any arguments; as a body, any body;
- a single capital letter matches any expression, and the same expression at each repetition. A replacement
  may contain it.

An edit must match exactly one place of its function, otherwise NoMatch is raised.
"""

from __future__ import annotations

import ast
import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Bound = dict[str, ast.AST]

T = TypeVar("T")


class NoMatch(ValueError):
    """The edit matches no place, or more than one."""


class Edit(Protocol):
    """A change of the syntax tree below one function, class or module."""

    def apply(self, scope: ast.AST) -> None:
        """Change the tree in place; NoMatch unless there is exactly one place for it."""


@dataclass(frozen=True)
class Replace:
    """Replace an expression or a statement; the replacement of a statement may be several."""

    old: str
    new: str

    def apply(self, scope: ast.AST) -> None:
        pattern, new = _parsed(self.old), ast.parse(self.new).body
        of_statement = not (len(new) == 1 and isinstance(new[0], ast.Expr))
        if of_statement and isinstance(pattern, ast.expr):
            pattern = ast.Expr(pattern)
        node, bound = _only(_matches(scope, pattern), self.old)
        replacement: list[Any] = [_Fill(bound).visit(statement) for statement in new]
        if not isinstance(node, ast.stmt):
            replacement = [statement.value for statement in replacement]
        _substitute(scope, node, replacement)


@dataclass(frozen=True)
class Delete:
    """Delete a statement."""

    statement: str

    def apply(self, scope: ast.AST) -> None:
        Replace(self.statement, "pass").apply(scope)


@dataclass(frozen=True)
class Decide:
    """Give the condition of an if, a while or a comprehension that contains ``part`` a fixed outcome."""

    part: str
    outcome: bool

    def apply(self, scope: ast.AST) -> None:
        pattern = _parsed(self.part)
        conditions = [
            condition
            for node in ast.walk(scope)
            for condition in _conditions(node)
            if any(_matches(condition, pattern))
        ]
        _substitute(scope, _only(conditions, f"a condition with {self.part}"), [ast.Constant(self.outcome)])


def always(part: str) -> Decide:
    """Make the condition that contains ``part`` true."""
    return Decide(part, outcome=True)


def never(part: str) -> Decide:
    """Make the condition that contains ``part`` false."""
    return Decide(part, outcome=False)


@dataclass(frozen=True)
class Without:
    """Remove an operand of ``and`` or ``or``, or an element of a set, a list or a tuple."""

    operand: str

    def apply(self, scope: ast.AST) -> None:
        pattern = _parsed(self.operand)
        places = [
            (operands, operand)
            for operands in map(_operands, ast.walk(scope))
            for operand in operands
            if _match(pattern, operand, {})
        ]
        operands, operand = _only(places, f"an operand or element {self.operand}")
        operands.remove(operand)


@dataclass(frozen=True)
class Value:
    """Set the value of a keyword argument, or of a key of a dictionary."""

    name: str
    new: str

    def apply(self, scope: ast.AST) -> None:
        values = [
            value for node in ast.walk(scope) for name, value in _named_values(node) if name == self.name
        ]
        _substitute(scope, _only(values, f"a value of {self.name}"), [_parsed(self.new)])


@dataclass(frozen=True)
class Swap:
    """Exchange two statements of a block, or two elements: one contains ``first``, one ``second``."""

    first: str
    second: str

    def apply(self, scope: ast.AST) -> None:
        patterns = _parsed(self.first), _parsed(self.second)
        places = []
        for block in _sequences(scope):
            one, other = (
                [at for at, statement in enumerate(block) if any(_matches(statement, pattern))]
                for pattern in patterns
            )
            if len(one) == len(other) == 1 and one != other:
                places.append((block, one[0], other[0]))
        block, at, to = _only(places, f"{self.first} and {self.second} side by side")
        block[at], block[to] = block[to], block[at]


@dataclass(frozen=True)
class Text:
    """Replace what a regular expression matches in the string literals."""

    old: str
    new: str

    def apply(self, scope: ast.AST) -> None:
        literals = [
            (node, node.value)
            for node in ast.walk(scope)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.search(self.old, node.value)
        ]
        literal, text = _only(literals, f"text {self.old}")
        literal.value = re.sub(self.old, lambda _: self.new, text)


def find_scope(tree: ast.Module, qualified_name: str) -> ast.AST:
    """Return the function or class of this name, as in ``Class.method``; the module for ``""``."""
    scope: ast.AST = tree
    for name in filter(None, qualified_name.split(".")):
        top, nested = (
            [
                node
                for node in nodes
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name
            ]
            for nodes in (ast.iter_child_nodes(scope), ast.walk(scope))
        )
        scope = _only(top or nested, f"a definition of {name}")
    return scope


def _parsed(pattern: str) -> ast.AST:
    (statement,) = ast.parse(pattern).body
    return statement.value if isinstance(statement, ast.Expr) else statement


def _only(found: Iterable[T], wanted: str) -> T:
    found = list(found)
    if len(found) != 1:
        raise NoMatch(f"found {len(found)} times instead of once: {wanted}")
    return found[0]


def _matches(scope: ast.AST, pattern: ast.AST) -> Iterator[tuple[ast.AST, Bound]]:
    for node in ast.walk(scope):
        bound: Bound = {}
        if _match(pattern, node, bound):
            yield node, bound


def _match(pattern: object, node: object, bound: Bound) -> bool:
    """Whether the pattern matches the node; ``bound`` gets the expressions of its letters."""
    if isinstance(pattern, list) and isinstance(node, list):
        if [type(each) for each in pattern] == [ast.Expr] and _is_any(pattern[0].value):
            return True
        return len(pattern) == len(node) and all(
            _match(each, other, bound) for each, other in zip(pattern, node, strict=True)
        )
    if not isinstance(pattern, ast.AST):
        return pattern == node
    if isinstance(node, ast.expr):
        if _is_any(pattern):
            return True
        if isinstance(pattern, ast.Name) and _LETTER.fullmatch(pattern.id):
            return ast.dump(bound.setdefault(pattern.id, node)) == ast.dump(node)
    if type(pattern) is not type(node):
        return False
    if isinstance(pattern, ast.Call) and list(map(_is_any, pattern.args)) == [True] and not pattern.keywords:
        return _match(pattern.func, getattr(node, "func"), bound)  # noqa: B009 - mypy knows only the fields of `pattern`
    return all(
        _match(getattr(pattern, name), getattr(node, name), bound)
        for name in pattern._fields
        if name not in {"ctx", "kind", "type_comment"}
    )


_LETTER = re.compile("[A-Z]")


def _is_any(pattern: ast.AST) -> bool:
    return isinstance(pattern, ast.Constant) and pattern.value is ...


class _Fill(ast.NodeTransformer):
    """Puts what was matched in the places of the letters."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return copy.deepcopy(self._bound.get(node.id, node))


def _substitute(scope: ast.AST, old: ast.AST, new: list[ast.AST]) -> None:
    for parent in ast.walk(scope):
        for name, value in ast.iter_fields(parent):
            if value is old:
                (node,) = new
                setattr(parent, name, node)
                return
            if isinstance(value, list) and any(each is old for each in value):
                at = next(index for index, each in enumerate(value) if each is old)
                value[at : at + 1] = new
                return


def _conditions(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        return [node.test]
    return node.ifs if isinstance(node, ast.comprehension) else []


def _operands(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.Set) or (
        isinstance(node, (ast.List, ast.Tuple)) and isinstance(node.ctx, ast.Load)
    ):
        return node.elts
    return []


def _named_values(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def _sequences(scope: ast.AST) -> Iterator[list[Any]]:
    """Every list of statements or of expressions."""
    for node in ast.walk(scope):
        for _, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], (ast.stmt, ast.expr)):
                yield value
