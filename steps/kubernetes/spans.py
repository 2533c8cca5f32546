"""Where the values of a file are in its source text.

Offsets count characters of the text, as libyaml reports them with each event. libyaml does not report where a
block ends, so code that cuts the text must parse the result.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from steps.core.limits import REWRITTEN_VALUES
from steps.kubernetes.objects import Reader


class Unclear(Exception):
    """The source text of a value cannot be separated from the rest; ``str`` says why."""


class Entry(NamedTuple):
    """A key of a mapping with its value, or an item of a list.

    ``start`` is where the key begins, ``after_key`` where it ends; of an item, both are its start.
    ``is_inline`` means that the value is exactly ``value_start`` to ``end``: no block of lines.
    """

    key: str | int | None
    start: int
    after_key: int
    value_start: int
    end: int
    is_inline: bool


class Span:
    """The source text of a mapping or list."""

    __slots__ = ("_last", "end", "entries", "is_flow", "start", "value")

    def __init__(self, start: int, *, is_flow: bool) -> None:
        self.start = start
        self.end = start
        self.is_flow = is_flow
        self.entries: list[Entry] = []
        self.value: Any = None  # keeps its id
        self._last: dict[str | int | None, Entry] | None = None

    def last(self, key: str | int) -> Entry | None:
        """Return the last entry with this key."""
        if self._last is None:
            self._last = {entry.key: entry for entry in self.entries}
        return self._last.get(key)


class Cut(NamedTuple):
    """Replace the text from ``start`` to ``end``."""

    start: int
    end: int
    text: str = ""


class SpanReader(Reader):
    """Builds the documents, and notes where everything is. ``spans`` is by id of mapping or list."""

    most_values = REWRITTEN_VALUES

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.spans: dict[int, Span] = {}
        self._open: list[Span] = []
        self._keys: list[tuple[int, int]] = []  # where the current key of each open mapping is

    def _scalar(self, event: Any) -> None:
        current = self.opened[-1] if self.opened else None
        key = current.key if current is not None else None
        super()._scalar(event)
        if current is None:
            return
        if current.is_mapping and key is None:
            self._keys[-1] = event.start_mark.index, event.end_mark.index
            return
        start, end = event.start_mark.index, event.end_mark.index
        is_block = event.style in {"|", ">"}
        if is_block:  # the mark is behind the line break, and behind empty lines
            end = self._trimmed(end)
        self._note(key, start, end, is_inline=end > start and not is_block)

    def _trimmed(self, end: int) -> int:
        text = self.text
        while text[end - 1] in " \t\r\n":
            end -= 1
        return end

    def _start(self, opened: Any) -> None:
        super()._start(opened)
        self._keys.append((0, 0))

    def _start_mapping(self, event: Any) -> None:
        super()._start_mapping(event)
        self._open.append(Span(event.start_mark.index, is_flow=event.flow_style))

    def _start_list(self, event: Any) -> None:
        super()._start_list(event)
        self._open.append(Span(event.start_mark.index, is_flow=event.flow_style))

    def _end(self, event: Any) -> None:
        done = self.opened[-1]
        above = self.opened[-2] if len(self.opened) > 1 else None
        key = above.key if above is not None else None
        super()._end(event)
        self._keys.pop()
        span = self._open.pop()
        span.value = done.value
        self.spans[id(done.value)] = span
        if span.is_flow:
            span.end = event.end_mark.index
        elif span.entries:
            span.end = span.entries[-1].end
        if above is not None:
            self._note(key, span.start, span.end, is_inline=span.is_flow)

    def _alias(self, event: Any) -> None:
        key = self.opened[-1].key if self.opened else None
        super()._alias(event)
        if self.opened:
            self._note(key, event.start_mark.index, event.end_mark.index, is_inline=True)

    def _note(self, key: str | None, start: int, end: int, *, is_inline: bool) -> None:
        span = self._open[-1]
        if self.opened[-1].is_mapping:
            key_start, key_end = self._keys[-1]
            span.entries.append(Entry(key, key_start, key_end, start, end, is_inline))
        else:
            span.entries.append(Entry(len(span.entries), start, start, start, end, is_inline))
