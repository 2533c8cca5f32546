"""A page for people, before it is Markdown or HTML: what stands on it, and in which tone.

Texts come from buckets, files and servers. Whoever renders a page escapes every one of them; nothing
here is markup.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """How a reader should take it."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    PLAIN = "plain"


@dataclass(frozen=True)
class Code:
    """A name, a path or a command, to be read letter by letter."""

    text: str


@dataclass(frozen=True)
class Link:
    """A text that leads somewhere; ``url`` is ours, never from a bucket."""

    text: str
    url: str


@dataclass(frozen=True)
class Badge:
    """One word that is seen first."""

    text: str
    tone: Tone


Inline = str | Code | Link | Badge
Parts = tuple[Inline, ...]


@dataclass(frozen=True)
class Heading:
    """The title of what follows."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """A sentence or two."""

    parts: Parts


@dataclass(frozen=True)
class Items:
    """A list."""

    items: tuple[Parts, ...]


@dataclass(frozen=True)
class Table:
    """Rows under a head; on a narrow screen each row is a card. Cells of figures are ints."""

    head: tuple[str, ...]
    rows: tuple[tuple[Inline | int, ...], ...]


def is_figures(column: tuple[Inline | int, ...]) -> bool:
    """Whether a column holds figures, and so stands to the right."""
    return bool(column) and all(isinstance(cell, int) for cell in column)


Block = Heading | Paragraph | Items | Table


@dataclass(frozen=True)
class Page:
    """``badge`` and ``lead`` answer the first question: is it fine?"""

    title: str
    badge: Badge
    lead: Parts
    blocks: tuple[Block, ...]
