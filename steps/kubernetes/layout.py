"""Remove fields from files in kubectl's own layout, line by line, many times faster than by parsing.

kubectl writes block style with one key per line. ``strip`` accepts only lines whose meaning depends on
nothing but their indentation, so a removed field is a range of lines, and the result needs no proof. It
declines all other files: with comments, anchors, flow style with content, duplicate keys, Lists, text of
several lines without "|" or ">", or characters other than printable ASCII. Then ``rewrite`` decides. Both
return the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from steps.core.limits import REWRITTEN_VALUES
from steps.kubernetes.rewrite import Rewritten

if TYPE_CHECKING:
    from steps.kubernetes.fields import Fields, Treatment
    from steps.kubernetes.volatile import RuleSet

# Shorter than a file that breaks a bound of objects.py.
_MAX_BYTES = 256 * 1024
_MAX_DEPTH = 60

_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\n"

_KEY = r"[A-Za-z0-9_./](?:[A-Za-z0-9_./-]|:(?=[^ \n])){0,250}"
_PLAIN = r"(?:[A-Za-z0-9_./$(+~^;<=\\]|-(?=[^ \n]))(?:[^\n:# ]|:(?=[^ \n])|(?<=[^ \n])#| (?=[^ #\n]))*"
_QUOTED = r"""'(?:[^'\n]|'')*'|"(?:[^"\\\n]|\\["\\nrtbf])*\""""
_SCALAR = rf"{_PLAIN}|{_QUOTED}|\{{\}}|\[\]"
_BLOCK = r"[|>][-+]?"
_LINE = re.compile(
    rf"""( *)((?:- )*)(?:({_KEY}|"[A-Za-z0-9_./ -]{{1,250}}"):(?: (?:({_BLOCK})|(?:{_SCALAR})))?"""
    rf"""|({_BLOCK})|(?:{_SCALAR}))"""
)

# Texts that are neither booleans nor null.
_KIND = re.compile(r"^kind: ([A-Z][A-Za-z]{2,})$", re.MULTILINE)
_VERSION = re.compile(r"^apiVersion: ((?:[a-z0-9.-]+/)?v[0-9][a-z0-9]*)$", re.MULTILINE)
_NO_KINDS = frozenset({"Yes", "YES", "Off", "OFF", "True", "TRUE", "False", "FALSE", "Null", "NULL"})


def strip(content: bytes, rules: RuleSet) -> Rewritten | None:
    """Return what ``rewrite`` returns with the treatments of the rules; None if the layout is another one."""
    if len(content) > _MAX_BYTES or not content.endswith(b"\n") or content.translate(None, _PRINTABLE):
        return None
    # No file has more values: each is in a new line or behind a dash, or 64 characters of a text.
    if content.count(b"\n") + content.count(b"- ") + len(content) // 64 >= REWRITTEN_VALUES:
        return None
    text = content.decode("ascii")
    treatment = _treatment(text, rules)
    if treatment is None:
        return None
    try:
        cuts = _Lines(text, treatment.fields).cuts()
    except _OtherLayoutError:
        return None
    if treatment.omit:
        return Rewritten(None, omitted=1)
    if not cuts:
        return Rewritten(content)
    lines = text.split("\n")
    for start, end in reversed(cuts):
        del lines[start:end]
    return Rewritten("\n".join(lines).encode())


def _treatment(text: str, rules: RuleSet) -> Treatment | None:
    """Return the treatment of the only object, if kind and version are written plainly."""
    kind, version = _KIND.search(text), _VERSION.search(text)
    if kind is None or version is None or kind[1] in _NO_KINDS or kind[1].endswith("List"):
        return None
    group, slash, _ = version[1].partition("/")
    return rules.by_kind(kind[1], group if slash else "")


class _OtherLayoutError(Exception):
    """The file is not in kubectl's layout, or a rule is about items of lists."""


class _Opened:
    """A mapping or list whose entries begin at ``column``.

    ``fields`` are the rules about its entries, and ``line`` is where the entry begins that contains it.
    """

    __slots__ = ("column", "cuts", "fields", "is_list", "kept", "keys", "line")

    def __init__(self, column: int, line: int, fields: Fields | None, *, is_list: bool) -> None:
        self.column = column
        self.line = line
        self.fields = fields
        self.is_list = is_list
        self.keys: set[str] = set()
        self.kept = 0
        self.cuts: list[tuple[int, int]] = []


