"""The values that the log must redact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps.runtime.settings.reading import read
from tests.runtime.settings.parsing import EVERY_VARIABLE, SECRETS

if TYPE_CHECKING:
    from pathlib import Path


def test_texts_contains_every_secret() -> None:
    settings = read({name: EVERY_VARIABLE[name][0] for name in SECRETS})
    within = {"pw-4", "/hook-5"}  # the password of the proxy, and the path of the webhook
    assert set(settings.secrets()) == {EVERY_VARIABLE[name][0] for name in SECRETS} | within
    assert read({}).secrets() == []


def test_texts_contains_the_decoded_password_of_the_proxy() -> None:
    assert "p@ss/word" in read({"HTTPS_PROXY": "http://user:p%40ss%2Fword@proxy:3128"}).secrets()


def test_texts_reads_the_token_file_at_every_call(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    settings = read({"GIT_TOKEN_FILE": str(path)})
    assert [secret.strip() for secret in settings.secrets()] == ["first"]
    path.write_text("second\n")
    assert [secret.strip() for secret in settings.secrets()] == ["second"]


def test_texts_contains_the_secrets_of_groups_that_are_incomplete() -> None:
    assert read({"STATE_SECRET_KEY": "state-9\n"}).secrets() == ["state-9"]


def test_texts_ignores_an_unreadable_token_file(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("missing", "binary"):
        assert read({"GIT_TOKEN_FILE": str(tmp_path / name)}).secrets() == []
