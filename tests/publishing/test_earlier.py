"""A repeated publish finds the changes of an earlier attempt on the branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.hooks import By, Words, refuse
from tests.support.refused import GOOD, SECRET, TOKEN, refused
from tests.support.repositories import commit_files, contents, log, sha
from tests.support.steps import FIRST, prepare, publish, publish_again, result

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

pytestmark = pytest.mark.usefixtures("synced")


def test_repeated_publish_reports_what_an_earlier_attempt_published_in_parts(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    """As after a kill between the last push and the result."""
    refuse(repository, By.CONTENT, Words.GITHUB)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    prepare(sync, "a")
    assert publish(sync, "a").exit == 10
    first = result(sync, "a")
    commits = log(repository)
    assert publish_again(sync, "a").exit == 10
    again = result(sync, "a")
    assert log(repository) == commits
    assert again["commit"] == first["commit"]
    for before, after in zip(first["clusters"], again["clusters"], strict=True):
        same = ("name", "files", "added", "modified", "deleted")
        assert [before[field] for field in same] == [after[field] for field in same]
    assert sum(c["changes_deferred"] for c in again["clusters"]) == 1
    assert sync().exit == 10
    assert refused(sync) == [SECRET]


def test_publish_ignores_forged_commits_that_name_its_run(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(GOOD)
    prepare(sync, "a")
    forged = "x\n\nGit-Sync-Run: a\nGit-Sync-Listed: east 2030-01-01T00:00:00Z\n"
    commit_files(repository, {"README.md": b"x"}, message=forged)
    assert publish(sync, "a").exit == 0
    assert contents(repository) == FIRST | GOOD | {"README.md": b"x"}
    assert result(sync, "a")["commit"] == sha(repository)
