"""Print the history of objects, or one line for each commit: text, Markdown, HTML or JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING

from steps.core.exit_codes import Exit
from steps.core.git_objects import Change
from steps.core.wording import plural, shortened
from steps.history.events import Pattern, Query, events
from steps.history.history_page import page
from steps.history.moments import UNDATED, stamp
from steps.history.session import Place, print_lines, session
from steps.kubernetes.selection import ObjectFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from steps.history.events import ClusterEvents, Event

NOTHING = "No changes in this period."

# Kinds that come first in the line of a commit.
_FIRST = ("ClusterRoleBinding", "RoleBinding", "ClusterRole", "Role", "Secret", "NetworkPolicy")
_NAMED_OF_KIND = 2
_KINDS = 6
_CHARACTERS = 120
_MARKUP = re.compile(r"[\\`*_\[\]#!|~$<>&]")


def history(  # noqa: PLR0913 - one argument per option
    environ: Mapping[str, str],
    *,
    pattern: str | None,
    since: str | None,
    until: str | None,
    with_volatile: bool,
    namespace: tuple[str, ...],
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    how: str,
    repo: Path | None,
    branch: str | None,
    path: str | None,
) -> Exit:
    """Print the history; exit 10 if a file could not be read."""
    parsed = Pattern.parse(pattern) if pattern is not None else None
    exit_ = Exit.OK

    def noted(found: Iterable[ClusterEvents]) -> Iterator[ClusterEvents]:
        nonlocal exit_
        for one in found:
            if one.not_read:
                exit_ = Exit.PARTIAL
            yield one

    with session(environ, Place(repo, branch, path)) as opened:
        query = Query(
            parsed,
            ObjectFilter(namespace, select, exclude),
            opened.moment("--since", since, start_of_day=True) if since is not None else None,
            opened.moment("--until", until),
            with_volatile=with_volatile,
            with_diffs=how == "html",
        )
        found = noted(events(opened, query))
        match how:
            case "html":
                lines = page(found, pattern or "all objects", since, until)
            case "json":
                lines = as_json(found)
            case "markdown":
                lines = markdown(found, is_detailed=pattern is not None)
            case _:
                lines = text(found, is_detailed=pattern is not None)
        print_lines(lines)
    return exit_


def text(found: Iterable[ClusterEvents], *, is_detailed: bool) -> Iterator[str]:
    """Yield lines of plain text: one for each commit, or one for each change of an object."""
    is_empty = True
    for one in found:
        is_empty = False
        at = f"{one.committed_at:%Y-%m-%d %H:%M}" if one.committed_at else f"{UNDATED:16}"
        head = f"{at}  {one.commit[:8]}  {one.cluster}"
        if one.first:
            yield f"{head}: first commit with {plural(one.first, 'file')}"
        elif is_detailed:
            yield from (
                f"{head}  {name_of(event)}: {'; '.join(event.what)}{_notes(one)}" for event in one.events
            )
        elif one.events:
            yield f"{head}: {summary(one.events)}{_notes(one)}"
        yield from (f"{head}: not read: {path}: {reason}" for path, reason in one.not_read)
    if is_empty:
        yield NOTHING


def markdown(found: Iterable[ClusterEvents], *, is_detailed: bool) -> Iterator[str]:
    """Yield the same as a list in Markdown."""
    for line in text(found, is_detailed=is_detailed):
        yield "- " + _MARKUP.sub(r"\\\g<0>", line)


def as_json(found: Iterable[ClusterEvents]) -> Iterator[str]:
    """Yield a JSON document: a list with one entry for each cluster that a commit changed."""
    yield "["
    for number, one in enumerate(found):
        document = {
            "commit": one.commit,
            "committed_at": stamp(one.committed_at) if one.committed_at else None,
            "cluster": one.cluster,
            "listed_at": stamp(one.listed_at) if one.listed_at else None,
            "is_run": one.is_run,
            "files_of_first_commit": one.first,
            "not_read": [{"path": path, "reason": reason} for path, reason in one.not_read],
            "objects": [
                {
                    "change": event.change.word,
                    "level": event.level.name.lower(),
                    "group": event.group,
                    "kind": event.kind,
                    "namespace": event.namespace,
                    "name": event.name,
                    "path": event.path,
                    "what": list(event.what),
                }
                for event in one.events
            ],
        }
        yield f"{',' if number else ''}{json.dumps(document)}"
    yield "]"


def name_of(event: Event) -> str:
    """Return kind, namespace and name, as in ``Deployment shop/cart``."""
    return f"{event.kind} {event.namespace}/{event.name}" if event.namespace else f"{event.kind} {event.name}"


def _notes(one: ClusterEvents) -> str:
    if not one.is_run:
        return " (not a commit of git-sync)"
    return f" (listed {stamp(one.listed_at)})" if one.listed_at else ""


def summary(found: Iterable[Event]) -> str:
    """Return one line about a commit, as in ``2 Deployments (cart main: 1.4 → 1.5), 1 Role (…)``."""
    kinds: dict[str, list[Event]] = {}
    for event in found:
        kinds.setdefault(event.kind, []).append(event)
    order = sorted(kinds, key=lambda kind: (_FIRST.index(kind) if kind in _FIRST else len(_FIRST), kind))
    parts = [_of_kind(kind, kinds[kind]) for kind in order[:_KINDS]]
    if more := sum(len(kinds[kind]) for kind in order[_KINDS:]):
        parts.append(f"{more:,} of other kinds")
    return ", ".join(parts)


def _of_kind(kind: str, found: list[Event]) -> str:
    # A change of substance says more than a new object, and that more than labels.
    ranked = sorted(found, key=lambda event: (event.change != Change.MODIFIED, -event.level))
    names = Counter(event.name for event in found)
    named = [
        shortened(f"{_place(event, names)} {event.what[0]}".strip(), _CHARACTERS)
        for event in ranked[:_NAMED_OF_KIND]
        if event.what
    ]
    rest = ", …" if len(found) > len(named) else ""
    return f"{len(found):,} {kind if len(found) == 1 else _plural(kind)} ({', '.join(named)}{rest})"


def _place(event: Event, names: Counter[str]) -> str:
    """Return the name, with the namespace if objects of several namespaces have it."""
    is_unique = names[event.name] == 1 or not event.namespace
    return event.name if is_unique else f"{event.name} in {event.namespace}"


def _plural(kind: str) -> str:
    if re.search(r"[^aeiou]y$", kind):
        return f"{kind[:-1]}ies"
    return f"{kind}es" if kind.endswith(("s", "x", "ch")) else f"{kind}s"
