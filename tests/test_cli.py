"""The command line: help, bad input, signals, the lock, health."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from steps.cli import invoke
from tests.support.backups import Backups
from tests.support.faults import Hang, Reset, when
from tests.support.first_sync import first_sync
from tests.support.repositories import branches, contents

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Sync

COMMANDS = ["run", "discover", "download", "detect", "publish", "report", "serve", "health", "rules"]
COMMANDS += ["inspect", "diff", "history", "restore", "access"]
OBJECTS = {f"clusterbackup/{cluster}/a.yaml": cluster.encode() for cluster in ("east", "west")}


def test_help_lists_the_commands_in_the_order_of_the_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--help"], {}) == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == COMMANDS


@pytest.mark.parametrize(
    "arguments", [["--help"], *([command, "--help"] for command in COMMANDS), ["--version"], []]
)
def test_help_needs_no_settings(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(arguments, {}) == 0
    assert "git-sync" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["unknown"],
        ["run", "--unknown"],
        ["run", "--mode", "fast"],
        ["download", "--shard", "X"],
        ["run", "extra"],
    ],
)
def test_wrong_command_line_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(arguments, {}) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "HEAD..HEAD"],
        ["diff", "--cluster", "east", "--from", "2025-07-13"],
        ["history"],
        ["restore", "--cluster", "east", "--dry-run"],
        ["access", "--cluster", "east"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_command_that_reads_the_history_collects_garbage(arguments: list[str], tmp_path: Path) -> None:
    """Without it, a restore of 10,000 objects took 530 MB."""
    backups = Backups.at(tmp_path / "backups.git")
    backups.sync("2025-07-12", {"east/a.yaml": b"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"})
    gc.disable()
    try:
        assert invoke([*arguments, "--repo", str(backups.directory)], {}) in {0, 10}
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


@pytest.mark.parametrize("command", ["run", "discover", "download"])
def test_command_reports_every_problem_of_the_settings_at_once(command: str, sync: Sync) -> None:
    result = sync(command, MINIO_ENDPOINT="", MINIO_SECRET_KEY="", CONCURRENCY="many", RETRY_DELAY="5")
    assert result.exit == 40
    (line,) = result.of("configuration", "error")
    problems = (
        "MINIO_ENDPOINT is required",
        "MINIO_SECRET_KEY is required",
        "CONCURRENCY: ",
        "RETRY_DELAY: ",
    )
    for problem in problems:
        assert problem in line["error"]


def test_step_without_a_run_names_the_command_to_call_first(sync: Sync) -> None:
    for command in ("download", "detect", "publish", "report"):
        result = sync(command)
        assert result.exit == 40
        assert "git-sync discover" in result.errors


@pytest.mark.parametrize("run_id", ["../../etc", "a/b", " ", "-x", "a" * 200])
def test_discover_rejects_a_run_id_that_is_not_a_plain_name(run_id: str, sync: Sync) -> None:
    assert sync("discover", f"--run-id={run_id}").exit == 2


def test_download_rejects_an_unknown_shard(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    assert sync("discover").exit == 0
    assert sync("download", "--shard", "7").exit == 2
    assert sync("download", "--shard", "north").exit == 2
    assert sync("download", "--shard", "east").exit == 0


def test_program_exits_with_the_code_of_the_command(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    process = sync.start("run")
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert [json.loads(line)["operation"] for line in out.strip().split("\n")][-1] == "sync_complete"
    failing = sync.start("run", MINIO_ENDPOINT="127.0.0.1:1", RETRY_ATTEMPTS="1")
    failing.communicate()
    assert failing.returncode == 30


def test_program_hides_the_users_git_environment_and_configuration_from_git(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    bucket.put_many(OBJECTS)
    (tmp_path / ".gitconfig").write_text('[url "file:///nowhere"]\n\tinsteadOf = file://\n')
    process = sync.start(
        "run",
        HOME=str(tmp_path),
        GIT_DIR="/nowhere",
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0="core.hooksPath",
        GIT_CONFIG_VALUE_0="/nowhere",
        GIT_TRACE=str(tmp_path / "trace"),
        AWS_ENDPOINT_URL="http://127.0.0.1:1",
    )
    process.communicate()
    assert process.returncode == 0
    assert contents(repository) == OBJECTS
    assert not (tmp_path / "trace").exists()


def test_help_imports_no_sdk() -> None:
    code = (
        "import sys; from steps.cli import invoke; "
        "invoke(['download', '--help'], {}); print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for module in ("minio", "obstore", "git", "rich"):
        assert f"'{module}'" not in done.stdout


def test_commands_import_lazily_what_few_runs_need() -> None:
    code = "import sys, steps.commands; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for module in ("rich", "Crypto", "argon2", "yaml", "prometheus_client", "pathspec", "asyncio"):
        assert f"'{module}'" not in done.stdout


@pytest.mark.parametrize("name", ["SSH_KEY_PATH", "SSH_KNOWN_HOSTS_PATH", "GIT_TOKEN_FILE", "MINIO_CA_FILE"])
def test_command_hides_a_secret_that_is_given_instead_of_its_file(name: str, sync: Sync) -> None:
    scheme = "ssh" if name.startswith("SSH") else "https"
    result = sync(
        **{name: "ghp_secret\n-----BEGIN KEY-----", "GIT_REPOSITORY": f"{scheme}://example.com/x.git"}
    )
    assert result.exit == 40
    assert f"{name}: " in result.errors
    assert "ghp_secret" not in result.text


def test_command_warns_about_misspelt_settings(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    result = sync(CLUSTER="east", MINIO_USESSL="true", HOSTNAME="x")
    assert [line["message"] for line in result.of("configuration", "warning")] == [
        "unknown setting CLUSTER; did you mean CLUSTERS?",
        "unknown setting MINIO_USESSL; did you mean MINIO_USE_SSL?",
    ]


def test_misspelt_setting_is_named_beside_the_missing_one(sync: Sync) -> None:
    result = sync(MINIO_BUCKET="", MINIO_BUKET="b")
    assert result.exit == 40
    assert [line["message"] for line in result.of("configuration")] == [
        "unknown setting MINIO_BUKET; did you mean MINIO_BUCKET?",
        "Invalid settings",
    ]


def test_run_continues_after_standard_output_is_closed(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many(OBJECTS)
    process = sync.start("run")
    assert process.stdout
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    assert process.stderr
    process.stderr.close()
    assert contents(repository) == OBJECTS


# -- working directory, lock, signals ----------------------------------------------------------------


def test_run_exits_40_if_work_dir_cannot_be_created(sync: Sync, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = sync(WORK_DIR=str(tmp_path / "file" / "workspace"))
    assert result.exit == 40
    (line,) = result.of("setup_workdir", "error")
    assert line["message"] == "Failed to create working directory"
    assert line["error"].startswith("not a directory")


def test_run_exits_40_without_permission_to_create_work_dir(sync: Sync) -> None:
    result = sync(WORK_DIR="/proc/1/workspace")
    assert result.exit == 40
    assert result.of("setup_workdir", "error")[0]["message"] == "Failed to create working directory"


def test_run_does_not_follow_links_planted_in_work_dir(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    bucket.put_many(OBJECTS)
    victim = tmp_path / "victim"
    for number in range(5):
        (victim / str(number)).mkdir(parents=True)
    internal = sync.work_dir / ".git-sync"
    internal.mkdir(parents=True)
    for name in ("runs", "cache"):
        (internal / name).symlink_to(victim)
    (sync.work_dir / "clusterbackup").mkdir()
    os.mkfifo(sync.work_dir / "clusterbackup" / "east")
    (victim / "lock").touch()
    os.link(victim / "lock", internal / "lock")
    assert sync().exit == 0
    assert contents(repository) == OBJECTS
    assert sorted(path.name for path in victim.iterdir()) == ["0", "1", "2", "3", "4", "lock"]
    assert (victim / "lock").read_bytes() == b""
    (internal / "runs" / "stray").touch()
    (internal / "runs" / "dangling").symlink_to("/nowhere")
    for _ in range(4):
        assert sync().exit == 0


def test_relative_work_dir_is_relative_to_the_current_directory(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_many(OBJECTS)
    monkeypatch.chdir(tmp_path)
    assert sync(WORK_DIR="relative/work").exit == 0
    assert (tmp_path / "relative" / "work" / ".git").is_dir()
    assert contents(repository) == OBJECTS


def test_single_steps_exit_30_while_work_dir_is_locked(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    assert sync("discover").exit == 0
    with (sync.work_dir / ".git-sync" / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert sync("discover").exit == 30
        assert sync("publish").exit == 30


def test_second_run_in_work_dir_exits_30_and_names_the_first(sync: Sync) -> None:
    first_sync(sync, OBJECTS)
    with (sync.work_dir / ".git-sync" / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = sync()
    assert result.exit == 30
    (line,) = result.of("setup_workdir", "error")
    assert line["error"] == (
        f"{sync.work_dir} is locked by another process: wait for it, or use another WORK_DIR"
    )
    assert line["data"]["process"] == str(os.getpid())
    assert sync().exit == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_run_logs_the_signal_and_exits_143(
    number: signal.Signals, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(when(lambda request: request.is_get, Hang(60)))
    process = faulty.start("run")
    assert process.stdout
    for line in process.stdout:
        if json.loads(line)["operation"] == "discover":
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 143
    assert err == ""
    assert number.name in out
    assert faulty.state["last_run"]["error"] == f"Git synchronization was stopped: {number.name}"
    assert branches(repository) == {}
    proxy.clear()
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS


def test_stopped_run_logs_sync_complete_once(faulty: Sync, bucket: Bucket, proxy: S3FaultProxy) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(when(lambda request: request.is_get, Hang(60)))
    process = faulty.start("run")
    while not proxy.fetched:
        time.sleep(0.01)
    process.terminate()
    out, _ = process.communicate(timeout=60)
    complete = [
        line for line in map(json.loads, out.strip().split("\n")) if line["operation"] == "sync_complete"
    ]
    assert [line["data"]["exit_code"] for line in complete] == [143]


@pytest.mark.parametrize(
    ("file", "step"), [("run.json", "download"), ("verdict.json", "publish"), ("result.json", "report")]
)
def test_step_rejects_a_document_of_another_run(file: str, step: str, sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    runs = sync.work_dir / ".git-sync" / "runs"
    for run_id in ("old", "new"):
        for command in ("discover", "download", "detect", "publish"):
            assert sync(command, "--run-id", run_id).exit == 0
    shutil.copyfile(runs / "old" / file, runs / "new" / file)
    result = sync(step, "--run-id", "new")
    assert result.exit == 40
    assert f"{runs / 'new' / file} belongs to another run" in result.errors


def test_report_of_an_old_run_keeps_the_newer_state(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    for step in ("discover", "download", "detect", "publish"):
        assert sync(step, "--run-id", "old").exit == 0
    assert sync().exit == 0
    before = sync.state
    assert sync("report", "--run-id", "old").exit == 0
    after = sync.state
    assert after["last_success"] == before["last_success"]
    assert after["last_run"] == before["last_run"]
    assert after["counters"]["runs"] == 2


def test_run_with_a_mistyped_prefix_keeps_the_last_success(sync: Sync) -> None:
    first_sync(sync, OBJECTS)
    assert sync(MINIO_PREFIX="wrong/").exit == 20
    assert sync("health").exit == 0


def test_run_rejects_and_keeps_a_damaged_state(sync: Sync) -> None:
    first_sync(sync, OBJECTS)
    state = sync.work_dir / "sync-metadata.json"
    whole = state.read_text()
    for damaged in (
        "",
        whole[: len(whole) // 2],
        whole.replace('"schema_version": 1', '"schema_version": 9'),
    ):
        state.write_text(damaged)
        result = sync()
        assert result.exit == 40
        assert "sync-metadata.json is damaged" in result.errors
        assert state.read_text() == damaged


def test_run_to_another_branch_resets_the_last_success(sync: Sync) -> None:
    first_sync(sync, OBJECTS)
    first = sync.state
    assert sync(CLUSTERS="east", GIT_BRANCH="other").exit == 0
    second = sync.state
    assert second["identity"] != first["identity"]
    assert second["last_success"]["run_id"] != first["last_success"]["run_id"]
    assert list(second["listed"]) == ["east"]
    assert second["counters"]["runs"] == 2, "but a counter never falls"


# -- state and health ---------------------------------------------------------------------------------


def test_state_counts_every_run_once(sync: Sync) -> None:
    first_sync(sync, OBJECTS)
    assert sync("report").exit == 0, "a report that is retried"
    assert sync(MINIO_ENDPOINT="127.0.0.1:1").exit == 30
    counters = sync.state["counters"]
    assert (counters["runs"], counters["errors"], counters["files_processed"]) == (2, 1, 2)


def test_run_with_a_mistyped_bucket_keeps_the_last_success(sync: Sync, bucket: Bucket) -> None:
    first_sync(sync, OBJECTS)
    before = sync.state
    assert sync(MINIO_BUCKET="no-such-bucket").exit == 40
    after = sync.state
    assert (after["identity"], after["last_success"]) == (before["identity"], before["last_success"])
    assert sync("health").exit == 0
    assert sync(MINIO_BUCKET=bucket.name).exit == 0


def test_failed_run_is_counted_and_keeps_the_last_success(faulty: Sync, proxy: S3FaultProxy) -> None:
    first_sync(faulty, OBJECTS)
    success = faulty.state["last_success"]
    proxy.install(lambda _: Reset())
    assert faulty().exit == 30
    state = faulty.state
    assert state["last_success"] == success
    assert state["counters"]["runs"] == 2
    assert state["counters"]["errors"] == 1
    assert state["counters"]["files_processed"] == 2
    assert state["last_run"]["outcome"] == "failed"


def test_failed_step_writes_a_result_for_report(sync: Sync) -> None:
    assert sync("discover", "--run-id", "r", MINIO_ENDPOINT="127.0.0.1:1").exit == 30
    assert sync("report", "--run-id", "r").exit == 0
    assert sync.state["last_run"]["operation"] == "minio_connect"


def test_step_rejects_the_run_of_another_configuration(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many(OBJECTS)
    assert sync("discover").exit == 0
    assert sync("download", MINIO_BUCKET="other-bucket").exit == 40
    assert sync("download").exit == 0
    assert sync("detect").exit == 0
    result = sync("publish", GIT_BRANCH="production")
    assert result.exit == 40
    assert "GIT_BRANCH is 'production', but 'main' in the run" in result.errors
    assert branches(repository) == {}


def test_report_counts_a_run_without_a_result_as_failed(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(OBJECTS)
    assert sync("discover").exit == 0
    result = sync("report")
    assert result.exit == 0
    assert result.of("sync_complete", "error")
    assert sync.state["last_run"]["exit_code"] == 30


def test_health_depends_on_the_age_of_the_last_success(sync: Sync, bucket: Bucket) -> None:
    assert sync("health").exit == 1, "no run yet"
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
    assert sync("health").exit == 0
    assert sync("--health-check").exit == 0
    result = sync("health", HEALTH_MAX_AGE="0s")
    assert result.exit == 1
    assert "stale since" in result.errors
    _age(sync, hours=3)
    assert sync("health").exit == 1, "two hours by default"
    assert sync("health", HEALTH_MAX_AGE="4h").exit == 0
    assert sync("health", SYNC_SCHEDULE="*/15 * * * *").exit == 1
    assert sync("health", SYNC_SCHEDULE="0 4 * * *").exit == 0
    sync(MINIO_ENDPOINT="127.0.0.1:1")
    assert sync("health").exit == 1


def _age(sync: Sync, hours: int) -> None:
    state = sync.state
    state["last_success"]["at"] = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    (sync.work_dir / "sync-metadata.json").write_text(json.dumps(state))
