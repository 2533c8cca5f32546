"""Remove fields and objects from a file by cutting its source text, and prove the result by parsing it.

A YAML library does not write every value as kubectl reads it: PyYAML writes the texts "1e3", "y" and "08"
without quotes. Therefore nothing is written that was parsed: every other byte of the file stays as it is. The
result counts only if it parses to the data of the original without the removed parts. Otherwise the content
is returned exactly as it is, with the reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from steps.kubernetes.fields import edited
from steps.kubernetes.objects import Reader, Unreadable, decoded, is_list, objects_in, read_documents
from steps.kubernetes.spans import Cut, Entry, Span, SpanReader, Unclear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from steps.kubernetes.fields import Treatment
    from steps.kubernetes.objects import KubernetesObject, Place

# Larger files are kept exactly.
MAX_BYTES = 2 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class Rewritten(NamedTuple):
    """The new content of a file; None if all of its objects are omitted.

    ``reason`` is why the content is exactly the original although something may have to be removed; "" if it
    is proven. It quotes no content. ``omitted`` counts objects.
    """

    content: bytes | None
    omitted: int = 0
    reason: str = ""


def rewrite(content: bytes, treat: Callable[[KubernetesObject], Treatment]) -> Rewritten:
    """Return the content after the treatment of each of its objects: a pure function of both.

    ``treat`` receives each List, too, before its items. ``omit`` has no effect on a List, but a List whose
    items are all omitted is omitted.
    """
    try:
        text = decoded(content, MAX_BYTES)
        reader = SpanReader(text)
        documents = read_documents(text, reader)
        plan = _Plan(reader)
        expected = plan.make(documents, treat)
        if not expected and plan.omitted:
            return Rewritten(None, omitted=plan.omitted)
        cuts = sorted(set(plan.cuts))
        if not cuts:
            return Rewritten(content)
        result = _cut(text, cuts)
        if not _is_same(read_documents(result, Reader()), expected):
            return Rewritten(content, reason="the text without the fields has other values")
    except (Unreadable, Unclear) as problem:
        return Rewritten(content, reason=str(problem))
    encoded = result.encode()
    return Rewritten(_BOM + encoded if content.startswith(_BOM) else encoded, plan.omitted)


def _is_same(data: Any, other: Any) -> bool:
    """Compare data with its types: 1, 1.0 and True are equal in Python."""
    return repr(data) == repr(other)


def _cut(text: str, cuts: list[Cut]) -> str:
    parts: list[str] = []
    done = 0
    for start, end, replacement in cuts:
        if start < done:
            raise Unclear("two fields overlap in the text")
        parts += (text[done:start], replacement)
        done = end
    parts.append(text[done:])
    return "".join(parts)


@dataclass
class _Plan:
    """The cuts that the treatment needs, and the data that must remain."""

    reader: SpanReader
    cuts: list[Cut] = field(default_factory=list)
    omitted: int = 0

    def make(self, documents: list[Any], treat: Callable[[KubernetesObject], Treatment]) -> list[Any]:
        """Return the expected documents; empty if no object remains, and ``omitted`` is not 0."""
        objects = objects_in(documents)
        treatments = [treat(one) for one in objects]
        changed: dict[Place, Any] = {}
        omitted: dict[Place, set[int]] = {}
        for one, treatment in zip(reversed(objects), reversed(treatments), strict=True):
            items = one.data["items"] if is_list(one) else []
            gone = omitted.pop(one.place, set())
            if (treatment.omit and not is_list(one)) or (items and len(gone) == len(items)):
                self.omitted += not is_list(one)
                above = one.place[:-2] if len(one.place) > 1 else ()
                omitted.setdefault(above, set()).add(int(one.place[-1]))
                continue
            data = edited(one.data, treatment.fields.without("items") if items else treatment.fields, self)
            if gone:
                self.remove(items, sorted(gone))
            kept = [
                changed.get((*one.place, "items", index), item)
                for index, item in enumerate(items)
                if index not in gone
            ]
            if gone or any(new is not old for new, old in zip(kept, items, strict=True)):
                data = {key: kept if key == "items" else value for key, value in data.items()}
            if data is not one.data:
                changed[one.place] = data
        gone = omitted.pop((), set())
        if gone and len(gone) == sum(document is not None for document in documents):
            return []
        for number in sorted(gone):
            self.cuts.append(self._document(number))
        return [changed.get((n,), document) for n, document in enumerate(documents) if n not in gone]

    def _document(self, number: int) -> Cut:
        """Cut a document with the line "---" before it; the next document keeps its own."""
        starts = self.reader.starts
        start, end = starts[number][0], len(self.reader.text)
        if number + 1 < len(starts):
            end, is_explicit = starts[number + 1]
            if not is_explicit:
                raise Unclear("two documents have no line between them")
        return Cut(_line_start(self.reader.text, start), end)

    # -- what ``edited`` reports ------------------------------------------------------------------

    def remove(self, container: Any, keys: list[Any]) -> None:
        """Cut entries of a mapping or list; at least one remains."""
        span = self._span(container)
        self.cuts.extend(_removals(self.reader.text, span, _with_dashes(self.reader.text, span), set(keys)))

    def replace(self, container: Any, key: Any, value: Any) -> None:
        """Replace a value by a text, an empty mapping or an empty list."""
        span, text = self._span(container), self.reader.text
        entry = span.last(key)
        if entry is None:
            raise Unclear("a field is in a merged mapping")
        written = json.dumps(value)
        if entry.is_inline:
            self.cuts.append(Cut(entry.value_start, entry.end, written))
            return
        if isinstance(key, int):
            before = _dash(text, entry)
        else:
            before = text.find(":", entry.after_key, max(entry.value_start, entry.after_key) + 1)
        if before < 0:
            raise Unclear("the indicator before a value is not found")
        self.cuts.append(Cut(before + 1, max(entry.end, before + 1), f" {written}"))

    def _span(self, container: Any) -> Span:
        span = self.reader.spans.get(id(container))
        if span is None:
            raise Unclear("the text of a value is not known")
        return span


def _line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1


def _dash(text: str, entry: Entry) -> int:
    """Return where the "-" of a block list's item is; -1 if something else is there."""
    at = entry.value_start - 1
    while at >= 0 and text[at] in " \t\r\n":
        at -= 1
    return at if at >= 0 and text[at] == "-" else -1


