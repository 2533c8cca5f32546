"""The deletion guard: it refuses a cluster's deletions when they are too many or the cluster is gone.

The files of refused deletions stay in Git; every other change of the cluster is still committed.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

from steps.core.approvals import TOKEN_CHARACTERS
from steps.core.namespaces import NamespaceVanished

if TYPE_CHECKING:
    from collections.abc import Iterable

# More files are a loss of backups, not stray files. The state stores the paths of all foreign files.
MOST_FOREIGN_FILES = 1000

# Characters at which a list is split, that a template evaluates, or that cannot be copied from a screen.
_NOT_COPIED = re.compile(r"[\s%,{}]")


class Vanished(StrEnum):
    """What to do with a cluster that the bucket no longer contains (CLUSTER_VANISHED)."""

    REFUSE = "refuse"
    KEEP = "keep"
    DELETE = "delete"


class ForeignFiles(StrEnum):
    """What to do with files that no run has written, if their deletion would be refused (FOREIGN_FILES)."""

    KEEP = "keep"
    REMOVE = "remove"


class Decision(StrEnum):
    """The guard's decision about a cluster's deletions."""

    DELETE = "delete"
    KEEP = "keep"
    REFUSED_MASS_DELETION = "mass_deletion"
    REFUSED_VANISHED = "cluster_vanished"
    REFUSED_EMPTY_BUCKET = "empty_bucket"
    REFUSED_NAMESPACE = "namespace_vanished"
    REFUSED_POLICY = "emptied_by_policy"

    @property
    def refused(self) -> bool:
        """Whether the guard refused the deletions, so that a person has to decide."""
        return self in REFUSALS


# Why the guard refused: the one text for the log, the report and the notification.
REFUSALS = {
    Decision.REFUSED_MASS_DELETION: "more than MAX_DELETE_COUNT and MAX_DELETE_PERCENT allow",
    Decision.REFUSED_VANISHED: "the bucket no longer contains this cluster",
    Decision.REFUSED_NAMESPACE: "the bucket no longer contains a namespace, and NAMESPACE_VANISHED is refuse",
    Decision.REFUSED_POLICY: "VOLATILE_FIELDS, RULES_FILE or SECRETS omit every object of the cluster",
    Decision.REFUSED_EMPTY_BUCKET: "the bucket contains no cluster; check MINIO_BUCKET and MINIO_PREFIX",
}


@dataclass(frozen=True)
class DeletionLimits:
    """MAX_DELETE_COUNT, MAX_DELETE_PERCENT, CLUSTER_VANISHED, FOREIGN_FILES and NAMESPACE_VANISHED."""

    max_delete_count: int = 5
    max_delete_percent: float = 20.0
    vanished: Vanished = Vanished.REFUSE
    foreign_files: ForeignFiles = ForeignFiles.KEEP
    namespace_vanished: NamespaceVanished = NamespaceVanished.REPORT


@dataclass(frozen=True)
class DeletionStats:
    """Counts of one cluster's files, and the token that identifies the set of deletions.

    ``in_git`` counts the files that the filters select; ``kept`` counts those that always stay in Git.
    ``emptied``: a change of the policy removes the last files, and the deletions contain all that it removes,
    except Secrets.
    """

    in_git: int
    accepted: int
    deletions: int
    kept: int
    token: str
    emptied: bool = False


def decide(
    stats: DeletionStats,
    limits: DeletionLimits,
    *,
    approved: bool,
    excluded: bool = False,
    bucket_is_empty: bool,
) -> Decision:
    """Decide about one cluster's deletions.

    ``approved``: a person approved exactly this set (--allow-delete). ``excluded``: the cluster has
    other objects, which a filter excludes; then CLUSTER_VANISHED=delete does not apply to it.
    ``bucket_is_empty``: no cluster of the run has an accepted object, so the bucket or the prefix is
    probably wrong. A mass deletion exceeds both limits, the count and the percentage.
    """
    if stats.deletions == 0 or approved:
        return Decision.DELETE
    if stats.emptied:
        return Decision.REFUSED_POLICY
    if stats.accepted == 0:
        if bucket_is_empty:
            return Decision.REFUSED_EMPTY_BUCKET
        if limits.vanished is Vanished.REFUSE:
            return Decision.REFUSED_VANISHED
        if limits.vanished is Vanished.KEEP:
            return Decision.KEEP
        if not excluded:
            return Decision.DELETE
    percent = 100 * stats.deletions / stats.in_git
    if stats.deletions > limits.max_delete_count and percent > limits.max_delete_percent:
        return Decision.REFUSED_MASS_DELETION
    return Decision.DELETE


class DeletionToken:
    """Identifies one set of deletions: a hash of branch, cluster, deleted paths in byte order, and blob ids.

    It approves only that set with that content. So a run that is resubmitted months later approves nothing
    new, even if the cluster was created again with the same paths.
    """

    def __init__(self, cluster: str, branch: str | None) -> None:
        self._hash = hashlib.sha256(f"{branch or ''}\0{cluster}\0".encode())

    def add(self, path: bytes, oid: str) -> None:
        """Add the next deleted path, with the id of its blob."""
        self._hash.update(b"%b\0%b\0" % (path, oid.encode()))

    def __str__(self) -> str:
        return self._hash.hexdigest()[:TOKEN_CHARACTERS]


class DeletionCount:
    """Counts a cluster's files in Git while they are compared with its listing.

    ``unchanged`` is the number of unchanged objects that the caller does not count one by one.
    """

    def __init__(self, cluster: str, branch: str | None, *, unchanged: int = 0) -> None:
        self.in_git = self.accepted = unchanged
        self.kept = self.omitted = 0
        self._guarded = self._unguarded = 0
        self._token, self._token_of_all = DeletionToken(cluster, branch), DeletionToken(cluster, branch)

    def add_deletion(self, path: bytes, oid: str, *, guarded: bool = True) -> None:
        """Count the next file that the run would delete, in byte order, with the id of its blob.

        A change of the policy may delete files that are not guarded, unless it removes all of the cluster.
        """
        self.in_git += 1
        self._token_of_all.add(path, oid)
        if guarded:
            self._guarded += 1
            self._token.add(path, oid)
        else:
            self._unguarded += 1

    @property
    def stats(self) -> DeletionStats:
        """The counts so far; ``omitted`` of the accepted objects are not in Git after the run."""
        emptied = self._unguarded > 0 and self.accepted == self.omitted and not self.kept
        deletions = self._guarded + (self._unguarded if emptied else 0)
        token = self._token_of_all if emptied else self._token
        return DeletionStats(self.in_git, self.accepted, deletions, self.kept, str(token), emptied)


def approval(cluster: str, token: str) -> str:
    """Return the value of --allow-delete that approves a set of deletions: ``<cluster>:<token>``.

    Characters of the name that copying, a list or a template would change are percent-encoded.
    """
    spelt = (quote(c, safe="") if _NOT_COPIED.match(c) or not c.isprintable() else c for c in cluster)
    return f"{''.join(spelt)}:{token}"


def is_approved(cluster: str, token: str, approvals: Iterable[str]) -> bool:
    """Whether one of the approvals is for this set of deletions; the name may also be unencoded."""
    return not {approval(cluster, token), f"{cluster}:{token}"}.isdisjoint(approvals)


def is_named(cluster: str, approvals: Iterable[str]) -> bool:
    """Whether one of the approvals is for some set of deletions of the cluster."""
    names = {cluster, approval(cluster, "")[:-1]}
    return any(one.rpartition(":")[0] in names for one in approvals)
