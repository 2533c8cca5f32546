"""The content of a page, independent of Markdown and HTML.

Texts come from buckets, files and servers. They contain no markup; a renderer must escape each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from steps.core.keys import printable

_MAX_TEXT_CHARACTERS = 1000


class Tone(StrEnum):
    """The meaning of a badge, shown by its color."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    PLAIN = "plain"


@dataclass(frozen=True)
class Code:
    """A name, a path or a command, shown in a monospaced font."""

    text: str


@dataclass(frozen=True)
class Link:
    """A link; ``url`` comes from the settings or from the code, never from a bucket."""

    text: str
    url: str


@dataclass(frozen=True)
class Badge:
    """A status in one or two words, shown in color."""

    text: str
    tone: Tone


Inline = str | Code | Link | Badge
Parts = tuple[Inline, ...]


@dataclass(frozen=True)
class Heading:
    """The heading of a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """One paragraph of text."""

    parts: Parts


@dataclass(frozen=True)
class Items:
    """A bulleted list."""

    items: tuple[Parts, ...]


@dataclass(frozen=True)
class Table:
    """A table; on a narrow screen each row becomes a card. Numeric cells are ints."""

    head: tuple[str, ...]
    rows: tuple[tuple[Inline | int, ...], ...]


@dataclass(frozen=True)
class Fold:
    """A list that is hidden behind a summary until a person opens it."""

    summary: str
    content: Items


def is_numeric(column: tuple[Inline | int, ...]) -> bool:
    """Whether a column contains only numbers, so that it is aligned to the right."""
    return bool(column) and all(isinstance(cell, int) for cell in column)


Block = Heading | Paragraph | Items | Table | Fold


@dataclass(frozen=True)
class Page:
    """A page; ``badge`` and ``lead`` answer the first question: is everything fine?"""

    title: str
    badge: Badge
    lead: Parts
    blocks: tuple[Block, ...]


def shown(text: str) -> str:
    """Return ``text`` without control characters and truncated, as every renderer must show it."""
    return printable(text, _MAX_TEXT_CHARACTERS)
