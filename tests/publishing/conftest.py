"""Fixtures of the tests of publishing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.repositories import sha
from tests.support.steps import KEY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync


@pytest.fixture
def older(sync: Sync, bucket: Bucket, repository: Path) -> str:
    """A commit of git-sync on the branch, between two others; for tests that use ``synced``."""
    bucket.put(KEY, b"1, still")
    assert sync().exit == 0
    commit = sha(repository)
    bucket.put(KEY, b"2")
    assert sync().exit == 0
    return commit
