"""The record of pending deletions on the volume; tests/runs/test_delete_grace.py has whole runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from steps.core.grace import PendingRow
from steps.workdir.rowfile import RowFile
from steps.workdir.rows import PendingHeader
from steps.workdir.volume import Volume
from tests.support.steps import FIRST, KEY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync


def test_record_has_the_missing_files_of_the_newest_listing(sync: Sync, bucket: Bucket) -> None:
    graceful = sync.with_settings(DELETE_GRACE="1h")
    bucket.put_many(FIRST)
    assert graceful().exit == 0
    bucket.delete(KEY)
    for _ in range(2):
        assert graceful().exit == 0
        file = RowFile(Volume(sync.work_dir).pending("east"))
        assert [row.path for row in file.rows(PendingRow)] == [b"east/object-0.yaml"]
        listed = f"{file.header(PendingHeader).listed_at:%Y-%m-%dT%H:%M:%S}"
        assert sync.state["listed"]["east"].startswith(listed)
    assert len(RowFile(Volume(sync.work_dir).pending("west"))) == 0


def test_pipe_in_the_place_of_a_record_does_not_block_a_run(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(FIRST)
    record = Volume(sync.work_dir).pending("east")
    record.parent.mkdir(parents=True)
    os.mkfifo(record)
    assert sync(DELETE_GRACE="1h").exit == 0
    assert record.is_file()


def test_new_volume_adopts_the_pending_deletions_beside_the_cache(tmp_path: Path) -> None:
    for name in ("cache", "pending"):
        (tmp_path / "old" / name).mkdir(parents=True)
        (tmp_path / "old" / name / "east").write_bytes(name.encode())
    volume = Volume(tmp_path / "new")
    volume.set_up()
    for _ in range(2):  # a retried discover finds them
        volume.adopt_caches(tmp_path / "old" / "cache")
        assert volume.pending("east").read_bytes() == b"pending"
        assert volume.cache("east").read_bytes() == b"cache"
