"""The commit message: an exact text for people, and trailers for machines.

Trailers record what later runs need (when each cluster was listed) and what auditors ask (which
deletions were approved).

Everyone who can write to the bucket chooses the names of clusters, and Git hosts and CI systems read
messages: ``[skip ci]``, ``***NO_CI***``, ``Closes #1``, ``@name``. So names are percent-encoded, except
letters, digits, dots, dashes and underscores.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

RUN = "Git-Sync-Run"
LISTED = "Git-Sync-Listed"
ALLOWED = "Git-Sync-Allowed-Deletion"
REFUSED = "Git-Sync-Refused"
FAILED = "Git-Sync-Failed"
RULES = "Git-Sync-Rules"
SUBSTANCE = "Git-Sync-Substance"

_STAMP = "%Y-%m-%dT%H:%M:%SZ"

# Everyone who may push can write a trailer. With a zone or an interval, years 1 and 9999 overflow.
_YEARS = range(1970, 9990)


@dataclass(frozen=True)
class ClusterLine:
    """One processed cluster; ``files`` is the number of its files in Git after the commit."""

    name: str
    files: int
    listed_at: datetime


@dataclass(frozen=True)
class Changes:
    """Counts of files."""

    new: int
    modified: int
    deleted: int


def commit_message(  # noqa: PLR0913 - these are the message's parts
    *,
    started_at: datetime,
    clusters: Iterable[ClusterLine],
    changes: Changes,
    run_id: str,
    allowed: Iterable[tuple[str, str]] = (),
    refused: Iterable[tuple[str, str]] = (),
    failed: Iterable[str] = (),
    rules: str = "",
) -> str:
    """Return the whole message. ``allowed`` contains (cluster, token), ``refused`` (cluster, decision).

    ``rules`` is the digest of the policy that the content is written by; empty if it is the objects'.
    """
    lines = sorted(clusters, key=lambda cluster: cluster.name)
    trailers = [
        (RUN, quote(run_id)),
        *((LISTED, f"{_name(c.name)} {c.listed_at.astimezone(UTC).strftime(_STAMP)}") for c in lines),
        *((ALLOWED, f"{_name(cluster)} {token}") for cluster, token in sorted(allowed)),
        *((REFUSED, f"{_name(cluster)} {decision}") for cluster, decision in sorted(refused)),
        *((FAILED, _name(cluster)) for cluster in sorted(failed)),
        *([(RULES, rules)] if rules else []),
    ]
    return "\n".join(
        [
            f"Automated backup sync - {started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
            "",
            f"Clusters processed: {len(lines)}",
            *(f"- {_name(cluster.name)}: {cluster.files} files" for cluster in lines),
            "",
            f"Total files: {sum(cluster.files for cluster in lines)}",
            f"Changes: {changes.new} new, {changes.modified} modified, {changes.deleted} deleted",
            "",
            *(f"{key}: {value}" for key, value in trailers),
            "",
        ]
    )


def substance_trailer(substance: int, modified: int) -> str:
    """Return the trailer that says how many of the modified files changed in substance."""
    return f"{SUBSTANCE}: {substance} of {modified}"


def _name(cluster: str) -> str:
    return quote(cluster, safe="").replace("~", "%7E")  # RFC 3986 never needs it; GitLab reads it as a label


@dataclass(frozen=True)
class Trailers:
    """What a commit of git-sync records about itself; empty for commits by others.

    ``listed``, ``refused`` (the reason) and ``failed`` are by cluster.
    """

    run_id: str | None
    listed: Mapping[str, datetime]
    refused: Mapping[str, str] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    rules: str = ""


NO_TRAILERS = Trailers(None, MappingProxyType({}))


def parse_trailers(message: str, clusters: Collection[str] | None = None) -> Trailers:
    """Read the trailers of a commit message; malformed ones, and those about other clusters, are ignored.

    None means all clusters.
    """
    run_id: str | None = None
    listed: dict[str, datetime] = {}
    refused: dict[str, str] = {}
    failed: set[str] = set()
    rules = ""
    for line in message.rstrip("\n").rpartition("\n\n")[2].split("\n"):
        key, _, value = line.partition(": ")
        if key == RUN:
            run_id = unquote(value)
        elif key == LISTED:
            quoted, _, stamp = value.partition(" ")
            name = unquote(quoted)
            if clusters is not None and name not in clusters:
                continue
            try:
                at = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
            except ValueError:
                continue
            if at.year in _YEARS:
                listed[name] = at
        elif key == REFUSED:
            name, _, reason = value.partition(" ")
            refused[unquote(name)] = reason
        elif key == FAILED:
            failed.add(unquote(value))
        elif key == RULES:
            rules = value
    return Trailers(run_id, listed, refused, frozenset(failed), rules)
