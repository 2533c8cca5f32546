"""How runs are reported: health, HTTP, Pushgateway, webhook."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from steps.core.source_age import MaxAges
from steps.runtime.settings.fields import (
    Duration,
    Group,
    comma_separated,
    duration,
    has_credentials,
    is_web_url,
)
from steps.runtime.settings.git import CommitPages, TargetSettings
from steps.runtime.settings.proxy import ProxySettings


class On(StrEnum):
    """WEBHOOK_ON: the runs that the webhook is called for."""

    ALWAYS = "always"
    CHANGE = "change"
    SUBSTANCE = "substance"
    FAILURE = "failure"


_CRON_FIELDS = 5


def _fires_in_argo(schedule: str) -> bool:
    """Whether robfig/cron v3, the parser of Argo and Kubernetes, accepts what CronSim accepts."""
    fields = schedule.upper().split()
    last_days = {"L", "W", "LW"}.intersection(re.findall("[A-Z]+", schedule.upper()))
    is_sunday_7 = "7" in re.findall(r"\d+", fields[-1].partition("/")[0])
    return len(fields) == _CRON_FIELDS and not last_days and not is_sunday_7 and "#" not in schedule


def _timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, KeyError, OSError):
        raise ValueError(f"{text!r} is not a time zone; write it like UTC or Europe/Berlin") from None
    return text


def _schedule(text: str) -> str:
    try:
        CronSim(text, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError:
        raise ValueError(f"{text!r} is not a cron schedule; write it like */15 * * * *") from None
    if not _fires_in_argo(text):
        raise ValueError(
            f"{text!r} never fires in Argo and Kubernetes: write five fields without L, W and #, "
            "and Sunday as 0"
        )
    return text


def _web_url(text: str) -> str:
    if not is_web_url(text):
        raise ValueError("write it like https://pushgateway.example.com")
    if has_credentials(text):
        raise ValueError("must not contain credentials; set PUSHGATEWAY_USERNAME and PUSHGATEWAY_PASSWORD")
    return text


def _ip_address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address; write it like 127.0.0.1, 0.0.0.0 or ::") from None


def _secret_url(secret: SecretStr) -> SecretStr:
    # The URL of a webhook is enough to call it, so it is never shown.
    if not is_web_url(secret.get_secret_value()):
        raise ValueError("write it like https://hooks.example.com/services/…")
    return secret


def _max_ages(text: object) -> object:
    """Parse ``24h`` or ``prod-*=6h,*=48h`` to pairs of glob and duration."""
    if not isinstance(text, str):
        return text
    entries = [entry.rpartition("=") for entry in text.replace("\n", ",").split(",") if entry.strip()]
    return tuple((glob.strip() or "*", duration(age.strip())) for glob, _, age in entries)


class HealthSettings(Group):
    """When the last success is too old."""

    schedule: Annotated[str, AfterValidator(_schedule)] | None = Field(
        alias="SYNC_SCHEDULE",
        default=None,
        description="cron schedule of the runs, to decide when the last success is too old",
    )
    timezone: Annotated[str, AfterValidator(_timezone)] = Field(
        alias="SYNC_TIMEZONE", default="UTC", description="time zone of SYNC_SCHEDULE"
    )
    max_age: Duration | None = Field(
        alias="HEALTH_MAX_AGE",
        default=None,
        description="maximum age of the last success, instead of SYNC_SCHEDULE",
    )
    source_max_age: Annotated[MaxAges, BeforeValidator(_max_ages)] = Field(
        alias="SOURCE_MAX_AGE",
        default=(),
        description="maximum age of a cluster's newest object: `24h`, or by glob `prod-*=6h,*=48h`",
    )


class HttpSettings(HealthSettings, CommitPages):
    """The port of the HTTP server, and what its answers depend on."""

    port: int = Field(
        alias="METRICS_PORT",
        default=8080,
        ge=0,
        le=65535,
        description="HTTP port of `serve`, and of `run` while it works; 0 disables the server",
    )
    bind: Annotated[str, AfterValidator(_ip_address)] | None = Field(
        alias="METRICS_BIND",
        default=None,
        description="IP address of METRICS_PORT; the default is every address in `serve`, 127.0.0.1 in `run`",
    )


class PushgatewaySettings(HealthSettings, TargetSettings, ProxySettings):
    """The Pushgateway that metrics are pushed to."""

    url: Annotated[str, AfterValidator(_web_url)] = Field(
        alias="PUSHGATEWAY_URL", description="Prometheus Pushgateway to push the metrics of each run to"
    )
    job: str = Field(
        alias="PUSHGATEWAY_JOB", default="git-sync", min_length=1, description="value of the label `job`"
    )
    username: str | None = Field(
        alias="PUSHGATEWAY_USERNAME",
        default=None,
        description="user name for the Pushgateway (basic authentication)",
    )
    password: SecretStr | None = Field(
        alias="PUSHGATEWAY_PASSWORD", default=None, description="password for the Pushgateway"
    )
    ca_file: Path | None = Field(
        alias="PUSHGATEWAY_CA_FILE", default=None, description="CA certificates (PEM) for the Pushgateway"
    )
    scrape_interval: Duration = Field(
        alias="SCRAPE_INTERVAL",
        default=timedelta(minutes=1),
        le=timedelta(minutes=10),
        description="how long a new series is published as 0 before its value (`increase()` needs it)",
    )


class WebhookSettings(CommitPages, ProxySettings):
    """The webhook that is called after runs."""

    url: Annotated[SecretStr, AfterValidator(_secret_url)] = Field(
        alias="WEBHOOK_URL", description="URL to notify after runs"
    )
    on: Annotated[tuple[On, ...], BeforeValidator(comma_separated)] = Field(
        alias="WEBHOOK_ON",
        default=(On.ALWAYS,),
        description="when to notify: `always`, `change`, `substance`, `failure`, or several with commas",
    )
    secret: SecretStr | None = Field(
        alias="WEBHOOK_SECRET", default=None, description="key for the signature of notifications"
    )
    ca_file: Path | None = Field(
        alias="WEBHOOK_CA_FILE", default=None, description="CA certificates (PEM) for the webhook"
    )


@dataclass(frozen=True)
class DeliverySettings:
    """Where the result of a run goes: pages always, the others if they are set."""

    pages: CommitPages
    webhook: WebhookSettings | None
    pushgateway: PushgatewaySettings | None
    max_ages: MaxAges = ()
