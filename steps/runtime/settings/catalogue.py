"""Every setting once, in the order of the documentation: for tables, manifests and spelling checks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from inspect import get_annotations
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import SecretStr

from steps.runtime.settings.content import ContentSettings
from steps.runtime.settings.delivery import HealthSettings, HttpSettings, PushgatewaySettings, WebhookSettings
from steps.runtime.settings.git import CommitPages, GitSettings, TargetSettings
from steps.runtime.settings.guards import GuardSettings, IntakeSettings
from steps.runtime.settings.log import LogSettings
from steps.runtime.settings.proxy import ProxySettings
from steps.runtime.settings.s3 import MinioSettings
from steps.runtime.settings.state import StateSettings
from steps.runtime.settings.sync import RetrySettings, SyncSettings

if TYPE_CHECKING:
    from steps.runtime.settings.fields import Group

_GROUPS: tuple[type[Group], ...] = (
    *(
        MinioSettings,
        TargetSettings,
        GitSettings,
        SyncSettings,
        ContentSettings,
        GuardSettings,
        IntakeSettings,
    ),
    *(RetrySettings, HealthSettings, HttpSettings, PushgatewaySettings, WebhookSettings, CommitPages),
    *(StateSettings, LogSettings, ProxySettings),
)


@dataclass(frozen=True)
class Setting:
    """One setting: ``name`` is its environment variable, ``default`` is None if it has none."""

    name: str
    default: Any
    description: str
    is_secret: bool
    is_list: bool
    is_file: bool


@cache
def catalogue() -> tuple[Setting, ...]:
    """Return all settings."""
    found: dict[str, Setting] = {}
    for group in _GROUPS:
        for name in get_annotations(group):  # what the class itself declares: bases have their own place
            field = group.model_fields[name]
            found.setdefault(
                str(field.alias),
                Setting(
                    str(field.alias),
                    None if field.is_required() else field.default,
                    field.description or "",
                    is_secret=_has(SecretStr, field.annotation),
                    is_list=get_origin(field.annotation) is tuple,
                    is_file=_has(Path, field.annotation) and field.default is None,
                ),
            )
    return tuple(found.values())


def _has(kind: type, annotation: Any) -> bool:
    return annotation is kind or any(_has(kind, part) for part in get_args(annotation))
