"""Render a page as one self-contained HTML file: no script, font, image or network access."""

from __future__ import annotations

from html import escape

from steps.reporting import page

_NUMERIC = ' class="number"'

# Narrow screens: each table row becomes a card.
STYLE = """
:root { color-scheme: light dark; --paper: #f6f7f9; --card: #fff; --ink: #1b1f24; --soft: #5b6570;
  --line: #dfe3e8; --good: #146c2e; --good-bg: #dcf5e3; --warn: #7a4b00; --warn-bg: #fdeccb;
  --bad: #9f1c1c; --bad-bg: #fde2e0; --plain: #444c56; --plain-bg: #e8ebef; --link: #0b57d0; }
@media (prefers-color-scheme: dark) { :root { --paper: #101418; --card: #1a2027; --ink: #e6eaee;
  --soft: #9aa5b1; --line: #303840; --good: #7ee2a0; --good-bg: #12351f; --warn: #f5c069;
  --warn-bg: #3b2a08; --bad: #ff9a94; --bad-bg: #43191a; --plain: #c3ccd5; --plain-bg: #2a323a;
  --link: #8ab4f8; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
header, section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .9rem 1rem; margin: 0 0 .9rem; overflow-wrap: anywhere; }
h1 { font-size: 1.05rem; margin: 0 0 .4rem; color: var(--soft); font-weight: 600; }
h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
p { margin: .4rem 0; } .lead { font-size: 1.2rem; margin: 0; }
ul { margin: .4rem 0; padding-left: 1.2rem; } li { margin: .3rem 0; }
a, summary { color: var(--link); } summary { cursor: pointer; }
code { font: .88em/1.4 ui-monospace, Menlo, Consolas, monospace; background: var(--plain-bg);
  border-radius: .25rem; padding: .08em .3em; }
.badge { display: inline-block; border-radius: 1rem; padding: .05rem .6rem; font-weight: 600;
  font-size: .9em; margin-right: .35rem; }
.good { color: var(--good); background: var(--good-bg); }
.warn { color: var(--warn); background: var(--warn-bg); }
.bad { color: var(--bad); background: var(--bad-bg); }
.plain { color: var(--plain); background: var(--plain-bg); }
table { width: 100%; border-collapse: collapse; }
th { text-align: left; color: var(--soft); font-size: .85em; font-weight: 600; }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.badge, th, .number { overflow-wrap: normal; } .badge, td.number { white-space: nowrap; }
@media (min-width: 40.01rem) { .number + :not(.number) { padding-left: 1rem; } }
@media (max-width: 40rem) {
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody { display: block; }
  tr { display: flex; flex-wrap: wrap; gap: .1rem .9rem; padding: .5rem 0;
    border-bottom: 1px solid var(--line); }
  tr:last-child { border-bottom: 0; }
  td, td.number { border: 0; padding: 0; text-align: left; }
  td:first-child { flex-basis: 100%; font-weight: 600; }
  td:not(:first-child)::before { content: attr(data-head) " "; color: var(--soft); font-size: .85em; }
}
"""


def html(content: page.Page) -> str:
    """Return the page as HTML."""
    sections: list[list[str]] = []
    for block in content.blocks:
        if isinstance(block, page.Heading) or not sections:
            sections.append([])
        sections[-1].append(_block(block))
    body = "\n".join("\n".join(["<section>", *blocks, "</section>"]) for blocks in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{_text(content.badge.text)}: {_text(content.title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header>
<h1>{_text(content.title)}</h1>
<p class="lead">{_inline(content.badge)} {"".join(map(_inline, content.lead))}</p>
</header>
{body}
</main>
</body>
</html>
"""


def _block(block: page.Block) -> str:
    match block:
        case page.Heading(text):
            return f"<h2>{_text(text)}</h2>"
        case page.Paragraph(parts):
            return f"<p>{''.join(map(_inline, parts))}</p>"
        case page.Items(items):
            return "".join(
                ["<ul>", *(f"<li>{''.join(map(_inline, parts))}</li>" for parts in items), "</ul>"]
            )
        case page.Table():
            return _table(block)
        case page.Fold(summary, content):
            return f"<details><summary>{_text(summary)}</summary>{_block(content)}</details>"


def _table(table: page.Table) -> str:
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.head)
    head = "".join(
        f'<th scope="col"{_NUMERIC if page.is_numeric(cells) else ""}>{_text(name)}</th>'
        for name, cells in zip(table.head, columns, strict=True)
    )
    rows = "\n".join(
        f"<tr>{''.join(_cell(name, cell) for name, cell in zip(table.head, row, strict=True))}</tr>"
        for row in table.rows
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _cell(head: str, cell: page.Inline | int) -> str:
    return f'<td{_NUMERIC if isinstance(cell, int) else ""} data-head="{_text(head)}">{_inline(cell)}</td>'


def _inline(part: page.Inline | int) -> str:
    match part:
        case int():
            return f"{part:,}"
        case page.Code(text):
            return f"<code>{_text(text)}</code>"
        case page.Link(text, url):
            return f'<a href="{escape(url, quote=True)}">{_text(text)}</a>'
        case page.Badge(text, tone):
            return f'<span class="badge {tone.value}">{_text(text)}</span>'
        case str():
            return _text(part)


def _text(text: str) -> str:
    return escape(page.shown(text), quote=True)
