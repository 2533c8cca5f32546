"""What is synced, and to where: the settings that a cache and a state belong to."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pydantic import Field

from steps.contracts import ARTIFACTS
from steps.runtime.settings.fields import Bucket, BucketPrefix, Endpoint
from steps.runtime.settings.git import TargetSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


class SyncIdentity(TargetSettings):
    """Source and target of the sync, as far as the environment names them."""

    endpoint: Endpoint | None = Field(alias="MINIO_ENDPOINT", default=None)
    bucket: Bucket | None = Field(alias="MINIO_BUCKET", default=None)
    prefix: BucketPrefix = Field(alias="MINIO_PREFIX", default="clusterbackup/")

    @property
    def digest(self) -> str:
        """A hash of all six: a cache or a state with another one belongs to another sync."""
        parts = (self.endpoint, self.bucket, self.prefix, self.repository, self.branch, self.path)
        return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:16]


# The pipeline names its artifacts by these, in this order: see workflows.pipeline.
STATE_IDENTITY = (
    "MINIO_ENDPOINT",
    "MINIO_BUCKET",
    "MINIO_PREFIX",
    "GIT_REPOSITORY",
    "GIT_PATH",
    "GIT_BRANCH",
)


def argo_state_key(environ: Mapping[str, str], namespace: str) -> str:
    """Return the key of the pipeline's state, computed from the text of the settings as Argo does."""
    defaults = {field.alias: field.default for field in SyncIdentity.model_fields.values()}
    texts = (environ.get(name, defaults[name]) for name in STATE_IDENTITY)
    digest = hashlib.sha256("|".join(text or "" for text in texts).encode()).hexdigest()[:16]
    return f"{ARTIFACTS}/state/{namespace}/{digest}/sync-metadata.json"
