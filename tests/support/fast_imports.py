"""Input of git fast-import for tests."""

from __future__ import annotations

from datetime import UTC, datetime

from steps.clients.git.objects import NEW
from steps.core import fast_import


def first_commit() -> list[bytes]:
    """Return the input for a commit without a parent, with one file."""
    return [
        fast_import.commit(
            ref=NEW, name="a", email="a@example.com", at=datetime.now(UTC), message="message", parent=None
        ),
        fast_import.write_inline(b"a.yaml", 1),
        b"1",
        fast_import.END_OF_DATA,
        fast_import.DONE,
    ]
