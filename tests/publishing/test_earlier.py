"""A repeated publish finds the changes of an earlier attempt on the branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.hooks import By, Words, refuse
from tests.support.refused import GOOD, SECRET, TOKEN, refused
from tests.support.repositories import commit_files, contents, log, sha
from tests.support.steps import FIRST, KEY, prepare, publish, publish_again, result

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


FORGED = "x\n\nGit-Sync-Run: a\n"


def test_publish_starts_no_process_for_each_forged_commit(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(GOOD)
    prepare(sync, "a")
    for number in range(45):
        commit_files(repository, {"README.md": b"%d" % number}, message=FORGED)
    done = sync("publish", "--run-id", "a", LOG_LEVEL="debug")
    assert done.exit == 0
    commands = [line["message"] for line in done.of("git_command")]
    assert commands.count("git diff-tree") < 4
    assert contents(repository) == FIRST | GOOD | {"README.md": b"44"}


@pytest.mark.parametrize(
    "forged",
    [
        {KEY: b"another version"},
        {KEY: None},
        {"clusterbackup/east/other.yaml": b"x"},
        {KEY: b"2", "README.md": b"x"},
        {KEY: b"2", "clusterbackup/west/new.yaml": b"x", "clusterbackup/west/other": b"x"},
        {KEY: b"2", "clusterbackup/west/new.yaml": ("100755", b"x")},
    ],
)
def test_publish_ignores_a_forged_commit_with_another_change_than_the_plan(
    forged: dict[str, bytes | tuple[str, bytes] | None], sync: Sync, bucket: Bucket, repository: Path
) -> None:
    wanted = {KEY: b"2", "clusterbackup/west/new.yaml": b"x"}
    bucket.put_many(wanted)
    prepare(sync, "a")
    commit_files(repository, forged, FORGED)
    assert publish(sync, "a").exit == 0
    assert sync().exit == 0
    found = contents(repository)
    assert {path: found[path] for path in FIRST | wanted} == FIRST | wanted


def test_publish_says_that_a_forged_commit_with_a_part_of_the_plan_is_not_all(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many({KEY: b"2", "clusterbackup/west/new.yaml": b"x"})
    prepare(sync, "a")
    commit_files(repository, {KEY: b"2"}, FORGED)
    assert publish(sync, "a").exit == 10
    assert sum(cluster["changes_deferred"] for cluster in result(sync, "a")["clusters"]) == 1
    assert sync().exit == 0
    assert contents(repository) == FIRST | {KEY: b"2", "clusterbackup/west/new.yaml": b"x"}


def test_publish_is_not_misled_by_a_forged_commit_on_top_of_its_own(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    assert publish(sync, "a").exit == 0
    commit_files(repository, {KEY: b"forged"}, FORGED)
    assert publish_again(sync, "a").exit == 0
    assert contents(repository) == FIRST | {KEY: b"2"}
