"""Every setting from the environment, and every way in which one may be wrong."""

from __future__ import annotations

import re
import subprocess
from contextlib import suppress
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from steps.contracts import Mode
from steps.core.deletion_guard import Limits, Vanished
from steps.core.filters import Selection
from steps.errors import FixConfiguration
from steps.runtime.logs import LogFormat, LogLevel
from steps.runtime.settings.catalogue import catalogue
from steps.runtime.settings.delivery import On
from steps.runtime.settings.fields import Group
from steps.runtime.settings.reading import Needs, Settings, read
from tests.support.repositories import git_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

# What each variable's text becomes. Secrets are compared by their values.
EVERY_VARIABLE: dict[str, tuple[str, object]] = {
    "MINIO_ENDPOINT": ("minio.example.com:9000", "minio.example.com:9000"),
    "MINIO_ACCESS_KEY": ("access-1", "access-1"),
    "MINIO_SECRET_KEY": ("secret-2", "secret-2"),
    "MINIO_BUCKET": ("cluster-backups", "cluster-backups"),
    "MINIO_USE_SSL": ("false", False),
    "MINIO_PREFIX": ("/backups/k8s", "backups/k8s/"),
    "MINIO_REGION": ("eu-central-1", "eu-central-1"),
    "MINIO_CA_FILE": ("/etc/ca.pem", Path("/etc/ca.pem")),
    "GIT_REPOSITORY": ("https://github.com/org/repo.git", "https://github.com/org/repo.git"),
    "GIT_BRANCH": ("backups/production-east", "backups/production-east"),
    "GIT_PATH": ("clusters", "clusters/"),
    "GIT_USERNAME": ("cluster-backup-bot", "cluster-backup-bot"),
    "GIT_EMAIL": ("backup@yourcompany.com", "backup@yourcompany.com"),
    "GIT_TOKEN": ("ghp_token-3", "ghp_token-3"),
    "GIT_TOKEN_FILE": ("/run/token", Path("/run/token")),
    "GIT_TOKEN_USER": ("oauth2", "oauth2"),
    "GIT_CA_FILE": ("/etc/git-ca.pem", Path("/etc/git-ca.pem")),
    "GIT_ALLOW_HTTP": ("true", True),
    "SSH_KEY_PATH": ("/etc/ssh/key", Path("/etc/ssh/key")),
    "SSH_KNOWN_HOSTS_PATH": ("/etc/ssh/known_hosts", Path("/etc/ssh/known_hosts")),
    "WORK_DIR": ("/data", Path("/data")),
    "SYNC_MODE": ("Full", Mode.FULL),
    "CLUSTERS": ("prod-*, !prod-west", ("prod-*", "!prod-west")),
    "NAMESPACES": ("default\nkube-system\n", ("default", "kube-system")),
    "EXCLUDE": ("*.log,,secrets/", ("*.log", "secrets/")),
    "CONCURRENCY": ("20", 20),
    "MAX_OBJECT_BYTES": ("1048576", 1_048_576),
    "MAX_SHARDS": ("7", 7),
    "DRY_RUN": ("yes", True),
    "MAX_DELETE_COUNT": ("0", 0),
    "MAX_DELETE_PERCENT": ("12.5", 12.5),
    "CLUSTER_VANISHED": ("KEEP", Vanished.KEEP),
    "ALLOW_DELETE": (
        "east:00000000000000ca,west:00000000000000be",
        ("east:00000000000000ca", "west:00000000000000be"),
    ),
    "MAX_CLUSTERS": ("20", 20),
    "MAX_OBJECTS": ("0", 0),
    "MAX_NEW_BYTES": ("1000000", 1_000_000),
    "MAX_RUN_OBJECTS": ("5000", 5000),
    "MAX_RUN_NEW_BYTES": ("5000000", 5_000_000),
    "RETRY_ATTEMPTS": ("5", 5),
    "RETRY_DELAY": ("1m30s", timedelta(seconds=90)),
    "SYNC_SCHEDULE": ("0 9-17 * * 1-5", "0 9-17 * * 1-5"),
    "SYNC_TIMEZONE": ("Europe/Berlin", "Europe/Berlin"),
    "HEALTH_MAX_AGE": ("26h", timedelta(hours=26)),
    "METRICS_PORT": ("9090", 9090),
    "PUSHGATEWAY_URL": ("http://pushgateway:9091/path", "http://pushgateway:9091/path"),
    "PUSHGATEWAY_JOB": ("git-sync-east", "git-sync-east"),
    "PUSHGATEWAY_USERNAME": ("sync", "sync"),
    "PUSHGATEWAY_PASSWORD": ("password-6", "password-6"),
    "PUSHGATEWAY_CA_FILE": ("/etc/git-sync/gateway.pem", Path("/etc/git-sync/gateway.pem")),
    "SCRAPE_INTERVAL": ("30s", timedelta(seconds=30)),
    "WEBHOOK_URL": ("https://hooks.example.com/hook-5", "https://hooks.example.com/hook-5"),
    "WEBHOOK_ON": ("change, failure", (On.CHANGE, On.FAILURE)),
    "WEBHOOK_SECRET": ("signing-7", "signing-7"),
    "WEBHOOK_CA_FILE": ("/etc/git-sync/hooks.pem", Path("/etc/git-sync/hooks.pem")),
    "GIT_COMMIT_URL": ("https://git.example.com/x/{commit}", "https://git.example.com/x/{commit}"),
    "STATE_ENDPOINT": ("artifacts.example.com:9000", "artifacts.example.com:9000"),
    "STATE_BUCKET": ("argo-artifacts", "argo-artifacts"),
    "STATE_KEY": ("git-sync/state.json", "git-sync/state.json"),
    "STATE_NAMESPACE": ("backup-system", "backup-system"),
    "STATE_ACCESS_KEY": ("state-8", "state-8"),
    "STATE_SECRET_KEY": ("state-9", "state-9"),
    "STATE_USE_SSL": ("false", False),
    "STATE_REGION": ("eu-central-1", "eu-central-1"),
    "STATE_CA_FILE": ("/etc/git-sync/state.pem", Path("/etc/git-sync/state.pem")),
    "LOG_LEVEL": ("DEBUG", LogLevel.DEBUG),
    "LOG_FORMAT": ("Json", LogFormat.JSON),
    "HTTPS_PROXY": ("http://user:pw-4@proxy:3128", "http://user:pw-4@proxy:3128"),
    "NO_PROXY": ("localhost,.internal", "localhost,.internal"),
}
SECRETS = (
    *("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "GIT_TOKEN", "HTTPS_PROXY", "WEBHOOK_URL", "WEBHOOK_SECRET"),
    *("PUSHGATEWAY_PASSWORD", "STATE_ACCESS_KEY", "STATE_SECRET_KEY"),
)

DEFAULTS: dict[str, object] = {
    "MINIO_USE_SSL": True,
    "MINIO_PREFIX": "clusterbackup/",
    "GIT_BRANCH": "main",
    "GIT_PATH": "clusterbackup/",
    "GIT_ALLOW_HTTP": False,
    "WORK_DIR": Path("/workspace"),
    "SYNC_MODE": Mode.INCREMENTAL,
    "CLUSTERS": (),
    "NAMESPACES": (),
    "EXCLUDE": (),
    "ALLOW_DELETE": (),
    "CONCURRENCY": 10,
    "MAX_OBJECT_BYTES": 95 * 1024 * 1024,
    "DRY_RUN": False,
    "MAX_DELETE_COUNT": 5,
    "MAX_DELETE_PERCENT": 20,
    "CLUSTER_VANISHED": Vanished.REFUSE,
    "RETRY_ATTEMPTS": 3,
    "RETRY_DELAY": timedelta(seconds=5),
    "SYNC_SCHEDULE": None,
    "SYNC_TIMEZONE": "UTC",
    "HEALTH_MAX_AGE": None,
    "METRICS_PORT": 8080,
    "PUSHGATEWAY_JOB": "git-sync",
    "SCRAPE_INTERVAL": timedelta(minutes=1),
    "WEBHOOK_ON": (On.ALWAYS,),
    "STATE_USE_SSL": True,
    "LOG_LEVEL": LogLevel.INFO,
    "LOG_FORMAT": LogFormat.AUTO,
}

# Each of these is wrong for a reason of its own.
BAD = {
    "MINIO_ENDPOINT": "http://minio:9000",
    "MINIO_USE_SSL": "perhaps",
    "MINIO_PREFIX": "a//b",
    "GIT_REPOSITORY": "ftp://host/repo",
    "GIT_BRANCH": "two words",
    "GIT_PATH": "a/../b",
    "GIT_USERNAME": "a<b",
    "GIT_EMAIL": "a\nb",
    "GIT_ALLOW_HTTP": "2",
    "SYNC_MODE": "partly",
    "CONCURRENCY": "0",
    "MAX_OBJECT_BYTES": "1GB",
    "MAX_SHARDS": "0",
    "DRY_RUN": "maybe",
    "MAX_CLUSTERS": "-1",
    "MAX_OBJECTS": "-1",
    "MAX_NEW_BYTES": "1GiB",
    "MAX_RUN_OBJECTS": "-1",
    "MAX_RUN_NEW_BYTES": "-1",
    "MAX_DELETE_COUNT": "-1",
    "MAX_DELETE_PERCENT": "101",
    "CLUSTER_VANISHED": "shrug",
    "RETRY_ATTEMPTS": "many",
    "RETRY_DELAY": "5",
    "SYNC_SCHEDULE": "at night",
    "SYNC_TIMEZONE": "../../etc/passwd",
    "HEALTH_MAX_AGE": "-1h",
    "METRICS_PORT": "65536",
    "PUSHGATEWAY_URL": "pushgateway:9091",
    "SCRAPE_INTERVAL": "1",
    "WEBHOOK_ON": "never",
    "GIT_COMMIT_URL": "https://git.example.com/commit/",
    "STATE_ENDPOINT": "https://artifacts.example.com",
    "STATE_REGION": "a b",
    "LOG_LEVEL": "loud",
    "LOG_FORMAT": "xml",
}

# With these set, every group of settings exists.
REQUIRED = {
    name: EVERY_VARIABLE[name][0]
    for name in (
        *("MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "MINIO_BUCKET", "GIT_REPOSITORY"),
        *("STATE_ENDPOINT", "STATE_ACCESS_KEY", "STATE_SECRET_KEY", "STATE_BUCKET", "STATE_KEY"),
        *("PUSHGATEWAY_URL", "WEBHOOK_URL"),
    )
}
MINIO = {name: EVERY_VARIABLE[name][0] for name in EVERY_VARIABLE if name.startswith("MINIO_")} | {
    "MINIO_CA_FILE": ""
}


def problems(environ: Mapping[str, str], *needs: Needs) -> dict[str, str]:
    """What the error says, by variable."""
    with pytest.raises(FixConfiguration) as caught:
        read(environ, *needs)
    assert (caught.value.operation, caught.value.exit) == ("configuration", 40)
    _, *reported = re.split(r"(?:^|; )([A-Z_]+)(?=: | is required)", caught.value.error)
    assert len(set(reported[::2])) == len(reported[::2])
    return {name: text.removeprefix(": ") for name, text in zip(reported[::2], reported[1::2], strict=True)}


def one_problem(name: str, text: str) -> str:
    reported = problems({name: text})
    assert list(reported) == [name]
    return reported[name]


def groups(settings: Settings) -> list[Group]:
    """Every group of settings that exists."""
    found = [getattr(owner, field.name) for owner in (settings, settings.delivery) for field in fields(owner)]
    return [group for group in found if isinstance(group, Group)]


def value(settings: Settings, variable: str) -> object:
    """The value of a variable, which is the same in all groups that have it."""
    (found,) = {
        getattr(group, name)
        for group in groups(settings)
        for name, field in type(group).model_fields.items()
        if field.alias == variable
    }
    return found


def value_of(variable: str, text: str) -> object:
    """The value that this text becomes."""
    return value(read(REQUIRED | {variable: text}), variable)


# -- values -----------------------------------------------------------------------------------


def test_every_setting_has_its_line_in_this_table() -> None:
    assert list(EVERY_VARIABLE) == [setting.name for setting in catalogue()]


def test_groups_have_no_variable_that_the_catalogue_lacks() -> None:
    settings = read({name: text for name, (text, _) in EVERY_VARIABLE.items()})
    in_groups = {field.alias for group in groups(settings) for field in type(group).model_fields.values()}
    assert in_groups == {setting.name for setting in catalogue()}


@pytest.mark.parametrize("name", EVERY_VARIABLE)
def test_every_variable_is_read(name: str) -> None:
    text, expected = EVERY_VARIABLE[name]
    found = value_of(name, text)
    assert (found.get_secret_value() if isinstance(found, SecretStr) else found) == expected
    assert isinstance(found, SecretStr) is (name in SECRETS)


def test_the_defaults_are_the_documented_ones() -> None:
    settings = read(REQUIRED)
    assert {name: value(settings, name) for name in DEFAULTS} == DEFAULTS
    documented = {setting.name: setting.default for setting in catalogue()}
    assert {name: documented[name] for name in DEFAULTS} == DEFAULTS


def test_settings_without_a_value_are_none() -> None:
    settings = read({})
    assert (settings.state, settings.delivery.webhook, settings.delivery.pushgateway) == (None, None, None)
    pages = settings.delivery.pages
    assert (pages.repository, pages.scheme, pages.download_only) == (None, None, False)


def test_a_group_that_was_not_required_is_an_error_of_ours() -> None:
    for unusable in (
        lambda: read({}).s3,
        lambda: read({}).git,
        lambda: read({"GIT_REPOSITORY": "h:r"}).git.ssh_files,
    ):
        with pytest.raises(RuntimeError, match="Needs"):
            unusable()


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read(dict.fromkeys(EVERY_VARIABLE, "") | {"GIT_REPOSITORY": "/r"}) == read(
        {"GIT_REPOSITORY": "/r"}
    )


def test_an_empty_repository_means_download_only_and_an_unset_one_does_not() -> None:
    assert read({"GIT_REPOSITORY": ""}, Needs.GIT).git.download_only
    assert read({"GIT_REPOSITORY": ""}).delivery.pages.download_only
    assert not read({}).delivery.pages.download_only
    assert list(problems({}, Needs.GIT)) == ["GIT_REPOSITORY"]


def test_options_stand_above_the_environment() -> None:
    settings = read(
        {"DRY_RUN": "false", "LOG_LEVEL": "error"}, dry_run=True, allow_delete=("east,2:00000000000000ab",)
    )
    assert (settings.sync.dry_run, settings.guards.allow_delete, settings.log.level) == (
        True,
        ("east,2:00000000000000ab",),
        LogLevel.ERROR,
    )


def test_what_others_have_in_their_environment_is_no_problem() -> None:
    assert read({"PATH": "/bin", "GIT_DIR": "/x", "minio_bucket": "x", "git_repository": "y"}) == read({})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, True) for text in ("true", "True", "TRUE", "1", "yes", "Yes", "on", "t", "y")),
        *((text, False) for text in ("false", "False", "FALSE", "0", "no", "No", "off", "f", "n")),
    ],
)
def test_booleans_are_read_as_people_write_them(text: str, expected: bool) -> None:
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
def test_durations_are_written_as_in_go(text: str, seconds: float) -> None:
    assert read({"RETRY_DELAY": text}).retry.delay == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["5", "s", ".", "5 s", " 5s", "5x", "1e3s", "5s3", "-5s", "five", "9" * 30 + "h"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
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
        ("SYNC_SCHEDULE", "*/15 * * * *", "*/15 * * * *"),
        ("CLUSTERS", " , \n,", ()),
        ("MAX_DELETE_PERCENT", "100", 100),
    ],
)
def test_values_come_in_one_form(name: str, text: str, expected: object) -> None:
    assert value_of(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            ("MINIO_ENDPOINT", text)
            for text in ("https://h", "h/x", "h:9000/", "u@h", "::1", "h:port", "h ", "h?x")
        ),
        *(("GIT_PATH", text) for text in ("/", "//", ".", "..", "../x", ".git", "a/.GIT/b", "a\\b", "a\nb")),
        *(("MINIO_PREFIX", text) for text in ("..", "a/../b", "a\\b")),
        *(("GIT_USERNAME", text) for text in ("   ", "a>b", "a\tb")),
        *(("MAX_DELETE_PERCENT", text) for text in ("nan", "inf", "-1", "100.1", "20%")),
        *(("SYNC_SCHEDULE", text) for text in ("* * * *", "61 * * * *", "0 0 31 2 *", "@never")),
        ("SYNC_TIMEZONE", "Europe"),
        ("CONCURRENCY", "257"),
        ("RETRY_ATTEMPTS", "0"),
    ],
)
def test_values_without_a_sense_are_refused_by_name(name: str, text: str) -> None:
    assert one_problem(name, text)


