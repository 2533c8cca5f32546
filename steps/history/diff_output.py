"""Print what diff found: text, Markdown, HTML or JSON, object by object."""

from __future__ import annotations

import json
import re
import shlex
from html import escape
from typing import TYPE_CHECKING

from steps.core.exit_codes import Exit
from steps.core.git_objects import Change
from steps.core.keys import printable, printable_path
from steps.core.wording import plural
from steps.history.diff import compare, sides
from steps.history.session import Place, print_lines, session
from steps.kubernetes.selection import ObjectFilter
from steps.reporting.html import STYLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from steps.history.diff import Comparison, Pair, Side

_MARKUP = re.compile(r"[\\`*_\[\]#!|~$<>&]")

STYLE_OF_DIFF = """
pre.diff { overflow-x: auto; margin: .5rem 0 0; padding: .4rem .6rem; background: var(--paper);
  border-radius: .4rem; font: .82rem/1.45 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: normal; }
pre.diff ins { text-decoration: none; color: var(--good); background: var(--good-bg); }
pre.diff del { text-decoration: none; color: var(--bad); background: var(--bad-bg); }
pre.diff i { color: var(--soft); font-style: normal; }
"""


def diff(  # noqa: PLR0913 - one argument per option
    environ: Mapping[str, str],
    *,
    cluster: tuple[str, ...],
    since: str | None,
    until: str | None,
    namespace: tuple[str, ...],
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    how: str,
    repo: Path | None,
    branch: str | None,
    path: str | None,
) -> Exit:
    """Print the differences; exit 10 if a file could not be compared."""
    chosen = ObjectFilter(namespace, select, exclude)
    exit_ = Exit.OK

    def comparisons() -> Iterator[Comparison]:
        nonlocal exit_
        for before, after, objects in sides(opened, cluster, since, until):
            found = compare(opened, before, after, objects, chosen)
            if found.unread:
                exit_ = Exit.PARTIAL
            yield found

    with session(environ, Place(repo, branch, path)) as opened:
        print_lines(FORMATS[how](comparisons()))
    return exit_


def words(change: Change, comparison: Comparison, count: int = 1) -> str:
    """Return how people say it: ``new``, ``only in east``."""
    if not comparison.is_drift:
        return change.word
    side = {Change.ADDED: comparison.after, Change.DELETED: comparison.before}.get(change)
    return f"only in {printable(side.cluster)}" if side else "differs" if count == 1 else "differ"


def name_of(pair: Pair) -> str:
    """Return kind, namespace and name, as in ``Deployment shop/cart``."""
    identity = pair.newer.facts.identity
    place = f"{pair.namespace}/{identity.name}" if pair.namespace else identity.name
    return printable(f"{identity.kind or 'document'} {place}".strip())


def statement(side: Side) -> str:
    """Return what was compared, as in ``east as listed …, commit 689f995b``."""
    if side.snapshot is None:
        return f"{printable(side.cluster)} does not exist, commit {side.commit[:8]}"
    return side.snapshot.statement


def summary(comparison: Comparison) -> str:
    """Return the numbers in one sentence."""
    counts = comparison.counts
    parts = [f"{counts[kind]:,} {words(kind, comparison, counts[kind])}" for kind in Change if counts[kind]]
    found = f"{plural(len(comparison.pairs), 'object')}: {', '.join(parts)}" if parts else "no differences"
    volatile = comparison.volatile
    rest = f"; {plural(volatile, 'object')} with changes in volatile fields only" if volatile else ""
    return f"{found}{rest}"


def live_commands(comparison: Comparison) -> list[str]:
    """Return the commands that compare the live cluster with its later backup; empty for two clusters.

    They are those of docs/restore.md. Names come from the bucket, so they are quoted.
    """
    side, chosen = comparison.after, comparison.chosen
    if side.snapshot is None or comparison.is_drift:
        return []
    options = {
        "--namespace": chosen.namespaces,
        "--select": chosen.select,
        "--exclude": chosen.exclude,
    }
    given = [part for name, values in options.items() for value in values for part in (name, value)]
    words = ["git-sync", "restore", "--cluster", side.cluster, *given, "--at", side.commit]
    return [
        shlex.join(printable(word, len(word)) for word in (*words, "--output", "restored")),
        'for stage in restored/0*; do kubectl diff --server-side --recursive --filename "$stage"; done',
    ]


def warnings_of(comparison: Comparison) -> list[str]:
    """Return the warnings about both sides, each once."""
    sides = (comparison.before, comparison.after)
    found = [text for side in sides if side.snapshot for text in side.snapshot.warnings]
    unread = (f"{printable_path(one.path)} is not compared: {one.reason}" for one in comparison.unread)
    return [*dict.fromkeys(found), *unread]


