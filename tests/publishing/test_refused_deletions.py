"""What publish logs about refused deletions and approvals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.receiver import receiver
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


def test_run_in_argo_prints_the_command_and_the_form_of_argo(sync: Sync, bucket: Bucket) -> None:
    remove(bucket, "east", "west")
    bucket.put_many({"clusterbackup/east/other": b"x", "clusterbackup/west/other": b"x"})
    with receiver() as hook:
        done = sync(ARGO_NAMESPACE="backup-system", ARGO_URL="https://argo.example.com", WEBHOOK_URL=hook.url)
    assert done.exit == 20
    east, west = (line["data"]["allow_delete"] for line in done.of("detect_changes", "error"))
    submit = "argo submit -n backup-system --from workflowtemplate/git-sync -p allow-delete="
    form = "https://argo.example.com/workflow-templates/backup-system/git-sync?sidePanel=submit"
    (warning,) = done.of("detect_changes", "warning")
    assert warning["message"] == f"To approve all refused deletions: {submit}{east},{west}"
    assert warning["data"]["approve"].startswith(f"{form}&parameters%5Ballow-delete%5D=east%3A")
    assert f"to approve: {submit}{east})" in done.errors
    assert "git-sync run" not in done.text
    page = (sync.work_dir / "report.md").read_text()
    assert f"`{submit}{east}` or [the form in Argo](<{form}&parameters%5Ballow-delete%5D=" in page
    assert f"To approve all refused deletions: `{submit}{east},{west}` or [" in page
    body = json.loads(hook.got[0].body)
    assert body["approval"] == {"command": f"{submit}{east},{west}", "url": warning["data"]["approve"]}
    assert body["text"].endswith(f"To approve: {body['approval']['url']}")


def test_publish_logs_one_command_that_approves_all_refusals(sync: Sync, bucket: Bucket) -> None:
    remove(bucket, "east", "west")
    bucket.put_many({"clusterbackup/east/other": b"x", "clusterbackup/west/other": b"x"})
    done = sync()
    approvals = [line["data"]["allow_delete"] for line in done.of("detect_changes", "error")]
    (warning,) = done.of("detect_changes", "warning")
    options = " ".join(f"--allow-delete {approval}" for approval in approvals)
    assert warning["message"] == f"To approve all refused deletions: git-sync run {options}"


def test_run_with_a_wrong_prefix_suggests_no_approval(sync: Sync) -> None:
    done = sync(MINIO_PREFIX="wrong/")
    assert done.exit == 20
    assert "--allow-delete" not in done.text
    assert "check MINIO_BUCKET and MINIO_PREFIX; the files stay in Git" in done.errors
    assert all(line["data"]["allow_delete"] for line in done.of("detect_changes", "error"))
    page = (sync.work_dir / "report.md").read_text()
    assert "the bucket contains no cluster; check" in page
    assert "--allow-delete" not in page


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_run_warns_about_an_approval_that_matches_nothing(options: tuple[str, ...], sync: Sync) -> None:
    done = sync("run", "--allow-delete", "east:0123456789abcdef", *options)
    (warning,) = done.of("detect_changes", "warning")
    assert warning["message"] == "--allow-delete east:0123456789abcdef matches no refused deletion"
