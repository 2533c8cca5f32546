"""Edits by others below GIT_PATH, and how the log names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.repositories import (
    commit_files,
    contents,
)
from tests.support.steps import FIRST, KEY, prepare, publish

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

pytestmark = pytest.mark.usefixtures("synced")


def test_edit_by_others_during_a_run_is_reverted_and_logged_as_a_conflict(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    commit_files(repository, {KEY: b"theirs", "clusterbackup/west/stray": b"theirs"})
    outcome = publish(sync, "a")
    assert outcome.exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}
    conflicts = outcome.of("git_commit", "error")
    assert {(line["message"], line["error"]) for line in conflicts} == {
        ("Git conflict detected", f"merge conflict in {KEY}"),
        ("Git conflict detected", "merge conflict in clusterbackup/west/stray"),
    }