def text(comparisons: Iterable[Comparison]) -> Iterator[str]:
    """Yield lines of plain text. None begins with "::", which GitHub Actions would execute."""
    for comparison in comparisons:
        yield f"--- {statement(comparison.before)}"
        yield f"+++ {statement(comparison.after)}"
        yield from (f"warning: {warning}" for warning in warnings_of(comparison))
        yield f"# {summary(comparison)}"
        for pair, lines in comparison.diffs():
            yield ""
            yield f"# {name_of(pair)}: {words(pair.change, comparison)}"
            yield from lines
        yield ""
        if commands := live_commands(comparison):
            yield "# to compare the live cluster:"
            yield from (f"#   {command}" for command in commands)
            yield ""


def markdown(comparisons: Iterable[Comparison]) -> Iterator[str]:
    """Yield lines of GitHub Flavored Markdown."""
    for comparison in comparisons:
        yield f"## {_escaped(comparison.after.cluster)}: {_escaped(summary(comparison))}\n"
        yield f"- from {_escaped(statement(comparison.before))}"
        yield f"- to {_escaped(statement(comparison.after))}"
        yield from (f"- **warning**: {_escaped(warning)}" for warning in warnings_of(comparison))
        yield ""
        for pair, lines in comparison.diffs():
            yield f"### {_escaped(name_of(pair))}: {_escaped(words(pair.change, comparison))}\n"
            longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
            fence = "`" * max(3, longest + 1)
            yield f"{fence}diff"
            yield from lines
            yield f"{fence}\n"
        if commands := live_commands(comparison):
            yield from ("To compare the live cluster:\n", *(f"    {command}" for command in commands), "")


def _escaped(shown: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", printable(shown, len(shown)))


def html(comparisons: Iterable[Comparison]) -> Iterator[str]:
    """Yield the lines of one self-contained page, without scripts."""
    yield f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Differences</title>
<style>{STYLE}{STYLE_OF_DIFF}</style>
</head>
<body>
<main>"""
    for comparison in comparisons:
        yield f"<header><h1>{escape(printable(comparison.after.cluster))}</h1>"
        yield f'<p class="lead">{escape(summary(comparison))}</p>'
        yield f"<p>From {escape(statement(comparison.before))}</p>"
        yield f"<p>To {escape(statement(comparison.after))}</p>"
        yield from (f"<p>Warning: {escape(warning)}</p>" for warning in warnings_of(comparison))
        yield "</header>"
        for pair, lines in comparison.diffs():
            name, what = escape(name_of(pair)), escape(words(pair.change, comparison))
            yield f"<section><details open><summary>{name}: {what}</summary>"
            yield f'<pre class="diff">{diff_html(lines)}</pre></details></section>'
        if commands := live_commands(comparison):
            yield '<p>To compare the live cluster:</p><pre class="diff">'
            yield from map(escape, commands)
            yield "</pre>"
    yield "</main>\n</body>\n</html>"


def diff_html(lines: Iterable[str]) -> str:
    """Return the lines of a diff as HTML for ``<pre class="diff">``."""
    tags = {"+": "ins", "-": "del", "@": "i"}
    return "\n".join(
        f"<{tag}>{escape(line)}</{tag}>" if (tag := tags.get(line[:1])) else escape(line) for line in lines
    )


def as_json(comparisons: Iterable[Comparison]) -> Iterator[str]:
    """Yield one JSON document: a list of comparisons."""
    yield "["
    for index, comparison in enumerate(comparisons):
        head = {
            "from": _side(comparison.before),
            "to": _side(comparison.after),
            "volatile": comparison.volatile,
            "not_read": [
                {"path": printable_path(one.path), "reason": one.reason} for one in comparison.unread
            ],
        }
        yield f'{"," if index else ""}{json.dumps(head, ensure_ascii=True)[:-1]}, "objects": ['
        for number, (pair, lines) in enumerate(comparison.diffs()):
            yield f"{',' if number else ''}{json.dumps(_object(pair, lines, comparison), ensure_ascii=True)}"
        yield "]}"
    yield "]"


def _side(side: Side) -> dict[str, object]:
    if side.snapshot is None:
        return {"cluster": side.cluster, "commit": side.commit, "listed_at": None, "warnings": []}
    return side.snapshot.document()


def _object(pair: Pair, lines: list[str], comparison: Comparison) -> dict[str, object]:
    identity = pair.newer.facts.identity
    return {
        "change": words(pair.change, comparison),
        "group": identity.group,
        "kind": identity.kind,
        "namespace": pair.namespace,
        "name": identity.name,
        "path": printable_path(pair.newer.path[1:]),
        "metadata_only": pair.level.name == "METADATA",
        "diff": lines,
    }


FORMATS = {"text": text, "markdown": markdown, "html": html, "json": as_json}
