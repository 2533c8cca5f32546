"""Render a page as Markdown (GitHub Flavored Markdown)."""

from __future__ import annotations

import re

from steps.reporting import page

_MARKUP = re.compile(r"[\\`*_\[\]#!|~$]")
_BARS = re.compile(r"(\\*)\|")
_NO_URL = re.compile(r"[<>|\s]")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def markdown(content: page.Page) -> str:
    """Return the page as Markdown."""
    lead = "".join(map(_inline, (content.badge, " ", *content.lead)))
    head = [f"# {_text(content.title)}", lead]
    return "\n\n".join([*head, *map(_block, content.blocks)]) + "\n"


def _block(block: page.Block) -> str:
    match block:
        case page.Heading(text):
            return f"## {_text(text)}"
        case page.Paragraph(parts):
            return "".join(map(_inline, parts))
        case page.Items(items):
            return "\n".join(f"- {''.join(map(_inline, parts))}" for parts in items)
        case page.Fold(summary, content):
            return f"<details><summary>{_text(summary)}</summary>\n\n{_block(content)}\n\n</details>"
        case page.Table(head, rows):
            ruler = ["---:" if page.is_numeric(cells) else "---" for cells in zip(*rows, strict=True)]
            lines = [map(_text, head), ruler or ["---"] * len(head), *(map(_inline, row) for row in rows)]
            return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _inline(part: page.Inline | int) -> str:
    match part:
        case int():
            return f"{part:,}"
        case page.Code(text):
            return _code(text)
        case page.Link(text, url):
            return f"[{_text(text)}](<{_NO_URL.sub('', url)}>)"
        case page.Badge(text, _):
            return f"**{_text(text)}**"
        case str():
            return _text(part)


def _text(text: str) -> str:
    """Escape text so that it becomes no link, mention or formatting."""
    return _MARKUP.sub(r"\\\g<0>", page.shown(text).translate(_ENTITIES))


def _code(text: str) -> str:
    """A code span. In a table a bar ends the cell even inside a code span, so bars are escaped."""
    shown = _BARS.sub(lambda found: r"\x5c" * len(found[1]) + r"\|", page.shown(text)) or " "
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"
