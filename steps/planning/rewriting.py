"""Writes what the policy leaves of a fetched object, and counts it."""

from __future__ import annotations

import hashlib
import threading
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from time import thread_time
from typing import TYPE_CHECKING

from steps.core import limits
from steps.core.changes import EXCLUDED_SECRET, FETCHED, OMITTED, REWRITTEN, ManifestRow
from steps.core.git_objects import blob_header
from steps.core.keys import Reason, printable_path
from steps.core.operations import Operation
from steps.errors import FixConfiguration
from steps.kubernetes.policy import key_id
from steps.runtime import logs
from steps.workdir.files import naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from steps.clients.s3.store import Fetched
    from steps.kubernetes.policy import Policy
    from steps.kubernetes.secrets import SecretsPolicy
    from steps.planning.figures import Figures
    from steps.runtime.settings.content import ContentSettings

TOO_LARGE = "too large"

# Larger objects are rewritten one at a time: each may take 70 MiB. One of 32 KiB takes up to 10 MiB. Python
# runs one thread at a time, so this takes no longer.
_SMALL_BYTES = limits.SMALL_REWRITTEN_BYTES

# Nearly every object takes less, so a cluster of any size can be rewritten.
_USUAL_SECONDS = 0.05

_TOO_SLOW = (
    f"rewriting its slow objects takes more than {limits.REWRITING_SECONDS} s of CPU time: exclude them with "
    "EXCLUDE, or set VOLATILE_FIELDS and SECRETS to keep"
)


@dataclass(frozen=True)
class Rewriting:
    """What a run makes of each object; ``key`` is that of the redaction."""

    policy: Policy
    key: bytes = field(default=b"", repr=False)
    _alone: threading.Lock = field(init=False, repr=False, compare=False, default_factory=threading.Lock)

    @classmethod
    def of(cls, policy: Policy, content: ContentSettings) -> Rewriting:
        """Return it for the policy of a run. Raises FixConfiguration if this step has another SECRETS_KEY."""
        key = content.key if policy.secrets_key_id else b""
        if policy.secrets_key_id != key_id(key):
            raise FixConfiguration(
                Operation.CONFIGURATION,
                "Invalid settings",
                "SECRETS_KEY: discover had another key; give every step the same key, and start a new run",
                setting="SECRETS_KEY",
            )
        return cls(policy, key)

    @cached_property
    def secrets(self) -> SecretsPolicy | None:
        """What becomes of Secrets; None if the run keeps them."""
        if not self.policy.hides_secrets or self.policy.secrets is None:
            return None
        from steps.kubernetes.secrets import SecretsPolicy  # few runs need it, and PyYAML

        return SecretsPolicy(self.policy.secrets, self.key, self.policy.rules)

    def rejects(self, path: bytes) -> Callable[[Iterator[bytes]], bool] | None:
        """Return the check of an object that is too large for the memory; None if any may be written."""
        if self.secrets is None:
            return None
        secrets, name = self.secrets, path.decode()
        return lambda chunks: secrets.may_match_chunks(name, chunks)

    def refused(self, path: bytes, reason: str, size: int, etag: str) -> ManifestRow:
        """Return the row of an object that may contain a Secret, and must not be written."""
        logs.debug(
            Operation.DOWNLOAD,
            "Object not written: it may contain a Secret",
            path=printable_path(path),
            reason=reason,
        )
        return ManifestRow(path, Reason.SECRET_UNREADABLE, "", size, etag)

    def write(self, fetched: Fetched, path: bytes, target: bytes, figures: Figures) -> ManifestRow:
        """Write the content of an object to ``target``, and return its row of the manifest.

        An object whose content is not in memory is on the disk already: it is too large to be rewritten.
        Raises FixConfiguration if the cluster has used up the time to rewrite its objects.
        """
        with self._alone if fetched.content and len(fetched.content) > _SMALL_BYTES else nullcontext():
            if figures.slow_seconds > limits.REWRITING_SECONDS:
                raise FixConfiguration(Operation.DOWNLOAD, "Failed to download", _TOO_SLOW)
            began = thread_time()
            try:
                return self._write(fetched, path, target, figures)
            finally:
                with figures.lock:
                    figures.slow_seconds += max(0, thread_time() - began - _USUAL_SECONDS)

    def _write(self, fetched: Fetched, path: bytes, target: bytes, figures: Figures) -> ManifestRow:
        size, etag = fetched.size, fetched.etag
        if fetched.content is None:
            if self.policy.strips:
                _keep_exactly(path, TOO_LARGE, figures)
            return ManifestRow(path, FETCHED, fetched.oid, size, etag)
        content = fetched.content
        if self.secrets is not None:
            treated = self.secrets.treated(path.decode(), fetched.content)
            if treated.reason:
                return self.refused(path, treated.reason, size, etag)
            with figures.lock:
                figures.secrets += treated.secrets
            if treated.content is None:
                return ManifestRow(path, EXCLUDED_SECRET, "", size, etag)
            content = treated.content
        if self.policy.strips:
            stripped = self.policy.rewrite(content)
            if stripped.content is None:
                return ManifestRow(path, OMITTED, "", size, etag)
            if stripped.reason:
                _keep_exactly(path, stripped.reason, figures)
            elif stripped.content != content:
                with figures.lock:
                    figures.rewritten += 1
                    figures.cut_bytes += len(content) - len(stripped.content)
            content = stripped.content
        with naming(target), open(target, "wb") as out:
            out.write(content)
        if content == fetched.content:
            return ManifestRow(path, FETCHED, fetched.oid, size, etag)
        length = len(content)
        blob = hashlib.sha1(blob_header(length) + content, usedforsecurity=False)
        return ManifestRow(path, f"{REWRITTEN}{length}", blob.hexdigest(), size, etag)


def _keep_exactly(path: bytes, reason: str, figures: Figures) -> None:
    logs.debug(Operation.DOWNLOAD, "Object not rewritten", path=printable_path(path), reason=reason)
    with figures.lock:
        figures.kept_exactly += 1