class _Lines:
    """The structure of a file. Each method raises _OtherLayoutError if a line is not part of it."""

    def __init__(self, text: str, fields: Fields) -> None:
        self.lines = text.split("\n")
        self.lines.pop()  # behind the last line feed
        self.at = 0
        self.opened = [_Opened(0, 0, fields, is_list=False)]
        self.is_expecting = False  # the last line was a key without a value
        self.below: Fields | None = None  # the rules about that value
        self.cut_column = -1  # of the field that is being cut
        self.cut_start = 0

    def cuts(self) -> list[tuple[int, int]]:
        """Return the ranges of lines to remove."""
        lines, match = self.lines, _LINE.fullmatch
        self.at = lines[0] == "---"
        while self.at < len(lines):
            found = match(lines[self.at])
            if found is None:
                raise _OtherLayoutError
            spaces, dashes, key, block, item_block = found.groups()
            column = len(spaces)
            self._close(column, is_item=bool(dashes))
            if dashes:
                column = self._add_items(column, len(dashes) // 2, has_key=key is not None)
            elif key is None:
                raise _OtherLayoutError
            if key is not None:
                self._add_key(key, column)
            self.is_expecting = key is not None and lines[self.at].endswith(":")
            self.at += 1
            if block or item_block:
                self._skip_block(column if key is not None else column - 2)
        self._close(-1, is_item=False)
        return self.opened[0].cuts

    def _close(self, column: int, *, is_item: bool) -> None:
        """End the field that is being cut, and what is open, at a line that begins at this column."""
        cut = self.cut_column
        if cut >= 0 and (column < cut or (column == cut and not is_item)):
            self._owner(cut).cuts.append((self.cut_start, self.at))
            self.cut_column = -1
        opened = self.opened
        while len(opened) > 1:
            top = opened[-1]
            if top.column < column or (top.column == column and (is_item or not top.is_list)):
                return
            self._pop()
        if column >= 0 and opened[0].column != column and not opened[0].keys:
            raise _OtherLayoutError

    def _owner(self, column: int) -> _Opened:
        return next(one for one in reversed(self.opened) if one.column == column and not one.is_list)

    def _pop(self) -> None:
        done = self.opened.pop()
        self.is_expecting = False  # the last key has no value
        above = self.opened[-1]
        if not done.cuts:
            return
        if done.kept or done.is_list:
            above.cuts += done.cuts
        else:  # it is empty now, so its key goes as well
            above.cuts.append((done.line, self.at))
            above.kept -= 1

    def _add_items(self, column: int, count: int, *, has_key: bool) -> int:
        """Add the items that begin on this line, one in the other; return the column behind the dashes."""
        top = self.opened[-1]
        if not (top.is_list and top.column == column):
            if not self.is_expecting or column < top.column:
                raise _OtherLayoutError
            if self.below is not None and any(not isinstance(step, str) for step in self.below.children):
                raise _OtherLayoutError
            self._push(column, None, is_list=True)
        for _ in range(count - 1):
            column += 2
            self._push(column, None, is_list=True)
        column += 2
        if has_key:
            self._push(column, None, is_list=False)
        return column

    def _push(self, column: int, fields: Fields | None, *, is_list: bool) -> None:
        if len(self.opened) > _MAX_DEPTH:
            raise _OtherLayoutError
        self.opened.append(_Opened(column, self.at - 1, fields, is_list=is_list))

    def _add_key(self, key: str, column: int) -> None:
        top = self.opened[-1]
        if top.is_list or top.column != column:
            if not self.is_expecting or column <= top.column:
                raise _OtherLayoutError
            self._push(column, self.below, is_list=False)
            top = self.opened[-1]
        key = key.strip('"')
        if key in top.keys or (column == 0 and key == "items"):
            raise _OtherLayoutError
        top.keys.add(key)
        top.kept += 1
        self.below = None
        if top.fields is None or (child := top.fields.children.get(key)) is None:
            return
        if child.replacement is not None or (child.children and child.drops):
            raise _OtherLayoutError
        if child.children:
            self.below = child
        elif child.drops:
            top.kept -= 1
            self.cut_column, self.cut_start = column, self.at

    def _skip_block(self, parent: int) -> None:
        """Skip the lines of a block scalar; ``parent`` is the column of its key or its dash."""
        lines, first = self.lines, self.at
        if first == len(lines):
            return
        indent = len(lines[first]) - len(lines[first].lstrip(" "))
        if not lines[first].strip(" "):
            raise _OtherLayoutError
        if indent <= parent:
            return  # an empty text
        margin = " " * indent
        while self.at < len(lines) and (not lines[self.at] or lines[self.at].startswith(margin)):
            if lines[self.at].isspace():
                raise _OtherLayoutError
            self.at += 1
        if not lines[self.at - 1]:
            raise _OtherLayoutError
