"""The log: one JSON object per line, or text for people."""

from __future__ import annotations

import io
import re
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from steps.core.exit_codes import Exit
from steps.core.operations import Operation
from steps.errors import FixConfiguration, Terminated, TryAgain
from steps.runtime import logs
from steps.runtime.logs import LogFormat, LogLevel
from steps.runtime.settings.reading import read
from tests.support.log_lines import Output, entries, set_up

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("restored_log")

# -- JSON lines -------------------------------------------------------------------------------


def test_json_line_has_the_documented_fields_in_order(capsys: Output) -> None:
    set_up()
    logs.info(
        Operation.SYNC_COMPLETE,
        "Git synchronization completed successfully",
        took=45678.9,
        clusters_processed=3,
    )
    (entry,) = entries(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["timestamp"])
    assert list(entry.items())[1:] == [
        ("level", "info"),
        ("component", "git-sync"),
        ("operation", "sync_complete"),
        ("message", "Git synchronization completed successfully"),
        ("data", {"clusters_processed": 3}),
        ("duration_ms", 45678.9),
    ]


def test_timestamp_is_utc_in_every_time_zone(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up()
    before = datetime.now(UTC).replace(microsecond=0)
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            logs.info(Operation.INTERNAL, "y")
    finally:
        time.tzset()
    (entry,) = entries(capsys)
    assert before <= datetime.fromisoformat(entry["timestamp"]) <= datetime.now(UTC)


def test_level_is_lower_case_and_only_failures_have_an_error(capsys: Output) -> None:
    set_up(LogLevel.DEBUG)
    logs.debug(Operation.INTERNAL, "m")
    logs.info(Operation.INTERNAL, "m")
    logs.warning(Operation.INTERNAL, "m")
    logs.warning(Operation.INTERNAL, "m", error="half broken")
    logs.error(Operation.INTERNAL, "m", "broken", took=0.0)
    logged = [(e["operation"], e["level"], e.get("error"), e.get("duration_ms")) for e in entries(capsys)]
    assert logged == [
        ("internal", "debug", None, None),
        ("internal", "info", None, None),
        ("internal", "warning", None, None),
        ("internal", "warning", "half broken", None),
        ("internal", "error", "broken", 0.0),
    ]


@pytest.mark.parametrize("level", LogLevel)
def test_line_below_the_level_is_not_written(level: LogLevel, capsys: Output) -> None:
    set_up(level)
    logs.debug(Operation.INTERNAL, "m")
    logs.info(Operation.INTERNAL, "m")
    logs.warning(Operation.INTERNAL, "m")
    logs.error(Operation.INTERNAL, "m", "e")
    all_levels = [one.value for one in LogLevel]
    assert [entry["level"] for entry in entries(capsys)] == all_levels[all_levels.index(level.value) :]
    assert logs.is_debug() is (level is LogLevel.DEBUG)


@pytest.mark.parametrize(
    "text", ['"quoted"', "two\nlines\r\n", "100% %s %(name)s {x}", "größe 🎉 \u2028", "\x1b[31m"]
)
def test_json_line_keeps_any_text_on_one_line(text: str, capsys: Output) -> None:
    set_up()
    logs.error(Operation.INTERNAL, text, text, key=text, nested={"list": [text]})
    (entry,) = entries(capsys)
    assert (
        entry["message"]
        == entry["error"]
        == entry["data"]["key"]
        == entry["data"]["nested"]["list"][0]
        == text
    )


def test_data_accepts_paths_enums_dates_and_tuples(capsys: Output, tmp_path: Path) -> None:
    set_up()
    at = datetime(2025, 7, 12, 22, 6, 58, tzinfo=UTC)
    logs.info(
        Operation.INTERNAL,
        "m",
        path=tmp_path,
        exit=Exit.PARTIAL,
        at=at,
        names=("a", "b"),
        none=None,
        level=LogLevel.INFO,
    )
    (entry,) = entries(capsys)
    assert entry["data"]["exit"] == 10
    assert entry["data"]["names"] == ["a", "b"]
    assert entry["data"]["none"] is None
    assert entry["data"]["at"].startswith("2025-07-12T22:06:58")
    assert str(tmp_path) in entry["data"]["path"]


@pytest.mark.parametrize(
    ("problem", "operation", "message", "error"),
    [
        (
            FixConfiguration(Operation.MINIO_CONNECT, "Failed to connect to MinIO", "access denied"),
            "minio_connect",
            "Failed to connect to MinIO",
            "access denied",
        ),
        (TryAgain(Operation.GIT_PUSH, "Failed to push", "timeout"), "git_push", "Failed to push", "timeout"),
        (Terminated("SIGTERM"), "sync_complete", "Git synchronization was stopped", "SIGTERM"),
    ],
)
def test_failure_logs_an_error_under_its_operation(
    problem: FixConfiguration | TryAgain | Terminated,
    operation: str,
    message: str,
    error: str,
    capsys: Output,
) -> None:
    set_up()
    logs.failure(problem, cluster="east")
    (entry,) = entries(capsys)
    assert (entry["level"], entry["operation"], entry["message"], entry["error"], entry["data"]) == (
        "error",
        operation,
        message,
        error,
        {"cluster": "east"},
    )


def test_failure_logs_the_traceback_at_level_debug(capsys: Output) -> None:
    set_up(LogLevel.DEBUG)
    try:
        raise TryAgain(Operation.GIT_PUSH, "Failed to push", "timeout")
    except TryAgain as problem:
        logs.failure(problem)
    error, detail = entries(capsys)
    assert (error["level"], detail["level"]) == ("error", "debug")
    assert "test_failure_logs_the_traceback_at_level_debug" in detail["data"]["traceback"]


def test_set_up_twice_writes_each_line_once(capsys: Output) -> None:
    set_up(LogLevel.DEBUG)
    set_up(LogLevel.INFO)
    logs.info(Operation.INTERNAL, "m")
    logs.debug(Operation.INTERNAL, "m")
    assert len(entries(capsys)) == 1


# -- text -------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("format_", "on_a_terminal", "for_people"),
    [
        (LogFormat.AUTO, True, True),
        (LogFormat.AUTO, False, False),
        (LogFormat.JSON, True, False),
        (LogFormat.TEXT, False, True),
    ],
)
def test_format_auto_is_text_on_a_terminal_only(
    format_: LogFormat, on_a_terminal: bool, for_people: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Terminal() if on_a_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    set_up(format_=format_)
    logs.info(Operation.INTERNAL, "hello")
    assert logs.is_text(format_) is for_people
    assert out.getvalue().startswith("{") is not for_people


def test_text_shows_data_of_warnings_only(capsys: Output) -> None:
    set_up(format_=LogFormat.TEXT)
    logs.info(Operation.DOWNLOAD, "Downloaded east", took=3.5, cluster="east")
    logs.warning(Operation.DOWNLOAD, "Odd", fetched=0, empty=[], none=None, cluster="e a\nst", flag=True)
    logs.error(Operation.GIT_PUSH, "Failed to push", "timeout")
    lines = capsys.readouterr().out.split("\n")
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines[:3])
    assert [line[9:] for line in lines] == [
        "Downloaded east",
        r'WARNING Odd  [fetched=0 cluster="e a\nst" flag=True]',
        "ERROR Failed to push: timeout",
        "",
    ]


