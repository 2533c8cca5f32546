"""The log's lines: one JSON object each, or text for people; no secret in either."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest

from steps.core.exit_codes import Exit
from steps.core.operations import Operation
from steps.errors import FixConfiguration, Terminated, TryAgain
from steps.runtime import logs
from steps.runtime.logs import LogFormat, LogLevel
from steps.runtime.settings.reading import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    logger = logging.getLogger("git-sync")
    before = (logger.handlers, logger.propagate, logger.level)
    yield
    logger.handlers, logger.propagate = before[:2]
    logger.setLevel(before[2])


def set_up(
    level: LogLevel = LogLevel.INFO,
    format_: LogFormat = LogFormat.JSON,
    secrets: Callable[[], list[str]] = list,
) -> None:
    logs.set_up(level, format_, secrets)


def entries(output: Output) -> list[dict[str, Any]]:
    lines = output.readouterr().out.split("\n")
    assert lines.pop() == ""
    return [json.loads(line) for line in lines]


# -- JSON lines -------------------------------------------------------------------------------


def test_a_line_has_exactly_the_documented_fields_in_their_order(capsys: Output) -> None:
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


def test_the_timestamp_is_utc_wherever_the_process_runs(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_levels_are_lower_case_and_only_failures_have_an_error(capsys: Output) -> None:
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
def test_what_is_below_the_level_is_not_written(level: LogLevel, capsys: Output) -> None:
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
def test_any_text_stays_on_one_line_and_comes_back(text: str, capsys: Output) -> None:
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


def test_data_may_hold_what_the_steps_put_there(capsys: Output, tmp_path: Path) -> None:
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
def test_a_problem_of_ours_is_an_error_under_its_own_operation(
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


def test_debug_adds_where_a_problem_came_from(capsys: Output) -> None:
    set_up(LogLevel.DEBUG)
    try:
        raise TryAgain(Operation.GIT_PUSH, "Failed to push", "timeout")
    except TryAgain as problem:
        logs.failure(problem)
    error, detail = entries(capsys)
    assert (error["level"], detail["level"]) == ("error", "debug")
    assert "test_debug_adds_where_a_problem_came_from" in detail["data"]["traceback"]


def test_setting_up_again_replaces_the_log_and_adds_no_second_line(capsys: Output) -> None:
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
def test_text_is_for_terminals_unless_the_operator_says_otherwise(
    format_: LogFormat, on_a_terminal: bool, for_people: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Terminal() if on_a_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    set_up(format_=format_)
    logs.info(Operation.INTERNAL, "hello")
    assert logs.is_for_people(format_) is for_people
    assert out.getvalue().startswith("{") is not for_people


def test_text_tells_people_what_happened_and_more_where_something_is_wrong(capsys: Output) -> None:
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


def test_text_tells_all_when_debug_lines_are_wanted(capsys: Output) -> None:
    set_up(LogLevel.DEBUG, LogFormat.TEXT)
    logs.info(Operation.DOWNLOAD, "Downloaded east", cluster="east")
    assert capsys.readouterr().out.endswith(' Downloaded east  [cluster="east"]\n')


def test_text_holds_nothing_that_a_terminal_obeys(capsys: Output) -> None:
    set_up(format_=LogFormat.TEXT)
    logs.error(Operation.GIT_PUSH, "Failed to push", "remote: \x1b]0;owned\x07 \u202e")
    line = capsys.readouterr().out
    assert "\\x1b]0;owned\\x07 \\u202e" in line
    assert line.rstrip("\n").isprintable()


# -- secrets ----------------------------------------------------------------------------------

HOSTILE_SECRET = 'p"a\\s/s+w&ö %rd<'


@pytest.mark.parametrize("format_", [LogFormat.JSON, LogFormat.TEXT])
@pytest.mark.parametrize("secret", ["ghp_0123456789", HOSTILE_SECRET])
@pytest.mark.parametrize(
    "spelling", ["{plain}", "'{plain}'", "https://x:{url}@host/path", "<Key>{xml}</Key>"]
)
def test_no_secret_is_written_in_any_field_and_spelling(
    spelling: str, secret: str, format_: LogFormat, capsys: Output
) -> None:
    set_up(LogLevel.DEBUG, format_, lambda: [secret])
    text = spelling.format(plain=secret, url=quote(secret, safe=""), xml=escape(secret))
    logs.error(
        Operation.INTERNAL,
        f"before {text}",
        f"cause {text}",
        key=text,
        nested={"list": [text], text: (text, 1)},
    )
    try:
        raise TryAgain(Operation.INTERNAL, "m", text)
    except TryAgain as problem:
        logs.failure(problem)
    out = capsys.readouterr().out
    for spelt in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), escape(secret)):
        assert spelt not in out
    assert out.count("***") >= 5


@pytest.mark.parametrize("format_", [LogFormat.JSON, LogFormat.TEXT])
def test_a_secret_in_json_that_a_server_answered_is_hidden(format_: LogFormat, capsys: Output) -> None:
    set_up(format_=format_, secrets=lambda: [HOSTILE_SECRET])
    logs.info(Operation.INTERNAL, "m", answer=json.dumps({"password": HOSTILE_SECRET}))
    assert "s/s+w" not in capsys.readouterr().out


def test_a_token_file_is_read_anew_at_every_line(capsys: Output, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("first-token\n")
    settings = read({"GIT_TOKEN_FILE": str(token_file)})
    set_up(secrets=settings.secrets)
    logs.info(Operation.INTERNAL, "first-token")
    token_file.write_text("second-token\n")
    logs.info(Operation.INTERNAL, "second-token")
    assert [entry["message"] for entry in entries(capsys)] == ["***", "***"]


def test_the_token_is_the_first_line_of_its_file(capsys: Output, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("first-token\r\nissued in May\n")
    set_up(secrets=read({"GIT_TOKEN_FILE": str(token_file)}).secrets)
    logs.info(Operation.INTERNAL, "first-token was issued in May")
    assert entries(capsys)[0]["message"] == "*** was issued in May"


@pytest.mark.parametrize("text", ["/" * 100_000, "\\" * 100_000, "A" * 100_000, "%2F" * 33_000])
def test_no_answer_makes_the_search_for_secrets_slow(text: str, capsys: Output) -> None:
    """One that took time by the square would take an hour here."""
    set_up(secrets=lambda: [HOSTILE_SECRET, "/services/T0/B1/x", "%%//\\\\==", "A" * 40 + "!"])
    logs.info(Operation.INTERNAL, text)
    assert entries(capsys)


def test_an_empty_secret_hides_nothing(capsys: Output) -> None:
    set_up(secrets=lambda: ["", "tok"])
    logs.info(Operation.INTERNAL, "a token")
    assert entries(capsys)[0]["message"] == "a ***en"


@pytest.mark.parametrize("format_", [LogFormat.JSON, LogFormat.TEXT])
def test_a_secret_that_begins_with_another_one_is_hidden_whole(format_: LogFormat, capsys: Output) -> None:
    set_up(format_=format_, secrets=lambda: ["minio", "minio123"])
    logs.info(Operation.INTERNAL, "the key is minio123.")
    assert "123" not in re.sub(r'\d\d:\d\d:\d\d|"timestamp": "[^"]*"', "", capsys.readouterr().out)


@pytest.mark.parametrize("secret", ["git-sync", "minio", "data", "info"])
def test_a_common_word_as_a_secret_leaves_the_fields_readable(secret: str, capsys: Output) -> None:
    set_up(secrets=lambda: [secret])
    logs.info(Operation.MINIO_CONNECT, f"as {secret}")
    (entry,) = entries(capsys)
    assert list(entry) == ["timestamp", "level", "component", "operation", "message", "data"]
    assert (entry["level"], entry["component"], entry["operation"]) == ("info", "git-sync", "minio_connect")
    assert entry["message"] == "as ***"


def test_a_secret_of_digits_leaves_the_line_json(capsys: Output) -> None:
    set_up(secrets=lambda: ["2345"])
    logs.info(Operation.INTERNAL, "m", bytes=123456)
    entries(capsys)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_token_file_that_is_not_mounted_here_or_damaged_does_not_stop_the_log(
    content: bytes | None, capsys: Output, tmp_path: Path
) -> None:
    # A download pod has the variable from the shared ConfigMap, and no such mount.
    token_file = tmp_path / "token"
    if content is not None:
        token_file.write_bytes(content)
    set_up(secrets=read({"GIT_TOKEN_FILE": str(token_file)}).secrets)
    logs.info(Operation.INTERNAL, "still here")
    assert entries(capsys)[0]["message"] == "still here"


def test_a_secret_that_came_with_a_line_feed_is_hidden_without_it(capsys: Output) -> None:
    set_up(secrets=read({"GIT_TOKEN": "ghp_0123456789\n"}).secrets)
    logs.info(Operation.INTERNAL, "token ghp_0123456789 refused")
    assert "ghp_0123456789" not in capsys.readouterr().out
