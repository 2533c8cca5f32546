"""The guards: deleting is the dangerous direction.

A cluster's deletions are refused when they are too many at once, or when the whole cluster is gone.
Refused deletions keep their files; everything else of the cluster is still committed.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOKEN_CHARACTERS = 16

# What a list would be split at, a template would evaluate, or nobody could copy from a screen.
_NOT_COPIED = re.compile(r"[\s%,{}]")


class Vanished(StrEnum):
    """What to do with a cluster of which the bucket holds nothing any more (CLUSTER_VANISHED)."""

    REFUSE = "refuse"
    KEEP = "keep"
    DELETE = "delete"


class Decision(StrEnum):
    """What became of a cluster's deletions."""

    DELETE = "delete"
    KEEP = "keep"
    REFUSED_MASS_DELETION = "mass_deletion"
    REFUSED_VANISHED = "cluster_vanished"
    REFUSED_EMPTY_BUCKET = "empty_bucket"

    @property
    def refused(self) -> bool:
        """Whether a guard refused, so that a person has to decide."""
        return self not in {Decision.DELETE, Decision.KEEP}


@dataclass(frozen=True)
class Limits:
    """MAX_DELETE_COUNT, MAX_DELETE_PERCENT and CLUSTER_VANISHED."""

    max_delete_count: int = 5
    max_delete_percent: float = 20.0
    vanished: Vanished = Vanished.REFUSE


@dataclass(frozen=True)
class DeletionStats:
    """What one cluster's deletions would be: counts of files, and the token that names the set.

    ``in_git`` counts only what the run is about; ``kept`` is what stays whatever is decided here.
    """

    in_git: int
    accepted: int
    deletions: int
    kept: int
    token: str


def rule(
    survey: DeletionStats, limits: Limits, *, allowed: bool, left_out: bool = False, bucket_is_empty: bool
) -> Decision:
    """Decide over one cluster's deletions.

    ``allowed``: a person named this very set (--allow-delete). ``left_out``: the cluster has other
    objects, which a filter leaves out; then leave to delete vanished clusters is no leave.
    ``bucket_is_empty``: no cluster of the run has one accepted object, which is a wrong bucket or
    prefix before it is anything else. Both bounds of a mass deletion must be exceeded, the count and
    the percentage.
    """
    if survey.deletions == 0 or allowed:
        return Decision.DELETE
    if survey.accepted == 0:
        if bucket_is_empty:
            return Decision.REFUSED_EMPTY_BUCKET
        if limits.vanished is Vanished.REFUSE:
            return Decision.REFUSED_VANISHED
        if limits.vanished is Vanished.KEEP:
            return Decision.KEEP
        if not left_out:
            return Decision.DELETE
    percent = 100 * survey.deletions / survey.in_git
    if survey.deletions > limits.max_delete_count and percent > limits.max_delete_percent:
        return Decision.REFUSED_MASS_DELETION
    return Decision.DELETE


class DeletionToken:
    """Names one set of deletions: a hash of the cluster and its deleted paths in byte order.

    It allows that set and no other, so that a run resubmitted months later authorises nothing new.
    """

    def __init__(self, cluster: str) -> None:
        self._hash = hashlib.sha256(cluster.encode() + b"\0")

    def add(self, path: bytes) -> None:
        """Add the next deleted path."""
        self._hash.update(path + b"\0")

    def __str__(self) -> str:
        return self._hash.hexdigest()[:_TOKEN_CHARACTERS]


def approval(cluster: str, token: str) -> str:
    """What a person passes on to allow a set of deletions, ``<cluster>:<token>``.

    A name that would not survive being copied, listed or pasted into a template is percent-encoded there.
    """
    spelt = (quote(c, safe="") if _NOT_COPIED.match(c) or not c.isprintable() else c for c in cluster)
    return f"{''.join(spelt)}:{token}"


def is_approved(cluster: str, token: str, approvals: Iterable[str]) -> bool:
    """Whether one of the allowances is for this set of deletions; the name may also stand as it is."""
    return not {approval(cluster, token), f"{cluster}:{token}"}.isdisjoint(approvals)
