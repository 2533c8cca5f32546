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
    assert [line["data"]["conflicts"] for line in conflicts] == [2, 2]
    assert {(line["message"], line["error"]) for line in conflicts} == {
        ("Git conflict detected", f"merge conflict in {KEY}"),
        ("Git conflict detected", "merge conflict in clusterbackup/west/stray"),
    }


def test_conflicts_beyond_20_are_counted_and_not_logged(sync: Sync, bucket: Bucket, repository: Path) -> None:
    edited = [f"clusterbackup/west/edited-{number:02}" for number in range(22)]
    bucket.put_many(dict.fromkeys(edited, b"1"))
    assert sync().exit == 0
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    commit_files(repository, dict.fromkeys(edited, b"theirs"))
    conflicts = publish(sync, "a").of("git_commit", "error")
    assert [line["error"][-2:] for line in conflicts] == [f"{number:02}" for number in range(20)]
    assert {line["data"]["conflicts"] for line in conflicts} == {22}
    assert contents(repository) == FIRST | {KEY: b"2"} | dict.fromkeys(edited, b"1")


def test_commits_by_others_outside_git_path_are_no_conflict(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "a")
    commit_files(repository, {"README.md": b"theirs"})
    assert not publish(sync, "a").of("git_commit", "error")


def test_changes_by_another_run_are_no_conflict(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    bucket.put_many({KEY: b"2", "clusterbackup/west/new.yaml": b"new"})
    prepare(sync, "a")
    assert sync.elsewhere(tmp_path / "other")("run", "--clusters", "east").exit == 0
    outcome = publish(sync, "a")
    assert outcome.exit == 0
    assert not outcome.of("git_commit", "error")
    assert contents(repository) == FIRST | {KEY: b"2", "clusterbackup/west/new.yaml": b"new"}


def test_edit_by_others_between_two_runs_is_logged_as_a_conflict(sync: Sync, repository: Path) -> None:
    commit_files(repository, {KEY: b"theirs"})
    outcome = sync()
    assert outcome.exit == 0
    assert [line["error"] for line in outcome.of("git_commit", "error")] == [f"merge conflict in {KEY}"]
    assert contents(repository) == FIRST
