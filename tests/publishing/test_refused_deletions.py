"""What publish logs about refused deletions and approvals."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.support.receiver import receiver
from tests.support.repositories import contents
from tests.support.steps import FIRST, prepare, publish, result

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import CommandResult, Sync

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
    assert warning["message"] == f"To approve all refused deletions: {submit}{east},{west} -p branch=main"
    assert warning["data"]["approve"].startswith(f"{form}&parameters%5Ballow-delete%5D=east%3A")
    assert f"to approve: {submit}{east} -p branch=main)" in done.errors
    assert "git-sync run" not in done.text
    page = (sync.work_dir / "report.md").read_text()
    assert (
        f"`{submit}{east} -p branch=main` or [the form in Argo](<{form}&parameters%5Ballow-delete%5D=" in page
    )
    assert f"To approve all refused deletions: `{submit}{east},{west} -p branch=main` or [" in page
    body = json.loads(hook.got[0].body)
    command = f"{submit}{east},{west} -p branch=main"
    assert body["approval"] == {"command": command, "url": warning["data"]["approve"]}
    assert body["text"].endswith(f"To approve: {body['approval']['url']}")


def test_publish_logs_one_command_that_approves_all_refusals(sync: Sync, bucket: Bucket) -> None:
    remove(bucket, "east", "west")
    bucket.put_many({"clusterbackup/east/other": b"x", "clusterbackup/west/other": b"x"})
    done = sync()
    approvals = [line["data"]["allow_delete"] for line in done.of("detect_changes", "error")]
    (warning,) = done.of("detect_changes", "warning")
    options = " ".join(f"--allow-delete {approval}" for approval in approvals)
    assert warning["message"] == f"To approve all refused deletions: git-sync run {options}"


def printed(done: CommandResult) -> str:
    """Return the command that the one refusal of a run prints."""
    (error,) = done.of("detect_changes", "error")
    return str(error["error"]).partition("approve exactly this one: ")[2]


@pytest.mark.parametrize(
    "options",
    [
        ("--clusters", "east"),
        ("--clusters", "ea*", "--clusters", "north st"),
        ("--clusters", "east", "--exclude", "object-1.yaml"),
        ("--mode", "full"),
        ("--mode", "full", "--clusters", "east"),
    ],
    ids=" ".join,
)
def test_printed_command_approves_the_refusal_of_a_filtered_or_full_run(
    options: tuple[str, ...], sync: Sync, bucket: Bucket, repository: Path
) -> None:
    sync = sync.with_settings(MAX_DELETE_COUNT="2")
    remove(bucket, "east")
    bucket.put("clusterbackup/east/other", b"x")
    refused = sync("run", *options)
    assert refused.exit == 20
    program, *words = shlex.split(printed(refused))
    assert program == "git-sync"
    done = sync(*words)
    assert done.exit == 0
    assert "matches no refused deletion" not in done.text
    deleted = [key for key in FIRST if "/east/" in key and not ("object-1" in key and "--exclude" in options)]
    assert contents(repository) == {"clusterbackup/east/other": b"x"} | {
        key: data for key, data in FIRST.items() if key not in deleted
    }


def test_printed_command_of_argo_approves_the_refusal_on_its_branch_only(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    argo = sync.with_settings(ARGO_NAMESPACE="backup-system")
    assert argo(GIT_BRANCH="other").exit == 0
    remove(bucket, "east")
    bucket.put("clusterbackup/east/other", b"x")
    refused = argo("run", "--clusters", "east", GIT_BRANCH="other")
    assert refused.exit == 20
    words = shlex.split(printed(refused))
    assert words[:6] == ["argo", "submit", "-n", "backup-system", "--from", "workflowtemplate/git-sync"]
    given = dict(word.split("=", 1) for word in words[7::2])
    options = [f"--{name}={given[name]}" for name in ("allow-delete", "clusters")]
    on_main = argo("run", *options)
    assert on_main.exit == 20, "an approval is for one branch"
    assert contents(repository) == FIRST | {"clusterbackup/east/other": b"x"}
    assert argo("run", *options, GIT_BRANCH=given["branch"]).exit == 0
    assert contents(repository, "other", "clusterbackup/east/") == {"clusterbackup/east/other": b"x"}


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
