"""Opens git-sync's S3 client for the bucket of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps.clients.s3.store import ObjectStore
from steps.core import limits
from steps.runtime.settings.reading import Needs, read

if TYPE_CHECKING:
    from tests.support.bucket import Bucket


def open_store(
    bucket: Bucket, *, object_seconds: int = limits.S3_OBJECT_SECONDS, **settings: str
) -> ObjectStore:
    """Return an ObjectStore for ``bucket``; ``settings`` are environment variables."""
    environment = {
        "MINIO_ENDPOINT": bucket.server.endpoint,
        "MINIO_ACCESS_KEY": bucket.server.access_key,
        "MINIO_SECRET_KEY": bucket.server.secret_key,
        "MINIO_BUCKET": bucket.name,
        "MINIO_USE_SSL": "false",
    }
    s3 = read({**environment, **settings}, Needs.MINIO).s3
    return ObjectStore(s3, object_seconds=object_seconds)
