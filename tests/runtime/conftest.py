"""Fixtures: the log of this process."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from steps.runtime import redaction

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def restored_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore the log and its secrets after the test."""
    logger = logging.getLogger("git-sync")
    before = (logger.handlers, logger.propagate, logger.level)
    monkeypatch.setattr(redaction, "_secrets", redaction._secrets)
    yield
    logger.handlers, logger.propagate = before[:2]
    logger.setLevel(before[2])
