"""The format and the level of the log."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from steps.runtime.logs import LogFormat, LogLevel
from steps.runtime.settings.fields import Group, lower


def _level(text: object) -> object:
    word = lower(text)
    return "warning" if word == "warn" else word


class LogSettings(Group):
    """How the log is written."""

    level: Annotated[LogLevel, BeforeValidator(_level)] = Field(
        alias="LOG_LEVEL", default=LogLevel.INFO, description="`debug`, `info`, `warning` or `error`"
    )
    format: Annotated[LogFormat, BeforeValidator(lower)] = Field(
        alias="LOG_FORMAT",
        default=LogFormat.AUTO,
        description="`json`, `text` or `auto` (text on a terminal)",
    )
