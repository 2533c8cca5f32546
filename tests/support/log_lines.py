"""Sets up the log of this process for a test, and reads its lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from steps.runtime import logs
from steps.runtime.logs import LogFormat, LogLevel

if TYPE_CHECKING:
    from collections.abc import Callable

Output = pytest.CaptureFixture[str]


def set_up(
    level: LogLevel = LogLevel.INFO,
    format_: LogFormat = LogFormat.JSON,
    secrets: Callable[[], list[str]] = list,
) -> None:
    logs.set_up(level, format_, secrets)


def entries(output: Output) -> list[dict[str, Any]]:
    lines = output.readouterr().out.split("\n")
    assert lines.pop() == ""
    return [json.loads(line) for line in lines]
