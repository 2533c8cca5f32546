"""The identity of a sync: its source and its target."""

from __future__ import annotations

import hashlib

import pytest

from steps.runtime.settings.identity import argo_state_key
from steps.runtime.settings.reading import read
from tests.runtime.settings.parsing import MINIO


@pytest.mark.parametrize(
    ("name", "text", "is_another"),
    [
        ("MINIO_ENDPOINT", "other:9000", True),
        ("MINIO_BUCKET", "other", True),
        ("MINIO_PREFIX", "other", True),
        ("GIT_REPOSITORY", "https://h/other", True),
        ("GIT_REPOSITORY", "", True),
        ("GIT_BRANCH", "other", True),
        ("GIT_PATH", "other", True),
        ("GIT_TOKEN", "other", False),
        ("MINIO_SECRET_KEY", "other", False),
        ("CLUSTERS", "other", False),
        ("SYNC_MODE", "full", False),
        ("WORK_DIR", "/other", False),
    ],
)
def test_identity_depends_on_source_and_target_only(name: str, text: str, is_another: bool) -> None:
    environ = MINIO | {"GIT_REPOSITORY": "https://h/r"}
    assert (read(environ | {name: text}).identity != read(environ).identity) is is_another


def test_argo_state_key_is_computed_from_texts_and_defaults() -> None:
    environ = {"MINIO_ENDPOINT": "minio:9000", "MINIO_BUCKET": "backups", "GIT_REPOSITORY": "https://h/r"}
    key = argo_state_key(environ, "backups")
    digest = hashlib.sha256(b"minio:9000|backups|clusterbackup/|https://h/r|clusterbackup/|main").hexdigest()[
        :16
    ]
    assert key == f"git-sync-artifacts/state/backups/{digest}/sync-metadata.json"
    assert argo_state_key(environ | {"GIT_BRANCH": "main"}, "backups") == key
    assert argo_state_key(environ | {"GIT_BRANCH": "other"}, "backups") != key
