"""Writes what the policy leaves of a fetched object, and counts it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from steps.core.changes import FETCHED, OMITTED, REWRITTEN, ManifestRow
from steps.core.git_objects import blob_header
from steps.core.keys import printable_path
from steps.core.operations import Operation
from steps.runtime import logs
from steps.workdir.files import naming

if TYPE_CHECKING:
    from steps.clients.s3.store import Fetched
    from steps.kubernetes.policy import Policy
    from steps.planning.figures import Figures


def write_by_policy(
    policy: Policy, fetched: Fetched, path: bytes, target: bytes, figures: Figures
) -> ManifestRow:
    """Write the content of an object to ``target``, and return its row of the manifest.

    An object whose content is not in memory is on the disk already: it is too large to be rewritten.
    """
    content = fetched.content
    if content is None:
        _keep_exactly(path, "too large", figures)
        return ManifestRow(path, FETCHED, fetched.oid, fetched.size, fetched.etag)
    result = policy.rewrite(content)
    if result.content is None:
        return ManifestRow(path, OMITTED, "", fetched.size, fetched.etag)
    with naming(target), open(target, "wb") as out:
        out.write(result.content)
    if result.reason:
        _keep_exactly(path, result.reason, figures)
    if result.content == content:
        return ManifestRow(path, FETCHED, fetched.oid, fetched.size, fetched.etag)
    length = len(result.content)
    with figures.lock:
        figures.rewritten += 1
        figures.cut_bytes += len(content) - length
    blob = hashlib.sha1(blob_header(length) + result.content, usedforsecurity=False)
    return ManifestRow(path, f"{REWRITTEN}{length}", blob.hexdigest(), fetched.size, fetched.etag)


def _keep_exactly(path: bytes, reason: str, figures: Figures) -> None:
    logs.debug(Operation.DOWNLOAD, "Object not rewritten", path=printable_path(path), reason=reason)
    with figures.lock:
        figures.kept_exactly += 1