def _with_dashes(text: str, span: Span) -> list[Entry]:
    """Return the entries; the items of a block list begin at their dashes."""
    if span.is_flow or not isinstance(span.value, list):
        return span.entries
    entries = [entry._replace(start=_dash(text, entry)) for entry in span.entries]
    if any(entry.start < 0 for entry in entries):
        raise Unclear('the "-" of an item is not found')
    return entries


def _removals(text: str, span: Span, entries: list[Entry], removed: set[Any]) -> Iterator[Cut]:
    """Yield a cut for each run of removed entries."""
    if not removed.issubset(entry.key for entry in entries):
        raise Unclear("a field is in a merged mapping")
    first, count = 0, len(entries)
    while first < count:
        if entries[first].key not in removed:
            first += 1
            continue
        after = first
        while after < count and entries[after].key in removed:
            after += 1
        yield _removal(text, span, entries, first, after)
        first = after


def _removal(text: str, span: Span, entries: list[Entry], first: int, after: int) -> Cut:
    """Cut the entries from ``first`` to the one before ``after``; not all."""
    is_last = after == len(entries)
    start, end = entries[first].start, entries[after - 1].end
    if span.is_flow:  # with the comma behind, or of the last entries the comma before
        return Cut(entries[first - 1].end, end) if is_last else Cut(start, entries[after].start)
    line = _line_start(text, start)
    if text[line:start].strip(" \t"):  # "- key: value": the next key takes its place
        if is_last:
            raise Unclear("an entry does not begin its line")
        return Cut(start, entries[after].start)
    return Cut(line, _end_of_lines(text, end, start - line))


def _end_of_lines(text: str, end: int, indent: int) -> int:
    """Return the end of the line at ``end``, and of comments below it that are indented more deeply."""
    line_end = text.find("\n", end)
    rest = (text[end:] if line_end < 0 else text[end:line_end]).strip(" \t\r")
    if rest and not rest.startswith("#"):
        raise Unclear("something else is behind a value")
    while line_end >= 0:
        following = text.find("\n", line_end + 1)
        line = text[line_end + 1 :] if following < 0 else text[line_end + 1 : following]
        comment = line.lstrip(" ")
        if not comment.startswith("#") or len(line) - len(comment) <= indent:
            return line_end + 1
        line_end = following
    return len(text)
