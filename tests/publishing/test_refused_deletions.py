"""What publish logs about refused deletions and approvals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.steps import FIRST, prepare, publish, result

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

pytestmark = pytest.mark.usefixtures("synced")


def remove(bucket: Bucket, *clusters: str) -> None:
    for key in [key for key in FIRST if key.split("/")[1] in clusters]:
        bucket.delete(key)


def test_publish_logs_a_refusal_with_the_command_that_approves_it(sync: Sync, bucket: Bucket) -> None:
    remove(bucket, "east")
    bucket.put("clusterbackup/east/other", b"x")
    prepare(sync, "r")
    done = publish(sync, "r")
    assert done.exit == 20
    (error,) = done.of("detect_changes", "error")
    (east, _) = result(sync, "r")["clusters"]
    assert error["message"] == "Refused to delete 6 files of east"
    assert f"git-sync run --allow-delete {east['allow_delete']}" in error["error"]
    assert error["data"]["deletions_refused"] == 6


def test_publish_logs_one_command_that_approves_all_refusals(sync: Sync, bucket: Bucket) -> None:
    remove(bucket, "east", "west")
    bucket.put_many({"clusterbackup/east/other": b"x", "clusterbackup/west/other": b"x"})
    done = sync()
    approvals = [line["data"]["allow_delete"] for line in done.of("detect_changes", "error")]
    (warning,) = done.of("detect_changes", "warning")
    options = " ".join(f"--allow-delete {approval}" for approval in approvals)
    assert warning["message"] == f"To approve all refused deletions: git-sync run {options}"


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_run_warns_about_an_approval_that_matches_nothing(options: tuple[str, ...], sync: Sync) -> None:
    done = sync("run", "--allow-delete", "east:0123456789abcdef", *options)
    (warning,) = done.of("detect_changes", "warning")
    assert warning["message"] == "--allow-delete east:0123456789abcdef matches no refused deletion"
