"""LOG_LEVEL=debug logs the details of a run, and no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.process import free_port

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.sync import Sync


def test_debug_log_has_git_commands_s3_requests_objects_and_diffs(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({"clusterbackup/east/a.yaml": b"one\ntwo\n", "clusterbackup/east/b.yaml": b"x"})
    assert sync().exit == 0
    bucket.put("clusterbackup/east/a.yaml", b"one\nthree\nfour\n")
    result = sync(LOG_LEVEL="debug")
    assert result.exit == 0

    commands = {line["data"]["arguments"][0]: line["data"] for line in result.of("git_command", "debug")}
    assert {"ls-remote", "fetch", "cat-file", "fast-import", "diff-tree", "push"} <= set(commands)
    assert all(data["status"] == 0 for data in commands.values())

    requests = result.of("s3_request", "debug")
    assert any("list-type=2" in line["data"].get("path", "") for line in requests)
    (get,) = [line["data"] for line in requests if line["message"] == "GET"]
    assert (get["key"], get["size"]) == ("clusterbackup/east/a.yaml", 15)

    (downloaded,) = [line["data"] for line in result.of("download", "debug")]
    assert (downloaded["path"], downloaded["size"]) == ("east/a.yaml", 15)
    assert [line["message"] for line in result.of("detect_changes", "debug")] == ["modified east/a.yaml"]
    assert [line["message"] for line in result.of("git_diff", "debug")] == [
        "east/a.yaml: 2 lines added, 1 removed"
    ]


def test_debug_log_has_the_output_of_a_failed_git_command(sync: Sync, bucket: Bucket) -> None:
    bucket.put("clusterbackup/east/a.yaml", b"x")
    result = sync(LOG_LEVEL="debug", GIT_REPOSITORY="file:///nonexistent.git", RETRY_ATTEMPTS="1")
    assert result.exit == 40
    failed = [line["data"] for line in result.of("git_command") if line["data"]["status"] != 0]
    assert "does not appear to be a git repository" in failed[0]["output"]


def test_debug_log_has_no_secret_of_webhook_and_pushgateway(sync: Sync, bucket: Bucket) -> None:
    bucket.put("clusterbackup/east/a.yaml", b"x")
    closed = f"http://127.0.0.1:{free_port()}"
    secrets = {"PUSHGATEWAY_PASSWORD": "pw-1234", "WEBHOOK_SECRET": "hook-1234"}
    result = sync(
        LOG_LEVEL="debug",
        PUSHGATEWAY_URL=closed,
        PUSHGATEWAY_USERNAME="sync",
        WEBHOOK_URL=f"{closed}/hook-5678",
        **secrets,
    )
    assert result.exit == 0
    assert len(result.errors.splitlines()) == 2
    assert not any(secret in result.text for secret in (*secrets.values(), "hook-5678"))
