"""Commands: which settings and documents they accept, and what they leave for report."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from steps.commands import Commands, new_run_id
from steps.errors import FixCommandLine, FixConfiguration, TryAgain
from steps.runtime import retry
from steps.runtime.retry import RetryPolicy
from tests.support.process import free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("restored_log")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "REQUESTS", RetryPolicy(attempts=2, first_pause=0.01))


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Settings with servers that do not exist."""
    return {
        "MINIO_ENDPOINT": f"127.0.0.1:{free_port()}",
        "MINIO_ACCESS_KEY": "access",
        "MINIO_SECRET_KEY": "secret",
        "MINIO_BUCKET": "backups",
        "MINIO_USE_SSL": "false",
        "GIT_REPOSITORY": f"file://{tmp_path}/none.git",
        "WORK_DIR": str(tmp_path / "work"),
        "LOG_FORMAT": "json",
    }


def test_new_run_id_sorts_by_time_and_is_unique() -> None:
    ids = [new_run_id() for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", run_id) for run_id in ids)
    assert [run_id[:16] for run_id in ids] == sorted(run_id[:16] for run_id in ids)


@pytest.mark.parametrize("run_id", ["../x", "a/b", " ", "-x", ".x", "a" * 129, "a\nb"])
def test_commands_reject_a_run_id_that_is_not_a_plain_name(run_id: str, environ: dict[str, str]) -> None:
    with pytest.raises(FixCommandLine, match="Invalid run id"):
        Commands(environ).discover(run_id, None)
    with pytest.raises(FixCommandLine, match="Invalid run id"):
        Commands(environ).download(run_id, ())
    with pytest.raises(FixCommandLine, match="Invalid run id"):
        Commands(environ).report(run_id)


def test_failed_discover_writes_a_result_for_report(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(TryAgain):
        Commands(environ, clusters="east").discover("r1", None)
    result = json.loads((tmp_path / "work/.git-sync/runs/r1/result.json").read_text())
    assert (result["exit_code"], result["operation"]) == (30, "minio_connect")
    assert result["filtered_by_options"] is True
    assert Commands(environ).report("r1") == 0
    state = json.loads((tmp_path / "work/sync-metadata.json").read_text())
    assert (state["last_run"], state["last_filtered_run"]) == (None, result)


def test_filters_in_the_environment_do_not_count_as_options(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(TryAgain):
        Commands(environ | {"CLUSTERS": "east"}).discover("r1", None)
    result = json.loads((tmp_path / "work/.git-sync/runs/r1/result.json").read_text())
    assert result["filtered_by_options"] is False


def test_discover_with_a_cache_rejects_download_only_mode(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(FixConfiguration, match="Failed to start a download-only run"):
        Commands(environ | {"GIT_REPOSITORY": ""}).discover("r1", tmp_path)


@pytest.mark.parametrize("command", ["download", "detect", "publish"])
def test_step_without_the_run_document_names_the_file(
    command: str, environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "work/.git-sync/runs/r1").mkdir(parents=True)
    arguments = ("r1", ()) if command == "download" else ("r1",)
    with pytest.raises(
        FixConfiguration, match=r"Failed to find the run: /.*/runs/r1/run\.json does not exist"
    ):
        getattr(Commands(environ), command)(*arguments)


def test_commands_warn_about_misspelt_settings(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert Commands(environ | {"MINIO_BUKET": "x"}).health() == 1
    warning, unhealthy = map(json.loads, capsys.readouterr().out.splitlines())
    assert warning["message"] == "unknown setting MINIO_BUKET; did you mean MINIO_BUCKET?"
    assert unhealthy["message"] == "The last success is not recent enough"
