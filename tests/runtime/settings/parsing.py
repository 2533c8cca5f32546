"""Every setting with a valid text, a wrong text and its default; the problems that `read` reports."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from steps.contracts import Mode
from steps.core.deletion_guard import ForeignFiles, Vanished
from steps.core.namespaces import NamespaceVanished
from steps.errors import FixConfiguration
from steps.kubernetes.policy import VolatileFields
from steps.kubernetes.secret_filter import SecretsMode
from steps.runtime.logs import LogFormat, LogLevel
from steps.runtime.settings.delivery import On
from steps.runtime.settings.fields import Group
from steps.runtime.settings.reading import Needs, Settings, read

if TYPE_CHECKING:
    from collections.abc import Mapping


# The text of each variable, and the value that it is parsed to. Secrets are compared by their values.
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
    "DOWNLOAD_TIMEOUT": ("90m", timedelta(minutes=90)),
    "DRY_RUN": ("yes", True),
    "ARGO_URL": ("https://argo.example.com/ui", "https://argo.example.com/ui"),
    "ARGO_NAMESPACE": ("backup-system", "backup-system"),
    "VOLATILE_FIELDS": ("Strip", VolatileFields.STRIP),
    "RULES_FILE": ("/etc/git-sync/rules.yaml", Path("/etc/git-sync/rules.yaml")),
    "SECRETS": ("Redact", SecretsMode.REDACT),
    "SECRETS_KEY": ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
    "SECRETS_KEY_FILE": ("/run/secrets/key", Path("/run/secrets/key")),
    "MAX_DELETE_COUNT": ("0", 0),
    "MAX_DELETE_PERCENT": ("12.5", 12.5),
    "CLUSTER_VANISHED": ("KEEP", Vanished.KEEP),
    "FOREIGN_FILES": ("Remove", ForeignFiles.REMOVE),
    "NAMESPACE_VANISHED": ("KEEP", NamespaceVanished.KEEP),
    "DELETE_GRACE": ("30m", timedelta(minutes=30)),
    "ALLOW_DELETE": (
        "east:00000000000000ca,west:00000000000000be",
        ("east:00000000000000ca", "west:00000000000000be"),
    ),
    "ALLOW_NEW_BRANCH": ("00000000000000ca\n", ("00000000000000ca",)),
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
    "SOURCE_MAX_AGE": ("prod-*=6h, *=48h", (("prod-*", timedelta(hours=6)), ("*", timedelta(hours=48)))),
    "METRICS_PORT": ("9090", 9090),
    "METRICS_BIND": ("127.0.0.1", "127.0.0.1"),
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
    *("PUSHGATEWAY_PASSWORD", "STATE_ACCESS_KEY", "STATE_SECRET_KEY", "SECRETS_KEY"),
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
    "ALLOW_NEW_BRANCH": (),
    "CONCURRENCY": 10,
    "MAX_OBJECT_BYTES": 95 * 1024 * 1024,
    "DRY_RUN": False,
    "VOLATILE_FIELDS": VolatileFields.KEEP,
    "RULES_FILE": None,
    "SECRETS": None,
    "SECRETS_KEY_FILE": None,
    "MAX_DELETE_COUNT": 5,
    "MAX_DELETE_PERCENT": 20,
    "CLUSTER_VANISHED": Vanished.REFUSE,
    "FOREIGN_FILES": ForeignFiles.KEEP,
    "NAMESPACE_VANISHED": NamespaceVanished.REPORT,
    "DELETE_GRACE": timedelta(0),
    "DOWNLOAD_TIMEOUT": None,
    "RETRY_ATTEMPTS": 3,
    "RETRY_DELAY": timedelta(seconds=5),
    "SYNC_SCHEDULE": None,
    "SYNC_TIMEZONE": "UTC",
    "HEALTH_MAX_AGE": None,
    "SOURCE_MAX_AGE": (),
    "METRICS_PORT": 8080,
    "METRICS_BIND": None,
    "PUSHGATEWAY_JOB": "git-sync",
    "SCRAPE_INTERVAL": timedelta(minutes=1),
    "WEBHOOK_ON": (On.ALWAYS,),
    "STATE_USE_SSL": True,
    "LOG_LEVEL": LogLevel.INFO,
    "LOG_FORMAT": LogFormat.AUTO,
}


# Each text is wrong for another reason.
BAD = {
    "MINIO_ENDPOINT": "http://minio:9000",
    "MINIO_BUCKET": "s3://backups",
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
    "VOLATILE_FIELDS": "drop",
    "SECRETS": "encrypt",
    "MAX_DELETE_COUNT": "-1",
    "MAX_DELETE_PERCENT": "101",
    "CLUSTER_VANISHED": "shrug",
    "FOREIGN_FILES": "refuse",
    "NAMESPACE_VANISHED": "delete",
    "DOWNLOAD_TIMEOUT": "90",
    "RETRY_ATTEMPTS": "many",
    "RETRY_DELAY": "5",
    "SYNC_SCHEDULE": "at night",
    "SYNC_TIMEZONE": "../../etc/passwd",
    "HEALTH_MAX_AGE": "-1h",
    "SOURCE_MAX_AGE": "prod-*=soon",
    "METRICS_PORT": "65536",
    "METRICS_BIND": "localhost",
    "PUSHGATEWAY_URL": "pushgateway:9091",
    "SCRAPE_INTERVAL": "1",
    "WEBHOOK_ON": "never",
    "GIT_COMMIT_URL": "https://git.example.com/commit/",
    "STATE_ENDPOINT": "https://artifacts.example.com",
    "STATE_BUCKET": "argo/artifacts",
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
    """Return the problems that the error lists, by variable."""
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
