"""VOLATILE_FIELDS, RULES_FILE, SECRETS and its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.errors import FixConfiguration
from steps.kubernetes.policy import Policy, VolatileFields, key_id
from steps.kubernetes.secret_filter import SecretsMode
from steps.kubernetes.volatile import BUILT_IN, Rule
from steps.runtime.settings.reading import read

if TYPE_CHECKING:
    from pathlib import Path


def policy(**settings: str) -> Policy:
    return read(settings).content.policy


def test_policy_without_settings_keeps_everything() -> None:
    assert policy() == Policy()


def test_rules_of_the_file_follow_the_built_in_ones(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("- {kinds: [Pod], omit: true}\n")
    found = policy(VOLATILE_FIELDS="strip", RULES_FILE=str(tmp_path / "rules"))
    assert found == Policy(VolatileFields.STRIP, (*BUILT_IN, Rule(("Pod",), omit=True)))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read; mount or create the file"),
        ("\n", "cannot be used: the file is empty"),
        ("- {kinds: [Pod], omit: maybe}\n", "rule 1 (line 1): omit must be true or false"),
    ],
)
def test_wrong_file_is_a_problem_of_the_settings(tmp_path: Path, content: str | None, problem: str) -> None:
    file = tmp_path / "rules"
    if content is not None:
        file.write_text(content)
    with pytest.raises(FixConfiguration) as error:
        policy(RULES_FILE=str(file))
    assert str(error.value.error).startswith("RULES_FILE: ")
    assert str(error.value.error).endswith(problem)


KEY = "0123456789abcdef0123456789abcdef"


def test_policy_has_the_id_of_the_key_and_not_the_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"\ufeff{KEY}\n")
    found = policy(SECRETS="redact", SECRETS_KEY=KEY)
    assert found == policy(SECRETS="Redact", SECRETS_KEY_FILE=str(tmp_path / "key"))
    assert found == Policy(secrets=SecretsMode.REDACT, secrets_key_id=key_id(KEY.encode()))
    assert KEY not in repr(found)
    assert found.rewrites
    assert not found.strips


def test_digest_depends_on_everything_that_decides_about_the_content() -> None:
    digests = [
        policy(**settings).digest
        for settings in (
            {"SECRETS": "exclude"},
            {"SECRETS": "redact", "SECRETS_KEY": KEY},
            {"SECRETS": "redact", "SECRETS_KEY": KEY.upper()},
            {"SECRETS": "redact", "SECRETS_KEY": KEY, "VOLATILE_FIELDS": "strip"},
            {"VOLATILE_FIELDS": "strip"},
        )
    ]
    assert len(set(digests)) == len(digests)
    assert policy(SECRETS="keep").digest == policy().digest == ""
    assert policy(SECRETS="exclude", SECRETS_KEY=KEY).digest == digests[0]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "SECRETS_KEY: SECRETS=redact needs a key: set this or SECRETS_KEY_FILE"),
        (
            {"SECRETS_KEY": KEY[1:]},
            "SECRETS_KEY: the key must have 32 bytes or more: create one with openssl rand -hex 32",
        ),
        (
            {"SECRETS_KEY_FILE": "/nowhere"},
            "SECRETS_KEY_FILE: /nowhere cannot be read; mount or create the file",
        ),
        (
            {"SECRETS_KEY": KEY, "SECRETS_KEY_FILE": "/k"},
            "SECRETS_KEY_FILE: set either this or SECRETS_KEY, not both",
        ),
    ],
)
def test_wrong_key_is_a_problem_of_the_settings(settings: dict[str, str], problem: str) -> None:
    with pytest.raises(FixConfiguration) as error:
        _ = policy(SECRETS="redact", **settings).digest
    assert str(error.value.error) == problem
    assert policy(SECRETS="exclude", **settings).hides_secrets
