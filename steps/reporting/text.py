"""Render a page as plain text, for terminals and logs."""

from __future__ import annotations

from steps.reporting import page


def plain_text(content: page.Page) -> str:
    """Return the page as text. No line begins with "::", which GitHub Actions would execute."""
    lead = "".join(map(_inline, (content.badge, ". ", *content.lead)))
    return "\n\n".join([page.shown(content.title), lead.strip(), *map(_block, content.blocks)]) + "\n"


def _block(block: page.Block) -> str:
    match block:
        case page.Heading(text):
            return f"{page.shown(text)}\n{'-' * len(text)}"
        case page.Paragraph(parts):
            return "".join(map(_inline, parts))
        case page.Items(items):
            return "\n".join(f"- {''.join(map(_in_item, parts))}" for parts in items)
        case page.Fold(_, content):
            return _block(content)
        case page.Table(head, rows):
            return _table([list(head), *(list(map(_inline, row)) for row in rows)])


def _table(rows: list[list[str]]) -> str:
    # "| ": a name in the first column may begin with "::".
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join(f"| {'  '.join(row)}".rstrip() for row in padded)


def _in_item(part: page.Inline | int) -> str:
    """Return the part; a badge is the category of what follows."""
    return f"[{_inline(part)}]" if isinstance(part, page.Badge) else _inline(part)


def _inline(part: page.Inline | int) -> str:
    match part:
        case int():
            return f"{part:,}"
        case page.Code(text) | page.Badge(text, _):
            return page.shown(text)
        case page.Link(text, url):
            return f"{page.shown(text)} <{page.shown(url)}>"
        case str():
            return page.shown(part)
