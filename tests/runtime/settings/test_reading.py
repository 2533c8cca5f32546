"""Reading the settings: all at once, every problem by the name of its variable."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import asyncssh
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from steps.errors import FixConfiguration
from steps.runtime.logs import LogLevel
from steps.runtime.settings.reading import Needs, misspelt, read
from tests.runtime.settings.parsing import (
    BAD,
    EVERY_VARIABLE,
    MINIO,
    REQUIRED,
    SECRETS,
    groups,
    one_problem,
    problems,
    value_of,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", EVERY_VARIABLE)
def test_read_parses_every_variable(name: str) -> None:
    text, expected = EVERY_VARIABLE[name]
    found = value_of(name, text)
    assert (found.get_secret_value() if isinstance(found, SecretStr) else found) == expected
    assert isinstance(found, SecretStr) is (name in SECRETS)


def test_read_returns_none_for_settings_without_a_value() -> None:
    settings = read({})
    assert (settings.state, settings.delivery.webhook, settings.delivery.pushgateway) == (None, None, None)
    pages = settings.delivery.pages
    assert (pages.repository, pages.scheme, pages.download_only) == (None, None, False)


def test_settings_raise_for_a_group_that_was_not_required() -> None:
    for unusable in (
        lambda: read({}).s3,
        lambda: read({}).git,
        lambda: read({"GIT_REPOSITORY": "h:r"}).git.ssh_files,
    ):
        with pytest.raises(RuntimeError, match="Needs"):
            unusable()


def test_read_treats_an_empty_variable_as_not_set() -> None:
    assert read(dict.fromkeys(EVERY_VARIABLE, "") | {"GIT_REPOSITORY": "/r"}) == read(
        {"GIT_REPOSITORY": "/r"}
    )


def test_read_treats_white_space_alone_as_not_set_but_not_as_download_only_mode() -> None:
    assert read({"GIT_USERNAME": " \n"}) == read({})
    assert set(problems({"MINIO_SECRET_KEY": "\n"}, Needs.MINIO)) >= {"MINIO_SECRET_KEY"}
    assert one_problem("GIT_REPOSITORY", " ")


def test_read_lists_the_problems_in_data() -> None:
    with pytest.raises(FixConfiguration) as caught:
        read({"LOG_LEVEL": "loud", "MINIO_BUCKET": "s3://b"})
    assert caught.value.data["problems"] == caught.value.error.split("; ")


def test_read_takes_an_empty_repository_for_download_only_mode() -> None:
    assert read({"GIT_REPOSITORY": ""}, Needs.GIT).git.download_only
    assert read({"GIT_REPOSITORY": ""}).delivery.pages.download_only
    assert not read({}).delivery.pages.download_only
    assert list(problems({}, Needs.GIT)) == ["GIT_REPOSITORY"]


def test_read_prefers_options_to_the_environment() -> None:
    settings = read(
        {"DRY_RUN": "false", "LOG_LEVEL": "error"}, dry_run=True, allow_delete=("east,2:00000000000000ab",)
    )
    assert (settings.sync.dry_run, settings.guards.allow_delete, settings.log.level) == (
        True,
        ("east,2:00000000000000ab",),
        LogLevel.ERROR,
    )


def test_read_ignores_other_variables() -> None:
    assert read({"PATH": "/bin", "GIT_DIR": "/x", "minio_bucket": "x", "git_repository": "y"}) == read({})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("GIT_PATH", text) for text in ("/", "//", ".", "..", "../x", ".git", "a/.GIT/b", "a\\b", "a\nb")),
        *(("GIT_USERNAME", text) for text in ("a>b", "a\tb")),
        ("SYNC_TIMEZONE", "Europe"),
        ("CONCURRENCY", "257"),
    ],
)
def test_read_rejects_invalid_values_by_name(name: str, text: str) -> None:
    assert one_problem(name, text)


any_text = st.text(st.characters(exclude_characters="\0"), max_size=30) | st.text(
    "0123456789:/@.*-[]!\\~ ,smh", max_size=12
)


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")  # re warns about "[[" in EXCLUDE
@pytest.mark.parametrize("name", EVERY_VARIABLE)
@hypothesis_settings(max_examples=25)
@given(text=any_text)
def test_read_raises_no_other_error_for_any_text(name: str, text: str) -> None:
    if name == "SYNC_TIMEZONE":
        text = f"../{text}"  # test_delivery.py tests unknown zones
    with suppress(FixConfiguration):
        read(MINIO | {"GIT_REPOSITORY": "/r"} | {name: text}, *Needs)


def test_read_reports_every_problem_at_once() -> None:
    assert set(problems(BAD)) == set(BAD)


@pytest.mark.parametrize("name", BAD)
def test_read_reports_each_problem_alone(name: str) -> None:
    assert one_problem(name, BAD[name])


def test_read_reports_missing_settings_with_invalid_ones() -> None:
    reported = problems({"LOG_LEVEL": "loud", "GIT_REPOSITORY": "https://h/r"}, *Needs)
    assert set(reported) == {
        "LOG_LEVEL",
        "MINIO_ENDPOINT",
        "MINIO_ACCESS_KEY",
        "MINIO_SECRET_KEY",
        "MINIO_BUCKET",
        "GIT_TOKEN",
    }
    assert reported["MINIO_BUCKET"] == " is required (the bucket with the backups)"


def test_read_reports_an_unencrypted_repository_with_invalid_settings() -> None:
    reported = problems({"GIT_REPOSITORY": "http://h/r", "LOG_LEVEL": "loud"}, Needs.GIT)
    assert set(reported) == {"GIT_REPOSITORY", "LOG_LEVEL", "GIT_TOKEN"}


def test_read_without_needs_requires_nothing() -> None:
    assert read({}) == read({"PATH": "/bin"})


def test_read_requires_only_the_needs_of_the_step() -> None:
    assert read(MINIO, Needs.MINIO).s3.bucket == "cluster-backups"
    assert read({"GIT_REPOSITORY": "/r"}, Needs.GIT).git.scheme == "file"
    # This pod does not have the mounts of another pod.
    mounted_elsewhere = {
        "GIT_TOKEN_FILE": "/nowhere",
        "SSH_KEY_PATH": "/nowhere",
        "GIT_REPOSITORY": "https://h/r",
    }
    read(MINIO | mounted_elsewhere, Needs.MINIO)
    read({"GIT_REPOSITORY": "/r", "MINIO_CA_FILE": "/nowhere"}, Needs.GIT)


@pytest.mark.parametrize(
    ("repository", "given_variables", "missing"),
    [
        ("https://h/r", {}, {"GIT_TOKEN"}),
        ("https://h/r", {"GIT_TOKEN": "t"}, set()),
        ("https://h/r", {"GIT_TOKEN_FILE": "FILE"}, set()),
        ("https://h/r", {"GIT_TOKEN_FILE": "FILE", "GIT_TOKEN": "t"}, {"GIT_TOKEN_FILE"}),
        ("https://h/r", {"GIT_TOKEN_FILE": "/nowhere"}, {"GIT_TOKEN_FILE"}),
        ("https://h/r", {"GIT_TOKEN": "t", "GIT_CA_FILE": "/nowhere"}, {"GIT_CA_FILE"}),
        ("git@h:r", {}, {"SSH_KEY_PATH", "SSH_KNOWN_HOSTS_PATH"}),
        ("ssh://git@h/r", {"SSH_KEY_PATH": "FILE"}, {"SSH_KNOWN_HOSTS_PATH"}),
        ("ssh://git@h/r", {"SSH_KEY_PATH": "FILE", "SSH_KNOWN_HOSTS_PATH": "FILE"}, set()),
        ("ssh://git@h/r", {"SSH_KEY_PATH": "/nowhere", "SSH_KNOWN_HOSTS_PATH": "FILE"}, {"SSH_KEY_PATH"}),
        ("/srv/repo", {}, set()),
        ("", {}, set()),
    ],
)
def test_read_requires_the_credentials_of_the_repositorys_protocol(
    repository: str, given_variables: dict[str, str], missing: set[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    files = {name: text.replace("FILE", str(tmp_path / "file")) for name, text in given_variables.items()}
    environ = {"GIT_REPOSITORY": repository} | files
    if missing:
        assert set(problems(environ, Needs.GIT)) == missing
    else:
        read(environ, Needs.GIT)


def test_read_checks_only_the_files_of_the_repositorys_protocol(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    environ = {
        "GIT_REPOSITORY": "https://git.example.com/x.git",
        "GIT_TOKEN_FILE": str(tmp_path / "token"),
        "SSH_KEY_PATH": "/nowhere/key",
        "SSH_KNOWN_HOSTS_PATH": "/nowhere/hosts",
    }
    read(environ, Needs.GIT)
    assert set(problems(environ | {"GIT_REPOSITORY": "git@git.example.com:x.git"}, Needs.GIT)) == {
        "SSH_KEY_PATH",
        "SSH_KNOWN_HOSTS_PATH",
    }


def test_read_names_a_file_that_cannot_be_read() -> None:
    reported = problems(MINIO | {"MINIO_CA_FILE": "/nowhere/ca.pem"}, Needs.MINIO)
    assert reported == {"MINIO_CA_FILE": "/nowhere/ca.pem cannot be read; mount or create the file"}


def test_settings_show_no_secret() -> None:
    settings = read(REQUIRED | {name: EVERY_VARIABLE[name][0] for name in SECRETS})
    texts = [
        repr(settings),
        str(settings),
        f"{settings}",
        *(repr(group.model_dump()) for group in groups(settings)),
        *(str(group.model_dump()) for group in groups(settings)),
        *(group.model_dump_json() for group in groups(settings)),
        repr(vars(settings)),
        settings.identity,
    ]
    assert any("**********" in text for text in texts), "no group has a secret"
    for name in SECRETS:
        assert not [text for text in texts if EVERY_VARIABLE[name][0] in text]
    assert not [text for text in texts if "pw-4" in text]


def test_read_shows_no_secret_in_the_error_about_other_settings() -> None:
    environ = {name: EVERY_VARIABLE[name][0] for name in SECRETS} | BAD
    with pytest.raises(FixConfiguration) as caught:
        read(environ, *Needs)
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    for name in SECRETS:
        assert not [link for link in chain if EVERY_VARIABLE[name][0] in f"{link}{link!r}"]


def test_misspelt_finds_names_close_to_a_setting() -> None:
    environ = dict.fromkeys(["CLUSTER", "MINIO_USESSL", "GIT_REPOSITORY", "PATH", "HOSTNAME"], "x")
    assert misspelt(environ) == [("CLUSTER", "CLUSTERS"), ("MINIO_USESSL", "MINIO_USE_SSL")]


def test_misspelt_ignores_variables_that_pods_often_have() -> None:
    assert misspelt(dict.fromkeys(["HTTP_PROXY", "NAMESPACE", "minio_bucke"], "x")) == []
