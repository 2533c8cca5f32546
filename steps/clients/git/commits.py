"""What git-sync needs of a commit, read within a budget: everybody who may push chooses its size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from steps.core.limits import COMMIT_BYTES, COMMITS_BYTES
from steps.core.message import NO_TRAILERS, Trailers, parse_trailers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

# Commits that one git command returns; its output is in memory.
_BATCH_BYTES = COMMIT_BYTES

_EMAIL = re.compile(rb"^(?:author|committer) [^<\n]*<([^>\n]*)>", re.MULTILINE)


class Commit(NamedTuple):
    """A commit. One that is over the limits is not ``readable``, and has no emails and no trailers."""

    oid: str
    readable: bool = False
    emails: frozenset[str] = frozenset()
    trailers: Trailers = NO_TRAILERS


def readable(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Yield the ids of the commits within the limits, in batches. ``sizes`` has the newest commit first."""
    batch: list[str] = []
    batch_bytes = total = 0
    for oid, size in sizes.items():
        if size > COMMIT_BYTES:
            continue
        total += size
        if total > COMMITS_BYTES:
            break
        if batch and batch_bytes + size > _BATCH_BYTES:
            yield batch
            batch, batch_bytes = [], 0
        batch.append(oid)
        batch_bytes += size
    if batch:
        yield batch


def parsed(oid: str, raw: bytes, clusters: Collection[str]) -> Commit:
    """Return the commit with this content; of its trailers about clusters only those about ``clusters``."""
    head, _, message = raw.partition(b"\n\n")
    emails = frozenset(email.decode(errors="replace") for email in _EMAIL.findall(head))
    trailers = parse_trailers(message.decode(errors="replace"), clusters)
    return Commit(oid, readable=True, emails=emails, trailers=trailers)
