"""Types of settings: how their text is parsed and checked."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from steps.runtime.logs import LogLevel
from steps.runtime.settings.fields import token_in, unreadable
from steps.runtime.settings.reading import read
from tests.runtime.settings.parsing import SECRETS, one_problem, value_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, True) for text in ("true", "True", "TRUE", "1", "yes", "Yes", "on", "t", "y")),
        *((text, False) for text in ("false", "False", "FALSE", "0", "no", "No", "off", "f", "n")),
    ],
)
def test_boolean_accepts_usual_spellings(text: str, expected: bool) -> None:
    assert value_of("MINIO_USE_SSL", text) is expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("5s", 5),
        ("1.5s", 1.5),
        (".5h", 1800),
        ("250ms", 0.25),
        ("5us", 0.000005),
        ("5µs", 0.000005),
        ("1m30s", 90),
        ("2h", 7200),
        ("1h15m30.5s", 4530.5),
        ("+5s", 5),
    ],
)
def test_duration_has_the_syntax_of_go(text: str, seconds: float) -> None:
    assert read({"RETRY_DELAY": text}).retry.delay == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["5", "s", ".", "5 s", "5x", "1e3s", "5s3", "-5s", "five", "9" * 30 + "h"])
def test_duration_rejects_other_text_with_an_example(text: str) -> None:
    assert "5s, 1m30s or 2h" in one_problem("RETRY_DELAY", text) or text == "-5s"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("MINIO_PREFIX", "/", ""),
        ("MINIO_PREFIX", "a", "a/"),
        ("MINIO_PREFIX", "/a/b/", "a/b/"),
        ("GIT_PATH", "a/b", "a/b/"),
        ("GIT_PATH", "/a b/", "a b/"),
        ("MINIO_ENDPOINT", "localhost", "localhost"),
        ("MINIO_ENDPOINT", "[::1]:9000", "[::1]:9000"),
        ("MINIO_ENDPOINT", "10.0.0.1:9000", "10.0.0.1:9000"),
        ("LOG_LEVEL", "warn", LogLevel.WARNING),
        ("LOG_LEVEL", "Info", LogLevel.INFO),
        ("GIT_USERNAME", "  Zoë O'Neil ", "Zoë O'Neil"),
        ("GIT_TOKEN_USER", "bot\n", "bot"),
        ("GIT_PATH", "clusterbackup/ ", "clusterbackup/"),
        ("GIT_BRANCH", "main\r\n", "main"),
        ("GIT_REPOSITORY", "https://host/repo\n", "https://host/repo"),
        ("MINIO_BUCKET", "\ufeffcluster-backups\n", "cluster-backups"),
        ("MINIO_ENDPOINT", "\u00a0minio:9000\u200b", "minio:9000"),
        ("MINIO_USE_SSL", "false\n", False),
        ("RETRY_DELAY", " 5s", timedelta(seconds=5)),
        ("WORK_DIR", "/data\n", Path("/data")),
        ("GIT_USERNAME", "علی\u200cرضا 👩\u200d💻", "علی\u200cرضا 👩\u200d💻"),
        ("CLUSTERS", "east\r\nwe\u00a0st", ("east", "we\u00a0st")),
        ("SYNC_SCHEDULE", "*/15 * * * *", "*/15 * * * *"),
        ("CLUSTERS", " , \n,", ()),
        ("MAX_DELETE_PERCENT", "100", 100),
    ],
)
def test_values_are_normalised(name: str, text: str, expected: object) -> None:
    assert value_of(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text", "character"),
    [
        ("GIT_TOKEN_USER", "bot\nx", "character 4 is a line feed: remove it"),
        ("GIT_PATH", "cluster\u200bbackup", "character 8 is U+200B (zero width space): remove it"),
        ("GIT_BRANCH", "ma\u00a0in", "character 3 is U+00A0 (no-break space): remove it"),
        ("GIT_BRANCH", "ma\u200din", "character 3 is U+200D (zero width joiner): remove it"),
        ("GIT_REPOSITORY", "https://host/\u2060repo", "character 14 is U+2060 (word joiner): remove it"),
        ("GIT_EMAIL", "a\tb@c", "character 2 is a tab: remove it"),
        ("MINIO_BUCKET", "back\u00adups", "character 5 is U+00AD (soft hyphen): remove it"),
        ("MINIO_ENDPOINT", "min\u202eio", "character 4 is U+202E (right-to-left override): remove it"),
        ("MINIO_PREFIX", "a\rb", "character 2 is a carriage return: remove it"),
        ("MINIO_SECRET_KEY", "s3cr\x1b3t", "character 5 is U+001B (a control character): remove it"),
        ("SYNC_SCHEDULE", "*/15\u00a0* * * *", "character 5 is U+00A0 (no-break space): remove it"),
        ("NO_PROXY", "a\nb", "character 2 is a line feed: remove it"),
        ("CLUSTERS", "east,we\x00st", "character 3 is U+0000 (a control character): remove it"),
        ("WORK_DIR", "/da\ufeffta", "character 4 is U+FEFF (zero width no-break space): remove it"),
        ("GIT_BRANCH", "caf\udce9", "is not valid UTF-8"),
    ],
)
def test_control_or_invisible_character_is_named(name: str, text: str, character: str) -> None:
    assert one_problem(name, text) == character


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((name, "caf\udce9-s3cr3t") for name in SECRETS),
        ("WEBHOOK_URL", "https://hooks.example.com/caf\udce9-s3cr3t"),
        ("HTTPS_PROXY", "http://user:s3cr3t-\udce9@proxy:3128"),
        ("HTTPS_PROXY", "http://user:s3cr3t[@proxy:3128"),
        ("HTTPS_PROXY", "http://user:s3cr3t@proxy:none"),
        ("PUSHGATEWAY_URL", "http://user:s3cr3t@pushgateway:9091"),
        ("GIT_COMMIT_URL", "https://user:s3cr3t@git.example.com/commit/{commit}"),
    ],
)
def test_unusable_secret_is_rejected_and_not_shown(name: str, text: str) -> None:
    assert "s3cr3t" not in one_problem(name, text)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("-----BEGIN KEY-----\nx", "the path (not shown)"),
        ("a\0b", ""),
    ],
)
def test_unreadable_hides_a_path_that_may_be_a_secret(path: str, shown: str) -> None:
    (problem,) = unreadable({"SSH_KEY_PATH": path}, "SSH_KEY_PATH", "GIT_CA_FILE")
    assert problem.startswith(f"SSH_KEY_PATH: {shown}")
    assert "BEGIN" not in problem


def test_unreadable_accepts_a_readable_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert unreadable({"GIT_CA_FILE": str(tmp_path / "file")}, "GIT_CA_FILE") == []


def test_unreadable_does_not_read_a_pipe() -> None:
    reader, writer = os.pipe()
    path = f"/proc/self/fd/{reader}"
    assert unreadable({"GIT_TOKEN_FILE": path}, "GIT_TOKEN_FILE") == []
    os.close(writer)
    os.close(reader)


@pytest.mark.parametrize("text", [b"token \nmore", b"\xef\xbb\xbf\r\n\ttoken\r\n", b"\n \ntoken"])
def test_token_in_a_file_is_the_first_line_with_text(text: bytes) -> None:
    assert token_in(text) == b"token"
