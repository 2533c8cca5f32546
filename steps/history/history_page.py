"""The history as one self-contained HTML page, with filters and a calendar.

The page contains the events as JSON, and a script that makes elements from them. Names and contents come
from buckets: the script sets texts only, never HTML, and the policy of the page allows no other script.
"""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from html import escape
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from steps.core.keys import printable
from steps.history.diff_output import STYLE_OF_DIFF
from steps.history.moments import UNDATED, stamp
from steps.reporting.html import STYLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from steps.history.events import ClusterEvents

# A page with more events is too large for a phone.
MAX_EVENTS = 20_000
_MAX_DIFF_LINES = 120


def page(found: Iterable[ClusterEvents], title: str, since: str | None, until: str | None) -> Iterator[str]:
    """Yield the lines of the page."""
    script = (Path(__file__).parent / "history_page.js").read_text()
    style = (Path(__file__).parent / "history_page.css").read_text()
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    period = f"{printable(since or 'the beginning')} to {printable(until or 'now')}"
    yield f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>History of {escape(printable(title))}</title>
<style>{STYLE}{STYLE_OF_DIFF}{style}</style>
</head>
<body>
<main>
<header><h1>History of {escape(printable(title))}</h1><p class="lead" id="count"></p>
<p>From {escape(period)}</p></header>
<section id="calendar" aria-label="Changes by day"></section>
<section id="filters" aria-label="Filters"></section>
<section id="events" aria-label="Events"></section>
<noscript><section>This page needs JavaScript. Without it, use --format text.</section></noscript>
</main>
<script type="application/json" id="data">["""
    events = _rows(found)
    for number, row in enumerate(islice(events, MAX_EVENTS)):
        yield f"{',' if number else ''}{_safe(row)}"
    more = sum(1 for _ in events)
    yield "]</script>"
    yield f'<script type="application/json" id="more">{more}</script>'
    yield f"<script>{script}</script>\n</body>\n</html>"


def _rows(found: Iterable[ClusterEvents]) -> Iterator[list[object]]:
    """Yield [commit, time, listed, cluster, kind, namespace, name, change, what, diff]."""
    for one in found:
        at = stamp(one.committed_at) if one.committed_at else UNDATED
        listed = stamp(one.listed_at) if one.listed_at else ""
        head = [one.commit[:8], at, listed, one.cluster]
        if one.first:
            yield [*head, "", "", "", "A", f"first commit with {one.first:,} files", []]
        for path, reason in one.not_read:
            yield [*head, "", "", path, "M", f"not read: {reason}", []]
        for event in one.events:
            lines = list(event.diff[:_MAX_DIFF_LINES])
            if len(event.diff) > _MAX_DIFF_LINES:
                lines.append("… more lines are not shown")
            yield [*head, event.kind, event.namespace, event.name, event.change, "; ".join(event.what), lines]


def _safe(row: list[object]) -> str:
    """Return JSON in which no text can end the script element."""
    return json.dumps(row).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
