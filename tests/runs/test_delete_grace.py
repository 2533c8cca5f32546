"""DELETE_GRACE: a file is deleted only after it was missing from every listing for that time."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from tests.support.faults import Change, when
from tests.support.repositories import contents
from tests.support.steps import FIRST, KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import CommandResult, Sync

OTHER = "clusterbackup/east/object-1.yaml"


@pytest.fixture
def at(faulty: Sync, proxy: S3FaultProxy, bucket: Bucket) -> Callable[..., CommandResult]:
    """Return a run with DELETE_GRACE=10m whose store's clock is so many minutes ahead."""
    bucket.put_many(FIRST)

    def run(minutes: float, *arguments: str, **settings: str) -> CommandResult:
        date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
        proxy.clear()
        proxy.install(when(lambda _: True, Change(headers=lambda headers: headers | {"date": date})))
        return faulty(*(arguments or ("run",)), **{"DELETE_GRACE": "10m", **settings})

    assert run(-12).exit == 0
    return run


def test_missing_file_is_deleted_after_the_grace(
    at: Callable[..., CommandResult], faulty: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.delete(KEY)
    result = at(-10)
    assert result.exit == 0
    assert "east: 1 deletion pending: DELETE_GRACE is not over" in result.text
    assert faulty.state["clusters"]["east"]["deletions_pending"] == 1
    report = (faulty.work_dir / "report.md").read_text()
    assert "Pending deletions" in report
    assert "east/object-0.yaml" in report
    assert at(-1).exit == 0
    assert contents(repository) == FIRST
    bucket.put("clusterbackup/east/new", b"new")
    assert at(1).exit == 0
    assert contents(repository) == {k: v for k, v in FIRST.items() if k != KEY} | {
        "clusterbackup/east/new": b"new"
    }
    assert faulty.state["clusters"]["east"]["deletions_pending"] == 0


def test_file_that_comes_back_waits_again(
    at: Callable[..., CommandResult], bucket: Bucket, repository: Path
) -> None:
    bucket.delete(KEY)
    at(-10)
    bucket.put(KEY, FIRST[KEY])
    at(-5)
    bucket.delete(KEY)
    at(-4)
    at(5)
    assert contents(repository) == FIRST
    at(7)
    assert contents(repository).keys() == FIRST.keys() - {KEY}


def _lose_state(sync: Sync) -> None:
    (sync.work_dir / "sync-metadata.json").unlink()


def _lose_pending(sync: Sync) -> None:
    shutil.rmtree(sync.work_dir / ".git-sync" / "pending")


def _damage(sync: Sync) -> None:
    (sync.work_dir / ".git-sync" / "pending" / "east").write_text("x")


def _lose_volume(sync: Sync) -> None:
    shutil.rmtree(sync.work_dir)


@pytest.mark.parametrize("lose", [_lose_state, _lose_pending, _damage, _lose_volume])
def test_wait_starts_again_without_the_state_or_its_file(
    lose: Callable[[Sync], None],
    at: Callable[..., CommandResult],
    faulty: Sync,
    bucket: Bucket,
    repository: Path,
) -> None:
    bucket.delete(KEY)
    at(-11)
    lose(faulty)
    at(0)
    assert contents(repository) == FIRST
    at(11)
    assert contents(repository).keys() == FIRST.keys() - {KEY}


@pytest.mark.parametrize("publishes", [1, 2])
def test_wait_goes_on_after_a_run_that_was_not_reported(
    publishes: int, at: Callable[..., CommandResult], bucket: Bucket, repository: Path
) -> None:
    bucket.delete(KEY)
    at(-12)
    for step in ("discover", "download", "detect", *["publish"] * publishes):
        assert at(-6, step).exit == 0
    assert contents(repository) == FIRST
    assert at(-3).exit == 0
    assert contents(repository) == FIRST
    assert at(-1).exit == 0
    assert contents(repository).keys() == FIRST.keys() - {KEY}


def test_retried_discover_keeps_the_waits_that_publish_has_written(
    at: Callable[..., CommandResult], faulty: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    """A workflow whose discover is repeated gets the artifacts of the run before it again."""
    bucket.delete(KEY)
    at(-12)
    for name in ("cache", "pending"):
        shutil.copytree(faulty.work_dir / ".git-sync" / name, tmp_path / name)
    at(-6)
    cache = str(tmp_path / "cache")
    for step in (("discover", "--cache", cache), ("discover", "--cache", cache), ("download",), ("detect",)):
        assert at(-3, *step).exit == 0
    assert at(-3, "publish").exit == 0
    assert contents(repository) == FIRST
    assert at(-1).exit == 0
    assert contents(repository).keys() == FIRST.keys() - {KEY}


def test_wait_starts_again_after_a_run_without_a_record(
    at: Callable[..., CommandResult], bucket: Bucket, repository: Path
) -> None:
    """The run without DELETE_GRACE deletes the file, so its old record must not count later."""
    bucket.delete(KEY)
    at(-11)
    at(-9, DELETE_GRACE="0s")
    bucket.put(KEY, FIRST[KEY])
    at(-8, DELETE_GRACE="0s")
    bucket.delete(KEY)
    at(1)
    assert contents(repository) == FIRST


def test_run_without_delete_grace_writes_no_record(
    at: Callable[..., CommandResult], faulty: Sync, bucket: Bucket, repository: Path
) -> None:
    _lose_pending(faulty)
    bucket.delete(KEY)
    assert at(0, DELETE_GRACE="").exit == 0
    assert contents(repository).keys() == FIRST.keys() - {KEY}
    assert not (faulty.work_dir / ".git-sync" / "pending").exists()


def test_approved_deletions_do_not_wait(
    at: Callable[..., CommandResult], faulty: Sync, bucket: Bucket, repository: Path
) -> None:
    for key in FIRST:
        if "/east/" in key:
            bucket.delete(key)
    assert at(-5).exit == 20
    (east,) = [c for c in faulty.state["last_run"]["clusters"] if c["name"] == "east"]
    assert at(-4, "run", "--allow-delete", east["allow_delete"]).exit == 0
    assert not [path for path in contents(repository) if "/east/" in path]


def test_filtered_run_keeps_the_waits_of_other_files(
    at: Callable[..., CommandResult], faulty: Sync, bucket: Bucket
) -> None:
    bucket.delete(KEY)
    bucket.delete(OTHER)
    at(-10)
    at(-9, "run", "--exclude", "object-1.yaml")
    at(-8)
    (east,) = [c for c in faulty.state["last_run"]["clusters"] if c["name"] == "east"]
    since = {one["path"]: one["since"] for one in east["deletions_pending_sample"]}
    assert len(since) == 2
    assert len(set(since.values())) == 1, json.dumps(since)
