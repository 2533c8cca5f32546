"""Every setting, read from the environment in one place and checked at once.

Names are the users' own. An empty variable counts as not set, except GIT_REPOSITORY, where empty
means download-only mode.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]
from zoneinfo import ZoneInfo

import durationpy
from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
)

from steps.contracts import ARTIFACTS, Mode
from steps.core.deletion_guard import Limits, Vanished
from steps.core.filters import Selection
from steps.core.intake_limits import IntakeLimits
from steps.core.keys import rejection
from steps.core.operations import Operation
from steps.errors import FixConfiguration

if TYPE_CHECKING:
    from collections.abc import Mapping


class LogLevel(StrEnum):
    """LOG_LEVEL."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """LOG_FORMAT: ``auto`` is text on a terminal and JSON lines elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class On(StrEnum):
    """WEBHOOK_ON: the runs that are told."""

    ALWAYS = "always"
    CHANGE = "change"
    FAILURE = "failure"


class Needs(StrEnum):
    """What a step talks to, and so which settings it cannot do without."""

    MINIO = "minio"
    GIT = "git"
    STATE = "state"


_REQUIRED = {
    Needs.MINIO: ("minio_endpoint", "minio_access_key", "minio_secret_key", "minio_bucket"),
    Needs.GIT: ("git_repository",),
    Needs.STATE: (),
}
_STATE_IN_S3 = ("state_bucket", "state_key", "state_access_key", "state_secret_key")

# What the pipeline names its artifacts by, in its order: see workflows.pipeline.
STATE_IDENTITY = (
    "MINIO_ENDPOINT",
    "MINIO_BUCKET",
    "MINIO_PREFIX",
    "GIT_REPOSITORY",
    "GIT_PATH",
    "GIT_BRANCH",
)
# By protocol where it is Git: a pod may name both a token and a key, and hold the one that it uses.
_HTTP_FILES = ("git_ca_file", "git_token_file")
_GIT_FILES = {
    "https": _HTTP_FILES,
    "http": _HTTP_FILES,
    "ssh": ("ssh_key_path", "ssh_known_hosts_path"),
}


_LONGEST = timedelta(days=366)