@pytest.mark.parametrize("text", ["Mars/Base", "Europe/Berlim", "CEST"])
def test_an_unknown_time_zone_is_refused_by_name(text: str) -> None:
    assert "is not a time zone" in one_problem("SYNC_TIMEZONE", text)


@pytest.mark.parametrize(
    "text",
    [
        "!",
        "a\\",
        "[z-a]",
    ],
)
def test_an_exclude_pattern_that_cannot_be_read_is_refused_at_the_start(text: str) -> None:
    assert one_problem("EXCLUDE", text)


@pytest.mark.parametrize(
    "branch", ["main", "backups/production-east", "a.b", "größe", "a-b_c", "HEAD2", "x@y", "1"]
)
def test_a_branch_may_have_any_usual_name(branch: str) -> None:
    assert value_of("GIT_BRANCH", branch) == branch


branches = st.lists(
    st.sampled_from(
        ["a", "/", ".", "..", "-", "@", "@{", ".lock", "~", "^", ":", "?", "*", "[", "\\", " ", "\x7f", "é"]
    ),
    min_size=1,
    max_size=5,
).map("".join)


@hypothesis_settings(deadline=None)
@given(branches)
def test_git_takes_every_branch_that_is_accepted(branch: str) -> None:
    try:
        accepted = read({"GIT_BRANCH": branch}).delivery.pages.branch
    except FixConfiguration:
        return
    command = ["git", "check-ref-format", f"refs/heads/{accepted}"]
    assert subprocess.run(command, env=git_environment(), check=False).returncode == 0
    assert not accepted.startswith("-")


