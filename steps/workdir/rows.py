"""Headers, rows and footers of the row files.

``steps.workdir.rowfile`` reads and writes the files. docs/contracts.md describes all of them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import AwareDatetime, Field

from steps.contracts import Document

# The last three fields of ListedRow, BaselineRow and ManifestRow are the same, so that lines of their files
# can be compared as bytes. Unchanged rows, which are nearly all rows of a run, are never decoded.


class ListedRow(NamedTuple):
    """One key of a cluster's listing; ``path`` is ``<cluster>/<rest>``.

    ``reason`` is why the key is quarantined, "" if it is not.
    """

    path: bytes
    reason: str
    size: int
    etag: str


class BaselineRow(NamedTuple):
    """One file of a cluster in Git.

    ``size`` and ``etag`` are those of the object that is known to have this content; -1 and "" if no
    object is known. The rows of a cache are the same, each with a known object.
    """

    path: bytes
    mode: str
    oid: str
    size: int
    etag: str


class ManifestHeader(Document):
    """Header of a manifest. ``listed_at`` is the server's clock at the start of the listing."""

    schema_version: Literal[2] = 2
    run_id: str
    cluster: str
    listed_at: AwareDatetime


class ManifestFooter(Document):
    """Footer of a manifest: totals of the download."""

    quarantined: dict[str, int] = Field(description="keys by reason")
    quarantined_sample: tuple[str, ...]
    excluded: int = Field(description="keys that the filters exclude")
    unchanged: int = Field(description="objects whose content is known to be in Git")
    new_objects: int = Field(description="objects whose content is not known to be in Git")
    new_bytes: int
    fetched: int
    fetched_bytes: int
    newest_object_at: AwareDatetime | None
    cache_mismatches: int = Field(description="full mode: objects for which the cache was wrong")
    rewritten: int = Field(default=0, description="objects of which volatile fields were cut")
    cut_bytes: int = Field(default=0, description="bytes of volatile fields that were cut")
    kept_exactly: int = Field(
        default=0, description="objects that may have volatile fields but cannot be rewritten with proof"
    )
    omitted: int = Field(default=0, description="objects that the policy omits")
    secrets: int = Field(
        default=0, description="Secrets, and objects with secret fields, that were redacted or excluded"
    )
    secret_paths: int = Field(default=0, description="accepted objects whose path names Secrets")
    excluded_in_git: int = Field(default=0, description="files in Git that the filters exclude")
    excluded_in_git_sample: tuple[str, ...] = ()
    non_md5_etags: int = Field(description="objects whose ETag looks like an MD5 sum but is not one")
    absences_proven: bool = Field(
        description="whether each file that the listing lacks was requested; if not, it must not be deleted"
    )
    unavailable: int = Field(description="objects that the listing names but the store does not return")
    unavailable_sample: tuple[str, ...] = Field(description="the first 20 of them: key and reason")


class RowsHeader(Document):
    """Header of a listing or plan."""

    schema_version: Literal[1] = 1
    identity: str


class BaselineHeader(Document):
    """Header of a baseline or cache."""

    schema_version: Literal[2] = 2
    identity: str
    cluster: str
    tree: str = Field(description="id of the Git tree that the rows form; empty if unknown")
    rules: str = Field(
        default="",
        description="digest of the policy that the content is written by; empty if it is the objects'",
    )


class PendingHeader(Document):
    """Header of a cluster's pending deletions; ``listed_at`` is the listing that wrote it.

    ``after`` is the listing that was published last then; null if none is known.
    """

    schema_version: Literal[1] = 1
    identity: str
    cluster: str
    listed_at: AwareDatetime
    after: AwareDatetime | None = None


class TipHeader(Document):
    """Header of the file about a commit: the rows are the entries of GIT_PATH."""

    schema_version: Literal[1] = 1
    identity: str
    commit: str


class NoFooter(Document):
    """Footer of a row file without totals."""
