"""Reads the YAML that kubectl writes, line by line, several times as fast as libyaml.

It knows mappings and lists in blocks, and texts on one line. It refuses a file with anything else, which the
parser then reads: comments, block texts, anchors, escapes, characters beyond ASCII, wrong YAML.
"""

from __future__ import annotations

import re
from typing import Any

from steps.kubernetes.objects import KubernetesObject, objects_of, plain_value, read_objects

_MAX_DEPTH = 50

# Spaces, the beginning of a list's item, a key, the rest.
_ENTRY = re.compile(r"( *)(- )?([A-Za-z][A-Za-z0-9_./-]{0,200}):(?: (\S.*))?")
_ITEM = re.compile(r"( *)- (\S.*)")
# Single colons and spaces between these characters have no meaning. No text here begins with an indicator.
_PLAIN = re.compile(r"-{0,2}[A-Za-z0-9_./][A-Za-z0-9_./@+=,()$-]*(?:[: ][A-Za-z0-9_./@+=,()$-]+)*")
_QUOTED = re.compile(r"'[^']*'|\"[^\"\\]*\"")


class _Refused(Exception):
    """The file is not simple."""


def plain_documents(content: bytes) -> list[Any] | None:
    """Return the documents of a file, or None if it is not simple. Documents without content are left out."""
    if not content.isascii() or not (text := content.decode()).replace("\n", "").isprintable():
        return None
    documents: list[Any] = []
    lines: list[str] = []
    try:
        for line in text.split("\n"):
            if line == "---":
                documents += _document(lines)
                lines = []
            elif line:
                lines.append(line)
        documents += _document(lines)
    except _Refused:
        return None
    return documents


def objects_of_file(content: bytes) -> list[KubernetesObject]:
    """Return what ``read_objects`` returns, of a simple file several times as fast. Raises Unreadable."""
    documents = plain_documents(content)
    return read_objects(content) if documents is None else objects_of(documents)


def _document(lines: list[str]) -> list[Any]:
    """Return the document of these lines in a list, which is empty if there is no line."""
    if not lines:
        return []
    # The open mappings and lists from the outermost to the innermost, and the columns of their entries.
    root: dict[str, Any] = {}
    values: list[Any] = [root]
    columns = [0]
    pending = ""  # the key of the innermost mapping that waits for its value
    value: Any
    mapping: dict[str, Any]
    for line in lines:
        entry = _ENTRY.fullmatch(line)
        item = None if entry else _ITEM.fullmatch(line)
        if entry is None and item is None:
            raise _Refused
        spaces, dash, key, text = entry.groups() if entry else (item[1], "- ", "", item[2])  # type: ignore[index]
        column = len(spaces)
        if pending:
            if column > columns[-1] or (dash and column == columns[-1]):
                values[-1][pending] = value = [] if dash else {}
                values.append(value)
                columns.append(column)
            pending = ""
        while columns[-1] > column or (columns[-1] == column and not dash and isinstance(values[-1], list)):
            values.pop()
            columns.pop()
        if columns[-1] != column or len(columns) > _MAX_DEPTH or isinstance(values[-1], list) != bool(dash):
            raise _Refused
        if not key:
            values[-1].append(_scalar(text))
            continue
        if dash:
            mapping = {}
            values[-1].append(mapping)
            values.append(mapping)
            columns.append(column + 2)
        else:
            mapping = values[-1]
        if key in mapping:
            raise _Refused
        mapping[key] = None if text is None else _scalar(text)
        pending = key if text is None else ""
    return [root]


def _scalar(text: str) -> Any:
    if _PLAIN.fullmatch(text):
        return plain_value(text)
    if _QUOTED.fullmatch(text):
        return text[1:-1]
    if text in {"{}", "[]"}:
        return {} if text == "{}" else []
    raise _Refused