any_text = st.text(st.characters(exclude_characters="\0"), max_size=30) | st.text(
    "0123456789:/@.*-[]!\\~ ,smh", max_size=12
)


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")  # what re says of "[[" in EXCLUDE
@pytest.mark.parametrize("name", EVERY_VARIABLE)
@given(text=any_text)
def test_no_text_in_any_variable_ends_in_another_error(name: str, text: str) -> None:
    if name == "SYNC_TIMEZONE":
        text = f"../{text}"  # an unknown zone has its test above
    with suppress(FixConfiguration):
        read(MINIO | {"GIT_REPOSITORY": "/r"} | {name: text}, *Needs)


# -- repositories -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url", "scheme"),
    [
        ("https://github.com/org/repo.git", "https://github.com/org/repo.git", "https"),
        ("https://git.example.com:8443/a/b@c", "https://git.example.com:8443/a/b@c", "https"),
        ("https://[::1]:8443/repo", "https://[::1]:8443/repo", "https"),
        ("ssh://git@github.com/org/repo.git", "ssh://git@github.com/org/repo.git", "ssh"),
        ("ssh://git@host:2222/~/repo", "ssh://git@host:2222/~/repo", "ssh"),
        ("git@github.com:org/repo.git", "git@github.com:org/repo.git", "ssh"),
        ("host:repo", "host:repo", "ssh"),
        ("git@[::1]:repo", "git@[::1]:repo", "ssh"),
        ("/srv/git/repo.git", "file:///srv/git/repo.git", "file"),
        ("file:///srv/git/repo.git", "file:///srv/git/repo.git", "file"),
    ],
)
def test_the_usual_forms_of_a_repository_are_understood(text: str, url: str, scheme: str) -> None:
    settings = read({"GIT_REPOSITORY": text}).git
    assert (settings.repository, settings.scheme, settings.download_only) == (url, scheme, False)


@pytest.mark.parametrize(
    "text",
    [
        "repo",
        "org/repo",
        "../repo",
        "ftp://host/repo",
        "git://host/repo",
        "HTTPS://host/repo",
        "https://",
        "https:///repo",
        "https://host/repo?token=x",
        "https://host/repo#x",
        "https://host/re po",
        "https://host/repo\n",
        "https://[::1/repo",
        "ext::sh -c true",
        "--upload-pack=x",
        "git@host:-oProxyCommand=x",
        " ",
        "ext::sh",
        "fd::17",
    ],
)
def test_what_is_no_repository_is_refused(text: str) -> None:
    assert one_problem("GIT_REPOSITORY", text)


@pytest.mark.parametrize(
    "text",
    [
        "https://s3cr3t@github.com/org/repo.git",
        "https://user:s3cr3t@github.com/org/repo.git",
        "https://:s3cr3t@github.com/org/repo.git",
        "https://user:s3cr3t@@github.com/org/repo.git",
        "http://user:s3cr3t@host/repo",
        "ssh://git:s3cr3t@host/repo",
        "file://user:s3cr3t@/repo",
        "ftp://user:s3cr3t@host/repo",
        "https://user:s3cr3t@host/re po",
        "https://user:s3cr3t@host/repo?x#y",
        "https://user:s3cr3t@[::1/repo",
        "https://user:s3cr3t\u2100@host/repo",
        "https://user:s3cr3t/s3cr3t@host/repo",
        "user:s3cr3t@host:repo",
        "oauth2:s3cr3t@github.com/org/repo.git",
    ],
)
def test_credentials_in_the_repository_are_refused_and_not_echoed(text: str) -> None:
    with pytest.raises(FixConfiguration) as caught:
        read({"GIT_REPOSITORY": text, "LOG_LEVEL": "loud"}, Needs.GIT)
    assert "GIT_REPOSITORY: " in caught.value.error
    assert "s3cr3t" not in f"{caught.value!s}{caught.value!r}{caught.value.error}{caught.value.__cause__}"
    context = caught.value.__context__
    assert "s3cr3t" not in f"{context!s}{context!r}"


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
def test_a_secret_that_cannot_be_used_is_refused_and_not_echoed(name: str, text: str) -> None:
    assert "s3cr3t" not in one_problem(name, text)


def test_http_needs_leave_of_its_own() -> None:
    environ = {"GIT_REPOSITORY": "http://gitea.local/org/repo", "GIT_TOKEN": "t"}
    for refusing in (environ, environ | {"GIT_ALLOW_HTTP": "false"}):
        reported = problems(refusing, Needs.GIT)
        assert list(reported) == ["GIT_REPOSITORY"]
        assert "GIT_ALLOW_HTTP=true" in reported["GIT_REPOSITORY"]
    assert read(environ | {"GIT_ALLOW_HTTP": "yes"}, Needs.GIT).git.scheme == "http"


# -- all problems at once ---------------------------------------------------------------------


def test_all_problems_are_told_at_once_by_name() -> None:
    assert set(problems(BAD)) == set(BAD)


@pytest.mark.parametrize("name", BAD)
def test_each_problem_is_told_alone_too(name: str) -> None:
    assert one_problem(name, BAD[name])


def test_what_is_missing_is_told_with_what_is_wrong() -> None:
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


def test_an_unencrypted_repository_is_told_with_what_is_wrong() -> None:
    reported = problems({"GIT_REPOSITORY": "http://h/r", "LOG_LEVEL": "loud"}, Needs.GIT)
    assert set(reported) == {"GIT_REPOSITORY", "LOG_LEVEL", "GIT_TOKEN"}


# -- what a step needs ------------------------------------------------------------------------


def test_a_step_that_talks_to_nobody_needs_nothing() -> None:
    assert read({}) == read({"PATH": "/bin"})


def test_a_step_needs_only_what_it_talks_to() -> None:
    assert read(MINIO, Needs.MINIO).s3.bucket == "cluster-backups"
    assert read({"GIT_REPOSITORY": "/r"}, Needs.GIT).git.scheme == "file"
    # Another pod's mounts are not this one's.
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
def test_each_kind_of_repository_needs_its_credentials(
    repository: str, given_variables: dict[str, str], missing: set[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    files = {name: text.replace("FILE", str(tmp_path / "file")) for name, text in given_variables.items()}
    environ = {"GIT_REPOSITORY": repository} | files
    if missing:
        assert set(problems(environ, Needs.GIT)) == missing
    else:
        read(environ, Needs.GIT)


@pytest.mark.parametrize("name", ["PUSHGATEWAY_URL", "WEBHOOK_URL"])
@pytest.mark.parametrize(
    "url", ["http://h:99999/", "https://h:abc/x", "http://[::1", "https://:8080/", "ftp://h/"]
)
def test_an_address_to_deliver_to_is_one(name: str, url: str) -> None:
    assert set(problems({name: url})) == {name}


def test_of_several_credentials_only_those_of_the_protocol_are_looked_at(tmp_path: Path) -> None:
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


def test_a_file_that_cannot_be_read_is_named() -> None:
    reported = problems(MINIO | {"MINIO_CA_FILE": "/nowhere/ca.pem"}, Needs.MINIO)
    assert reported == {"MINIO_CA_FILE": "/nowhere/ca.pem cannot be read; mount or create the file"}


# -- secrets ----------------------------------------------------------------------------------


def test_no_secret_is_in_any_text_of_the_settings() -> None:
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


def test_no_secret_is_in_the_error_about_another_setting() -> None:
    environ = {name: EVERY_VARIABLE[name][0] for name in SECRETS} | BAD
    with pytest.raises(FixConfiguration) as caught:
        read(environ, *Needs)
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    for name in SECRETS:
        assert not [link for link in chain if EVERY_VARIABLE[name][0] in f"{link}{link!r}"]


def test_every_secret_is_known_to_the_log() -> None:
    settings = read({name: EVERY_VARIABLE[name][0] for name in SECRETS})
    within = {"pw-4", "/hook-5"}  # the proxy's password, and what makes the webhook's address a secret
    assert set(settings.secrets()) == {EVERY_VARIABLE[name][0] for name in SECRETS} | within
    assert read({}).secrets() == []


def test_the_proxys_password_is_known_to_the_log_as_it_is_meant() -> None:
    assert "p@ss/word" in read({"HTTPS_PROXY": "http://user:p%40ss%2Fword@proxy:3128"}).secrets()


def test_the_token_file_is_read_anew_at_each_use(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    settings = read({"GIT_TOKEN_FILE": str(path)})
    assert [secret.strip() for secret in settings.secrets()] == ["first"]
    path.write_text("second\n")
    assert [secret.strip() for secret in settings.secrets()] == ["second"]


# -- what is derived --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "is_another"),
    [
        ("MINIO_ENDPOINT", "other:9000", True),
        ("MINIO_BUCKET", "other", True),
        ("MINIO_PREFIX", "other", True),
        ("GIT_REPOSITORY", "https://h/other", True),
        ("GIT_REPOSITORY", "", True),
        ("GIT_BRANCH", "other", True),
        ("GIT_PATH", "other", True),
        ("GIT_TOKEN", "other", False),
        ("MINIO_SECRET_KEY", "other", False),
        ("CLUSTERS", "other", False),
        ("SYNC_MODE", "full", False),
        ("WORK_DIR", "/other", False),
    ],
)
def test_the_identity_is_what_is_synced_to_where(name: str, text: str, is_another: bool) -> None:
    environ = MINIO | {"GIT_REPOSITORY": "https://h/r"}
    assert (read(environ | {name: text}).identity != read(environ).identity) is is_another


def test_filters_and_bounds_come_as_the_core_wants_them() -> None:
    settings = read({name: text for name, (text, _) in EVERY_VARIABLE.items()})
    assert settings.sync.selection == Selection(
        ("prod-*", "!prod-west"), ("default", "kube-system"), ("*.log", "secrets/")
    )
    assert settings.guards.limits == Limits(0, 12.5, Vanished.KEEP)


@pytest.mark.parametrize(
    ("no_proxy", "host", "through"),
    [
        ("", "github.com", True),
        ("localhost,.internal", "github.com", True),
        ("localhost,.internal", "localhost", False),
        ("localhost,.internal", "git.internal", False),
        ("internal", "git.internal", False),
        ("internal", "notinternal", True),
        ("minio.example.com", "minio.example.com", False),
        ("*", "github.com", False),
    ],
)
def test_the_proxy_is_passed_by_for_the_hosts_of_no_proxy(no_proxy: str, host: str, through: bool) -> None:
    settings = read(REQUIRED | {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy})
    assert settings.s3.proxy_for(host) == ("http://proxy:3128" if through else None)


def test_without_a_proxy_none_is_used() -> None:
    assert read(REQUIRED).s3.proxy_for("github.com") is None


def test_the_lower_case_spelling_of_the_proxy_counts_where_the_other_is_not_set() -> None:
    def proxy(environ: dict[str, str]) -> str | None:
        return read(REQUIRED | environ).s3.proxy_for("github.com")

    assert proxy({"https_proxy": "http://lower:1"}) == "http://lower:1"
    assert proxy({"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1"}) == "http://upper:1"
    assert proxy({"https_proxy": "http://lower:1", "HTTPS_PROXY": ""}) == "http://lower:1"


def test_exceptions_from_the_proxy_may_be_in_lower_case_too() -> None:
    settings = read(REQUIRED | {"https_proxy": "http://lower:1", "no_proxy": ".internal"})
    assert settings.s3.proxy_for("minio.internal") is None
