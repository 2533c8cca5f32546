"""Reads the objects of a file, each with its source text alone.

Nothing here proves that a text has the data of its object; ``steps.kubernetes.restoration.write`` does.
"""

from __future__ import annotations

from typing import NamedTuple

from steps.kubernetes.data import mapping, text
from steps.kubernetes.objects import (
    MAX_VALUES,
    KubernetesObject,
    decoded,
    is_list,
    objects_in,
    read_documents,
)
from steps.kubernetes.restoration.fields import value_at
from steps.kubernetes.spans import SpanReader

# Kubernetes stores 1.5 MiB of an object as JSON. In a dump with managedFields, the CRDs of Argo Workflows 4.0
# have up to 2.6 MiB as YAML. Above the limit of ``rewrite``, the restored file is JSON.
MAX_BYTES = 8 * 1024 * 1024


class Piece(NamedTuple):
    """An object, and a text that probably contains only this object; None if there is no such text."""

    one: KubernetesObject
    text: bytes | None


def split(content: bytes) -> list[Piece]:
    """Return the objects of a file. Raises Unreadable.

    An item of a List that inherits its kind has it in its data, because kubectl requires it.
    """
    reader = SpanReader(decoded(content, MAX_BYTES))
    reader.most_values = MAX_VALUES  # no other file is read at the same time
    documents = read_documents(reader.text, reader)
    found = objects_in(documents)
    if len(found) == 1 and len(documents) == 1 and not is_list(found[0]):
        return [Piece(found[0], content)]
    pieces = []
    for one in found:
        if is_list(one):
            continue
        if len(one.place) == 1:
            pieces.append(Piece(one, _document(reader, int(one.place[0]))))
        elif "kind" in mapping(one.data) and "apiVersion" in one.data:
            items = value_at(documents, one.place[:-1])
            pieces.append(Piece(one, _item(reader, items, int(one.place[-1]))))
        else:
            pieces.append(Piece(_with_kind(one, value_at(documents, one.place[:-2])), None))
    return pieces


def _with_kind(one: KubernetesObject, above: object) -> KubernetesObject:
    inherited = {"apiVersion": text(mapping(above).get("apiVersion")), "kind": one.identity.kind}
    return one._replace(data={**inherited, **one.data}) if one.identity.kind else one


def _document(reader: SpanReader, number: int) -> bytes:
    """Return the text of a document, without the line "---" before it."""
    starts = reader.starts
    start, is_explicit = starts[number]
    end = starts[number + 1][0] if number + 1 < len(starts) else len(reader.text)
    found = reader.text[start:end]
    line, _, rest = found.partition("\n")
    return (rest if is_explicit and line.strip() == "---" else found).encode()


def _item(reader: SpanReader, items: object, index: int) -> bytes | None:
    """Return the text of a List's item with the indentation of a document."""
    span = reader.spans.get(id(items))
    if span is None or index >= len(span.entries):
        return None
    entry = span.entries[index]
    found = reader.text[entry.value_start : entry.end]
    if entry.is_inline:
        return f"{found}\n".encode()
    indent = entry.value_start - (reader.text.rfind("\n", 0, entry.value_start) + 1)
    first, *lines = found.split("\n")
    if any(line[:indent].strip() for line in lines):
        return None
    return "".join(f"{line}\n" for line in (first, *(line[indent:] for line in lines))).encode()
