"""SOURCE_MAX_AGE: clusters whose backup job has stopped are named, although every run succeeds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.support.steps import FIRST

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.sync import Sync


def test_stale_cluster_is_named_in_log_report_and_health(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(FIRST)
    time.sleep(2)  # S3 counts seconds
    stale = sync.with_settings(SOURCE_MAX_AGE="east=1s,*=1h")
    result = stale()
    assert result.exit == 0
    (warning,) = result.of("report", "warning")
    assert warning["message"].startswith("east is not being backed up: its newest object is")
    report = (sync.work_dir / "report.md").read_text()
    assert "Clusters that are not being backed up" in report
    health = stale("health")
    assert health.exit == 0
    assert "not backed up: east: its newest object is" in health.text
    assert "not being backed up" not in sync().text