def _duration(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        value = durationpy.from_str(text)
    except (durationpy.DurationError, ValueError, ArithmeticError):
        raise ValueError(f"{text!r} is no duration: write it as in 5s, 1m30s or 2h") from None
    if not timedelta(0) <= value <= _LONGEST:
        raise ValueError("a duration is neither negative nor longer than a year")
    return value


def _list(text: object) -> object:
    return _split(text, r"[,\n]")


def _approval_list(text: object) -> object:
    return _split(text, r"(?<=:[0-9a-f]{16})[,\n]")  # a cluster's name may have a comma


def _split(text: object, separator: str) -> object:
    if not isinstance(text, str):
        return text
    return tuple(part.strip() for part in re.split(separator, text) if part.strip())


def _is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0 and re.fullmatch(r"https?://\S+", text) is not None
    except ValueError:  # a port or an address that is none
        return False


def _web_url(text: str) -> str:
    if not _is_web_url(text):
        raise ValueError("write it as in https://pushgateway.example.com")
    if "@" in text.split("/")[2]:
        raise ValueError("may not contain credentials: set PUSHGATEWAY_USERNAME and PUSHGATEWAY_PASSWORD")
    return text


def _utf8(secret: SecretStr) -> SecretStr:
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("is no text in UTF-8") from None
    return secret


def _secret_url(secret: SecretStr) -> SecretStr:
    # Whoever knows the address of a webhook may use it, so the value is not shown.
    if not _is_web_url(secret.get_secret_value()):
        raise ValueError("write it as in https://hooks.example.com/services/…")
    return secret


def _commit_url(text: str) -> str:
    if not (_is_web_url(text) and "{commit}" in text and "@" not in text.split("/")[2]):
        raise ValueError("write it as in https://git.example.com/your-org/backups/commit/{commit}")
    return text


def _directory(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError("has a ~ for which there is no home") from None


def _proxy(secret: SecretStr) -> SecretStr:
    # May hold a password, so the value is not shown.
    text = secret.get_secret_value()
    url = text if "://" in text else f"http://{text}"  # as curl takes it
    if not re.fullmatch(r"(?i:https?)://[^\s/]+/?", url) or not _is_web_url(url.lower()):
        raise ValueError("write it as in http://proxy.example.com:3128")
    return SecretStr(url)


def _approvals(entries: tuple[str, ...]) -> tuple[str, ...]:
    for entry in entries:
        if not re.fullmatch(r".+:[0-9a-f]{16}", entry, re.DOTALL):
            raise ValueError(f"{entry!r} is not <cluster>:<token>: take it from the refusal's message")
    return entries


def _patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    try:
        Selection(exclude=patterns).has_path(b"cluster/path")
    except (ValueError, re.error) as problem:
        raise ValueError(f"no .gitignore patterns: {problem}") from None
    return patterns


def _lower(text: object) -> object:
    return text.lower() if isinstance(text, str) else text


_LAST_PORT = 65535


def _endpoint(text: str) -> str:
    if "://" in text:
        raise ValueError("write host:port without a scheme; MINIO_USE_SSL chooses http or https")
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?", text)
    if match is None or int(match["port"] or 0) > _LAST_PORT:
        raise ValueError("write it as host or host:port, such as minio.example.com:9000")
    return text


def _bucket_prefix(text: str) -> str:
    prefix = text.strip("/")
    if prefix and rejection(prefix):
        raise ValueError(f"no usable prefix ({rejection(prefix)}): write it as in clusterbackup/")
    return f"{prefix}/" if prefix else ""


def _git_path(text: str) -> str:
    path = text.strip("/")
    if not path:
        raise ValueError("the repository's root is not git-sync's to own: name a directory")
    if reason := rejection(path):
        raise ValueError(f"no usable path ({reason}): write it as in clusterbackup/")
    return f"{path}/"


def _branch(text: str) -> str:
    # The rules of `git check-ref-format`, but for those that no branch name of a person needs.
    if (
        not re.fullmatch(
            r"(?!.*(\.\.|//|@\{|/\.|\.lock(/|$)))[^\x00-\x20\x7f~^:?*\[\\/.-][^\x00-\x20\x7f~^:?*\[\\]*(?<![/.])",
            text,
        )
        or text == "@"
    ):
        raise ValueError(f"{text!r} is no branch name: write it as in main or backups/production-east")
    return text


def _identity_text(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f<>\ud800-\udfff]", text):
        raise ValueError("may not contain <, > or control characters")
    return text.strip()


def _timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, KeyError, OSError):
        raise ValueError(f"{text!r} is no time zone: write it as in UTC or Europe/Berlin") from None
    return text


def _schedule(text: str) -> str:
    try:
        CronSim(text, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError:
        raise ValueError(f"{text!r} is no cron schedule: write it as in */15 * * * *") from None
    return text


# Protocols that reach Git. git:// and http:// authenticate nobody; http has a switch of its own.
_URL = re.compile(r"(?P<scheme>https?|ssh|file)://(?P<rest>.+)", re.DOTALL)
_SCP = re.compile(
    r"(?:(?P<user>[A-Za-z0-9._-]+)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?!//)(?P<path>[^:-].*)"
)


# As in git@host:org/repo and ssh://git@host:22/org/repo.
_SSH_PAGE = re.compile(r"(?:ssh://)?(?:[^@/]+@)?(\[[^\]]+\]|[^:/]+)(?::[0-9]+(?=/))?[:/]/?(.*)")


def _repository(text: str) -> str:
    if text == "":
        return text
    if re.search(r"[\x00-\x20\x7f]", text) or text.startswith("-"):
        raise ValueError("may not contain white space or begin with a dash")
    if text.startswith("/"):
        return f"file://{text}"
    if match := _URL.fullmatch(text):
        try:
            parts = urlsplit(text)
            _ = parts.port  # none: half a password, as in https://user:pass/word@host
        except ValueError:
            raise ValueError("is no URL") from None  # urlsplit quotes it, password and all
        credentials = parts.password is not None or (parts.scheme != "ssh" and parts.username is not None)
        if "@" in parts.netloc and credentials:
            raise ValueError("may not contain credentials: set GIT_TOKEN or GIT_TOKEN_FILE instead")
        if parts.query or parts.fragment:
            raise ValueError("may not have a query or a fragment")
        if match["scheme"] != "file" and not parts.hostname:
            raise ValueError("has no host")
        return text
    if "://" not in text and (match := _SCP.fullmatch(text)):
        if "@" in match["path"]:
            raise ValueError("may not contain credentials: SSH takes SSH_KEY_PATH, HTTPS takes GIT_TOKEN")
        return text
    raise ValueError("write it as https://…, ssh://…, user@host:path, file:///… or an absolute path")


def _scheme(repository: str | None) -> str | None:
    if not repository:
        return None
    if match := _URL.fullmatch(repository):
        return match["scheme"]
    return "file" if repository.startswith("/") else "ssh"


# Secrets that come out of files often bring a line feed along.
Secret = Annotated[
    SecretStr,
    BeforeValidator(lambda text: text.strip() if isinstance(text, str) else text),
    Field(min_length=1),
    AfterValidator(_utf8),
]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Names = Annotated[tuple[str, ...], BeforeValidator(_list)]


class Settings(BaseModel):
    """The settings. Field names are the variables' names in lower case."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    minio_endpoint: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        default=None, description="the S3 server as host:port"
    )
    minio_access_key: Secret | None = Field(
        default=None, description="an access key that may read the bucket"
    )
    minio_secret_key: Secret | None = Field(default=None, description="the access key's secret")
    minio_bucket: str | None = Field(default=None, description="the bucket with the backups")
    minio_use_ssl: bool = Field(default=True, description="HTTPS to the S3 server")
    minio_prefix: Annotated[str, AfterValidator(_bucket_prefix)] = Field(
        default="clusterbackup/", description="what is before `<cluster>/` in the keys"
    )
    minio_region: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] = Field(
        default="us-east-1", description="region to sign requests for"
    )
    minio_ca_file: Path | None = Field(default=None, description="CA certificates (PEM) for the S3 server")

    git_repository: Annotated[str, AfterValidator(_repository)] | None = Field(
        default=None,
        description="the repository's URL; set it to the empty string for download-only mode",
    )
    git_branch: Annotated[str, AfterValidator(_branch)] = Field(
        default="main", description="branch to push to"
    )
    git_path: Annotated[str, AfterValidator(_git_path)] = Field(
        default="clusterbackup/", description="directory of the repository that holds the clusters"
    )
    git_username: Annotated[str, AfterValidator(_identity_text), Field(min_length=1)] = Field(
        default="git-sync", description="author of the commits"
    )
    git_email: Annotated[str, AfterValidator(_identity_text), Field(min_length=1)] = Field(
        default="git-sync@localhost", description="the author's address"
    )
    git_token: Secret | None = Field(default=None, description="token for HTTPS (or set GIT_TOKEN_FILE)")
    git_token_file: Path | None = Field(
        default=None, description="file with the token, read anew at each use"
    )
    git_token_user: str | None = Field(
        default=None,
        description="user name that goes with the token; the default suits GitHub, GitLab and Gitea tokens",
    )
    git_ca_file: Path | None = Field(default=None, description="CA certificates (PEM) for the Git server")
    git_allow_http: bool = Field(
        default=False, description="allow http:// repositories: the token travels unencrypted"
    )
    ssh_key_path: Path | None = Field(default=None, description="private key for SSH")
    ssh_known_hosts_path: Path | None = Field(
        default=None,
        description="known_hosts file: save the server's key with `ssh-keyscan` and compare its fingerprint",
    )

    work_dir: Annotated[Path, AfterValidator(_directory)] = Field(
        default=Path("/workspace"), description="working directory (a volume in a cluster)"
    )
    sync_mode: Annotated[Mode, BeforeValidator(_lower)] = Field(
        default=Mode.INCREMENTAL,
        description="`incremental`, or `full`: fetch everything and compare",
    )
    clusters: Names = Field(default=(), description="globs of clusters to sync; `!` negates")
    namespaces: Names = Field(default=(), description="globs of namespaces to sync; `!` negates")
    exclude: Annotated[Names, AfterValidator(_patterns)] = Field(
        default=(), description=".gitignore patterns over `<cluster>/<path>`"
    )
    concurrency: int = Field(default=10, ge=1, le=256, description="downloads at a time")
    max_object_bytes: int = Field(
        default=95 * 1024 * 1024,
        ge=1,
        description="larger objects are quarantined (Git hosts refuse 100 MB)",
    )
    max_shards: int = Field(default=10, ge=1, description="download steps at most; more clusters share one")
    dry_run: bool = Field(default=False, description="print the plan, change nothing")

    max_delete_count: int = Field(default=5, ge=0, description="deletions per cluster that need no leave")
    max_delete_percent: float = Field(default=20, ge=0, le=100, description="percentage that needs no leave")
    cluster_vanished: Annotated[Vanished, BeforeValidator(_lower)] = Field(
        default=Vanished.REFUSE,
        description="`refuse`, `keep` or `delete` a cluster that left the bucket",
    )
    allow_delete: Annotated[tuple[str, ...], BeforeValidator(_approval_list), AfterValidator(_approvals)] = (
        Field(default=(), description="`<cluster>:<token>` deletions that a person allows")
    )

    max_clusters: int = Field(
        default=2000, ge=0, description="clusters; beyond them new ones are held back. 0: no limit, as below"
    )
    max_objects: int = Field(
        default=200_000, ge=0, description="objects and directories that a cluster may have"
    )
    max_new_bytes: int = Field(
        default=1024**3,
        ge=0,
        description="bytes of new and changed objects that a cluster may bring",
    )
    max_run_objects: int = Field(default=2_000_000, ge=0, description="objects of all clusters in a run")
    max_run_new_bytes: int = Field(
        default=3 * 1024**3, ge=0, description="bytes of new and changed objects of all clusters in a run"
    )

    retry_attempts: int = Field(default=3, ge=1, le=100, description="tries of each step")
    retry_delay: Duration = Field(
        default=timedelta(seconds=5), description="first pause; it doubles, with jitter"
    )
    sync_schedule: Annotated[str, AfterValidator(_schedule)] | None = Field(
        default=None, description="the cron schedule of the runs, for what counts as stale"
    )
    sync_timezone: Annotated[str, AfterValidator(_timezone)] = Field(
        default="UTC", description="its time zone"
    )
    health_max_age: Duration | None = Field(
        default=None, description="oldest healthy success, instead of the schedule"
    )
    metrics_port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        description="where `serve`, and `run` while it works, answer over HTTP; 0: nowhere",
    )
    pushgateway_url: Annotated[str, AfterValidator(_web_url)] | None = Field(
        default=None, description="Prometheus Pushgateway that each run's metrics are pushed to"
    )
    pushgateway_job: str = Field(default="git-sync", min_length=1, description="its label `job`")
    pushgateway_username: str | None = Field(default=None, description="user name for it (basic auth)")
    pushgateway_password: Secret | None = Field(default=None, description="the password that goes with it")
    pushgateway_ca_file: Path | None = Field(
        default=None, description="CA certificates (PEM) for the Pushgateway"
    )
    scrape_interval: Duration = Field(
        default=timedelta(minutes=1),
        le=timedelta(minutes=10),
        description="how long new series stand at zero on the Pushgateway before they are counted up",
    )
    webhook_url: Annotated[Secret, AfterValidator(_secret_url)] | None = Field(
        default=None, description="address to be told of runs"
    )
    webhook_on: Annotated[tuple[On, ...], BeforeValidator(_list)] = Field(
        default=(On.ALWAYS,), description="of which: `always`, `change`, `failure`; more than one with commas"
    )
    webhook_secret: Secret | None = Field(default=None, description="key of the signature on what is sent")
    webhook_ca_file: Path | None = Field(default=None, description="CA certificates (PEM) for the webhook")
    git_commit_url: Annotated[str, AfterValidator(_commit_url)] | None = Field(
        default=None,
        description="a commit's page, with `{commit}` for its id; the default suits GitHub, GitLab and Gitea",
    )
    state_endpoint: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        default=None,
        description="S3 server from which `serve` and `health` read the state, not from WORK_DIR",
    )
    state_bucket: str | None = Field(default=None, description="its bucket: Argo's artifact repository")
    state_key: str | None = Field(
        default=None, description="the key of `sync-metadata.json` there (or set STATE_NAMESPACE)"
    )
    state_namespace: str | None = Field(
        default=None, description="namespace of the Argo workflows, from which the key follows"
    )
    state_access_key: Secret | None = Field(default=None, description="an access key that may read it")
    state_secret_key: Secret | None = Field(default=None, description="the access key's secret")
    state_use_ssl: bool = Field(default=True, description="HTTPS to that server")
    state_region: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] = Field(
        default="us-east-1", description="region to sign those requests for"
    )
    state_ca_file: Path | None = Field(default=None, description="CA certificates (PEM) for that server")
    log_level: Annotated[
        LogLevel, BeforeValidator(lambda v: {"warn": "warning"}.get(str(v).lower(), str(v).lower()))
    ] = Field(default=LogLevel.INFO, description="`debug`, `info`, `warning` or `error`")
    log_format: Annotated[LogFormat, BeforeValidator(_lower)] = Field(
        default=LogFormat.AUTO, description="`json`, `text` or `auto` (text on a terminal)"
    )
    https_proxy: Annotated[Secret, AfterValidator(_proxy)] | None = Field(
        default=None, description="proxy for HTTPS, to S3, Git, Pushgateway and webhook"
    )
    no_proxy: str = Field(default="", description="hosts that are reached without the proxy")

    @property
    def git_scheme(self) -> str | None:
        """https, http, ssh or file; None without a repository."""
        return _scheme(self.git_repository)

    @property
    def download_only(self) -> bool:
        """Whether GIT_REPOSITORY is empty."""
        return self.git_repository == ""

    def commit_page(self, commit: str) -> str | None:
        """Where people can look at a commit; None where nobody knows."""
        if self.git_commit_url:
            return self.git_commit_url.replace("{commit}", commit)
        match self.git_scheme:
            case "https" | "http":
                base = self.git_repository or ""
            case "ssh":
                base = _SSH_PAGE.sub(r"https://\1/\2", self.git_repository or "")
            case _:
                return None
        return f"{base.rstrip('/').removesuffix('.git')}/commit/{commit}"

    @property
    def state_store(self) -> Settings:
        """The same settings with the state's S3 server in the place of the backups'."""
        names = ("endpoint", "bucket", "access_key", "secret_key", "use_ssl", "region", "ca_file")
        return self.model_copy(update={f"minio_{name}": getattr(self, f"state_{name}") for name in names})

    @property
    def selection(self) -> Selection:
        """The filters."""
        return Selection(self.clusters, self.namespaces, self.exclude)

    @property
    def limits(self) -> Limits:
        """The guards' bounds."""
        return Limits(self.max_delete_count, self.max_delete_percent, self.cluster_vanished)

    @property
    def intake_limits(self) -> IntakeLimits:
        """How much clusters and runs may bring."""
        return IntakeLimits(
            self.max_objects, self.max_new_bytes, self.max_run_objects, self.max_run_new_bytes
        )

    @property
    def identity(self) -> str:
        """A hash that names what is synced to where: another's cache and state are none of ours."""
        parts = (
            self.minio_endpoint,
            self.minio_bucket,
            self.minio_prefix,
            self.git_repository,
            self.git_branch,
            self.git_path,
        )
        return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:16]

    def proxy_for(self, host: str) -> str | None:
        """The proxy through which HTTPS to ``host`` goes, None for none."""
        if self.https_proxy is None or proxy_bypass_environment(host, {"no": self.no_proxy}):
            return None
        return self.https_proxy.get_secret_value()

    def proxy_to(self, url: str) -> str | None:
        """The proxy for this address, None for none: plain HTTP goes without."""
        parts = urlsplit(url)
        return self.proxy_for(parts.hostname or "") if parts.scheme == "https" else None

    def secrets(self) -> list[str]:
        """Every secret value at this moment, for redaction."""
        found = [value.get_secret_value() for _, value in self if isinstance(value, SecretStr)]
        for address in (self.https_proxy, self.webhook_url):
            if address is not None:
                found += _secret_parts(address.get_secret_value())
        if self.git_token_file is not None:
            with contextlib.suppress(OSError, ValueError):  # not mounted in this step, or no text
                found.append(self.git_token_file.read_text().split("\n", 1)[0])  # as git takes it
        return [text for text in found if text]


def _secret_parts(url: str) -> list[str]:
    """What of a secret address may be said alone: its password, and what a server is asked for."""
    parts = urlsplit(url)
    password = parts.password or parts.username or ""
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return [password, unquote(password), target.rstrip("/")]


def read(environ: Mapping[str, str], *needs: Needs, **overrides: object) -> Settings:
    """Return the settings, or raise FixConfiguration that lists every problem by variable name.

    ``overrides`` are values by field name that stand above the environment's.
    """
    given: dict[str, Any] = {
        name: environ[name.upper()]
        for name in Settings.model_fields
        if environ.get(name.upper()) or (name == "git_repository" and "GIT_REPOSITORY" in environ)
    }
    for name in ("https_proxy", "no_proxy"):  # customary in both spellings
        if name not in given and environ.get(name):
            given[name] = environ[name]
    if "state_namespace" in given and "state_key" not in given:
        given["state_key"] = _argo_state_key(environ, given["state_namespace"])
    given |= overrides
    problems = _missing(given, needs)
    try:
        settings = Settings.model_validate(given)
    except ValidationError as invalid:
        problems += [
            f"{str(error['loc'][0]).upper()}: {error['msg'].removeprefix('Value error, ')}"
            for error in invalid.errors(include_input=False)
        ]
    else:
        if not problems:
            return settings
    raise FixConfiguration(Operation.CONFIGURATION, "The settings are not usable", "; ".join(problems))


def _argo_state_key(environ: Mapping[str, str], namespace: str) -> str:
    """The key under which the pipeline keeps the state, by the settings as they are written."""
    written = (environ.get(name, Settings.model_fields[name.lower()].default) for name in STATE_IDENTITY)
    named = hashlib.sha256("|".join(value or "" for value in written).encode()).hexdigest()[:16]
    return f"{ARTIFACTS}/state/{namespace}/{named}/sync-metadata.json"


# Names close to ours that pods have for reasons of their own.
_CUSTOMARY = {"HTTP_PROXY", "NAMESPACE"}


def misspelt(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the variables that look like a misspelt setting, with the setting's name."""
    known = {name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in environ if name.isupper() and name not in known | _CUSTOMARY)
    found = ((name, get_close_matches(name, known, n=1, cutoff=0.9)) for name in unknown)
    return [(name, close[0]) for name, close in found if close]


def _missing(given: Mapping[str, Any], needs: tuple[Needs, ...]) -> list[str]:
    """Say what the step's needs lack: only those, for each pod sees its own secrets and mounts alone."""
    required = [name for need in needs for name in _REQUIRED[need]]
    try:
        scheme = _scheme(_repository(str(given.get("git_repository", ""))))
    except ValueError:
        scheme = None  # reported by the field itself: what it needs, nobody knows
    files = ["minio_ca_file"] if Needs.MINIO in needs else []
    if Needs.STATE in needs and "state_endpoint" in given:
        required += _STATE_IN_S3
        files.append("state_ca_file")
    if Needs.GIT in needs:
        files += _GIT_FILES.get(scheme or "", ())
    problems = [
        f"{name.upper()}: {_shown_path(given[name])} cannot be read: mount or create it"
        for name in files
        if name in given and not _is_readable(given[name])
    ]
    if scheme == "http" and not _is_true(given.get("git_allow_http")):
        problems.append("GIT_REPOSITORY: http:// is not encrypted: use https://, or set GIT_ALLOW_HTTP=true")
    if Needs.GIT in needs:
        if scheme == "ssh":
            required += ["ssh_key_path", "ssh_known_hosts_path"]
        if scheme in {"http", "https"} and "git_token_file" not in given:
            required.append("git_token")
        if {"git_token", "git_token_file"} <= set(given):
            problems.append("GIT_TOKEN_FILE: set this or GIT_TOKEN, not both")
    fields = Settings.model_fields
    return [
        f"{name.upper()}: is not set: {fields[name].description}" for name in required if name not in given
    ] + problems


def _shown_path(text: str) -> str:
    """The path, unless it looks like what should be in the file: a token, a key."""
    return text if re.fullmatch(r"/[A-Za-z0-9._/-]*", text) else "the path (not shown)"


def _is_readable(path: str) -> bool:
    try:
        return os.access(path, os.R_OK)
    except ValueError:  # no path at all, such as one with a NUL
        return False


def _is_true(text: object) -> bool:
    try:
        return TypeAdapter(bool).validate_python(text)
    except ValidationError:
        return False  # reported by the field itself, or not set
