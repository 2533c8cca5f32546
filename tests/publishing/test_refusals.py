"""The changes that the host refused before: later runs skip them, and try again when they may be accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.hooks import By, Words, pushes, refuse, reset
from tests.support.refused import GOOD, SECRET, TOKEN, cluster, refused, without
from tests.support.repositories import commit_files, contents, log, message
from tests.support.steps import FIRST, KEY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

pytestmark = pytest.mark.usefixtures("synced")


def test_next_run_skips_refused_objects_and_reports_them(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT, Words.GITHUB)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    sync()
    before = pushes(repository), sync.state["refused_by_host"]
    bucket.put(KEY, b"3")
    outcome = sync()
    assert outcome.exit == 10
    assert contents(repository) == FIRST | GOOD | {KEY: b"3"}
    assert pushes(repository) == before[0] + 1
    assert sync.state["refused_by_host"] == before[1]
    assert "Git-Sync-Refused: west refused_by_host" in message(repository)
    (line,) = outcome.of("git_push", "warning")
    assert line["message"] == "1 change skipped: the Git host has refused the same content before"


def test_run_with_only_refused_changes_commits_nothing(sync: Sync, bucket: Bucket, repository: Path) -> None:
    refuse(repository, By.CONTENT, Words.GITHUB)
    bucket.put_many(GOOD | {SECRET: TOKEN, KEY: TOKEN + b"2"})
    sync()
    before = log(repository), pushes(repository)
    outcome = sync()
    assert outcome.exit == 10
    assert (log(repository), pushes(repository)) == before
    assert sync.state["last_run"]["commit"] is None
    assert refused(sync) == [KEY, SECRET]
    assert cluster(sync, "east")["files"] == 26
    assert cluster(sync, "west")["files"] == 6


def test_refused_object_is_published_once_its_content_changes(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT, Words.GITHUB)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    sync()
    bucket.put(SECRET, b"fixed")
    assert sync().exit == 0
    assert contents(repository) == FIRST | GOOD | {SECRET: b"fixed"}
    assert sync.state["refused_by_host"] == []
    assert sync.state["clusters"]["west"]["refused_by_host"] == 0


def test_refused_object_that_changes_is_suspected_first(sync: Sync, bucket: Bucket, repository: Path) -> None:
    """The host's message names no path, but the host refused this path before."""
    refuse(repository, By.CONTENT)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    sync()
    before = pushes(repository)
    bucket.put_many({key: body + b"3" for key, body in GOOD.items()} | {SECRET: TOKEN + b"3"})
    assert sync().exit == 10
    assert pushes(repository) == before + 3
    assert refused(sync) == [SECRET]


def test_full_mode_tries_refused_objects_again(sync: Sync, bucket: Bucket, repository: Path) -> None:
    refuse(repository, By.CONTENT, Words.GITHUB)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    sync()
    assert sync(SYNC_MODE="full").exit == 10
    assert refused(sync) == [SECRET]
    reset(repository)
    assert sync().exit == 10
    assert sync(SYNC_MODE="full").exit == 0
    assert contents(repository) == FIRST | GOOD | {SECRET: TOKEN}
    assert sync.state["refused_by_host"] == []


def test_lost_working_directory_only_repeats_the_search(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    refuse(repository, By.CONTENT, Words.GITHUB)
    bucket.put_many(GOOD | {SECRET: TOKEN, KEY: TOKEN})
    sync()
    before = log(repository)
    other = sync.elsewhere(tmp_path / "other")
    bucket.put("clusterbackup/north/new.yaml", b"x")
    assert other().exit == 10
    assert len(log(repository)) == len(before) + 1
    assert contents(repository) == FIRST | without(GOOD, KEY) | {"clusterbackup/north/new.yaml": b"x"}
    assert refused(other) == [KEY, SECRET]


def test_refused_object_is_not_a_conflict_after_a_commit_of_another_user(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT, Words.GITHUB)
    bucket.put_many(GOOD | {KEY: TOKEN})
    sync()
    commit_files(repository, {"README.md": b"theirs"})
    outcome = sync()
    assert outcome.exit == 10
    assert not outcome.of("git_commit", "error")


def test_unchanged_objects_stay_cached_beside_a_refused_one(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT, Words.GITHUB)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    sync()
    sync()
    assert [c["fetched"] for c in sync.state["last_run"]["clusters"]] == [0, 0, 1]
