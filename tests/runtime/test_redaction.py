"""Redaction: no secret in the log, in any field, spelling and format."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest

from steps.core.operations import Operation
from steps.errors import TryAgain
from steps.runtime import logs, redaction
from steps.runtime.logs import LogFormat, LogLevel
from steps.runtime.settings.reading import read
from tests.support.log_lines import Output, entries, set_up

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("restored_log")

HOSTILE_SECRET = 'p"a\\s/s+w&ö %rd<'


@pytest.mark.parametrize("format_", [LogFormat.JSON, LogFormat.TEXT])
@pytest.mark.parametrize("secret", ["ghp_0123456789", HOSTILE_SECRET])
@pytest.mark.parametrize(
    "spelling", ["{plain}", "'{plain}'", "https://x:{url}@host/path", "<Key>{xml}</Key>"]
)
def test_redaction_masks_every_field_and_spelling(
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
def test_redaction_masks_a_secret_in_quoted_json(format_: LogFormat, capsys: Output) -> None:
    set_up(format_=format_, secrets=lambda: [HOSTILE_SECRET])
    logs.info(Operation.INTERNAL, "m", answer=json.dumps({"password": HOSTILE_SECRET}))
    assert "s/s+w" not in capsys.readouterr().out


def test_redaction_reads_the_token_file_at_every_line(capsys: Output, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("first-token\n")
    settings = read({"GIT_TOKEN_FILE": str(token_file)})
    set_up(secrets=settings.secrets)
    logs.info(Operation.INTERNAL, "first-token")
    token_file.write_text("second-token\n")
    logs.info(Operation.INTERNAL, "second-token")
    assert [entry["message"] for entry in entries(capsys)] == ["***", "***"]


def test_redaction_masks_the_first_line_of_the_token_file(capsys: Output, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("first-token\r\nissued in May\n")
    set_up(secrets=read({"GIT_TOKEN_FILE": str(token_file)}).secrets)
    logs.info(Operation.INTERNAL, "first-token was issued in May")
    assert entries(capsys)[0]["message"] == "*** was issued in May"


@pytest.mark.parametrize("text", ["/" * 100_000, "\\" * 100_000, "A" * 100_000, "%2F" * 33_000])
def test_redaction_takes_linear_time(text: str, capsys: Output) -> None:
    """A search in quadratic time would take an hour."""
    set_up(secrets=lambda: [HOSTILE_SECRET, "/services/T0/B1/x", "%%//\\\\==", "A" * 40 + "!"])
    logs.info(Operation.INTERNAL, text)
    assert entries(capsys)


def test_redaction_ignores_an_empty_secret(capsys: Output) -> None:
    set_up(secrets=lambda: ["", "tok"])
    logs.info(Operation.INTERNAL, "a token")
    assert entries(capsys)[0]["message"] == "a ***en"


@pytest.mark.parametrize("format_", [LogFormat.JSON, LogFormat.TEXT])
def test_redaction_masks_the_longest_secret_first(format_: LogFormat, capsys: Output) -> None:
    set_up(format_=format_, secrets=lambda: ["minio", "minio123"])
    logs.info(Operation.INTERNAL, "the key is minio123.")
    assert "123" not in re.sub(r'\d\d:\d\d:\d\d|"timestamp": "[^"]*"', "", capsys.readouterr().out)


@pytest.mark.parametrize("secret", ["git-sync", "minio", "data", "info"])
def test_redaction_leaves_field_names_readable(secret: str, capsys: Output) -> None:
    set_up(secrets=lambda: [secret])
    logs.info(Operation.MINIO_CONNECT, f"as {secret}")
    (entry,) = entries(capsys)
    assert list(entry) == ["timestamp", "level", "component", "operation", "message", "data"]
    assert (entry["level"], entry["component"], entry["operation"]) == ("info", "git-sync", "minio_connect")
    assert entry["message"] == "as ***"


def test_redaction_leaves_numbers_in_json(capsys: Output) -> None:
    set_up(secrets=lambda: ["2345"])
    logs.info(Operation.INTERNAL, "m", bytes=123456)
    entries(capsys)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_redaction_ignores_an_unreadable_token_file(
    content: bytes | None, capsys: Output, tmp_path: Path
) -> None:
    # A download pod has the variable from the shared ConfigMap, but not the mount.
    token_file = tmp_path / "token"
    if content is not None:
        token_file.write_bytes(content)
    set_up(secrets=read({"GIT_TOKEN_FILE": str(token_file)}).secrets)
    logs.info(Operation.INTERNAL, "still here")
    assert entries(capsys)[0]["message"] == "still here"


def test_redaction_masks_a_secret_without_its_line_feed(capsys: Output) -> None:
    set_up(secrets=read({"GIT_TOKEN": "ghp_0123456789\n"}).secrets)
    logs.info(Operation.INTERNAL, "token ghp_0123456789 refused")
    assert "ghp_0123456789" not in capsys.readouterr().out


@pytest.mark.parametrize("before", ["", "x", "xy", "user:"])
def test_redaction_masks_a_secret_inside_of_base64(before: str) -> None:
    redaction.set_up(lambda: ["ghp_0123456789abcdef"])
    header = b64encode(f"{before}ghp_0123456789abcdef and more".encode()).decode()
    visible = redaction.redacted(f"Authorization: Basic {header}")
    assert "***" in visible
    assert len(visible) < len("Authorization: Basic ***") + 8


def test_redacted_masks_text_for_documents() -> None:
    redaction.set_up(lambda: ["first", "second"])
    assert redaction.redacted("first, then second") == "***, then ***"
    redaction.set_up(list)
    assert redaction.redacted("first, then second") == "first, then second"