def test_text_shows_all_data_at_level_debug(capsys: Output) -> None:
    set_up(LogLevel.DEBUG, LogFormat.TEXT)
    logs.info(Operation.DOWNLOAD, "Downloaded east", cluster="east")
    assert capsys.readouterr().out.endswith(' Downloaded east  [cluster="east"]\n')


def test_text_escapes_control_sequences(capsys: Output) -> None:
    set_up(format_=LogFormat.TEXT)
    logs.error(Operation.GIT_PUSH, "Failed to push", "remote: \x1b]0;owned\x07 \u202e")
    line = capsys.readouterr().out
    assert "\\x1b]0;owned\\x07 \\u202e" in line
    assert line.rstrip("\n").isprintable()


def test_text_shows_several_problems_of_the_settings_on_lines_of_their_own(capsys: Output) -> None:
    set_up(format_=LogFormat.TEXT)
    with pytest.raises(FixConfiguration) as caught:
        read({"MINIO_BUCKET": "a/b", "SYNC_TIMEZONE": "\x1b[31m"})
    logs.failure(caught.value)
    first, *others = capsys.readouterr().out.splitlines()
    assert first.endswith("ERROR Invalid settings")
    assert others == [
        "  SYNC_TIMEZONE: character 1 is U+001B (a control character): remove it",
        "  MINIO_BUCKET: write only the name of the bucket, without s3:// and without a path",
    ]
    with pytest.raises(FixConfiguration) as caught:
        read({"MINIO_BUCKET": "a/b"})
    logs.failure(caught.value)
    assert "ERROR Invalid settings: MINIO_BUCKET: write only" in capsys.readouterr().out
