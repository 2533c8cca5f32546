"""A page as Markdown (GitHub's kind)."""

from __future__ import annotations

import re

from steps.core.keys import printable
from steps.reporting.page import (
    Badge,
    Block,
    Code,
    Heading,
    Inline,
    Items,
    Link,
    Page,
    Paragraph,
    Table,
    is_figures,
)

_LONGEST = 1000
_MARKUP = re.compile(r"[\\`*_\[\]#!|~$]")
_BARS = re.compile(r"(\\*)\|")
_NO_URL = re.compile(r"[<>|\s]")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def markdown(page: Page) -> str:
    """Return the page as Markdown."""
    lead = "".join(map(_inline, (page.badge, " ", *page.lead)))
    head = [f"# {_text(page.title)}", lead]
    return "\n\n".join([*head, *map(_block, page.blocks)]) + "\n"


def _block(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_text(text)}"
        case Paragraph(parts):
            return "".join(map(_inline, parts))
        case Items(items):
            return "\n".join(f"- {''.join(map(_inline, parts))}" for parts in items)
        case Table(head, rows):
            ruler = ["---:" if is_figures(cells) else "---" for cells in zip(*rows, strict=True)]
            lines = [map(_text, head), ruler or ["---"] * len(head), *(map(_inline, row) for row in rows)]
            return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _inline(part: Inline | int) -> str:
    match part:
        case int():
            return f"{part:,}"
        case Code(text):
            return _code(text)
        case Link(text, url):
            return f"[{_text(text)}](<{_NO_URL.sub('', url)}>)"
        case Badge(text, _):
            return f"**{_text(text)}**"
        case str():
            return _text(part)


def _text(text: str) -> str:
    """Plain text: no link, no mention, no formatting comes of it."""
    return _MARKUP.sub(r"\\\g<0>", printable(text, _LONGEST).translate(_ENTITIES))


def _code(text: str) -> str:
    """A code span; in a table, a bar would end the cell even there, and a backslash before it hide ours."""
    shown = _BARS.sub(lambda found: r"\x5c" * len(found[1]) + r"\|", printable(text, _LONGEST)) or " "
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"
