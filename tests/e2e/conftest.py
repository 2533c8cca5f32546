"""Fixtures of the end-to-end tests, which are skipped with a note if there is no cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.e2e.installation import Installation
from tests.e2e.site import REQUIRED, Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

collect_ignore_glob = [] if set(REQUIRED) <= set(os.environ) else ["test_*.py"]


def pytest_report_header() -> str | None:
    """Report that the tests are skipped."""
    return "tests/e2e: skipped, because they need a cluster: make e2e" if collect_ignore_glob else None


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Yield an installation of git-sync in a separate namespace."""
    site = Site.from_environment()
    here = Installation(site, tmp_path)
    yield here
    if not os.environ.get("E2E_KEEP"):
        here.remove()
