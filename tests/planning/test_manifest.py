"""How often a run opens and verifies the files of a cluster."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

OBJECTS = {f"clusterbackup/east/default/object-{n}.yaml": b"kind: Service\n" for n in range(30)}

_opened: Counter[str] | None = None


def _count(event: str, arguments: tuple[Any, ...]) -> None:
    # An audit hook cannot be removed, so there is one, and it counts only while a test asks for it.
    if _opened is not None and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        flags = arguments[2] if isinstance(arguments[2], int) else 0
        if not flags & (os.O_WRONLY | os.O_RDWR):
            _opened[Path(os.fsdecode(arguments[0])).parent.name] += 1


sys.addaudithook(_count)


@pytest.fixture
def opened() -> Iterator[Counter[str]]:
    """How often files were opened for reading, by the name of their directory."""
    global _opened  # noqa: PLW0603 - see _count
    _opened = Counter()
    yield _opened
    _opened = None


@pytest.mark.parametrize("changes", [False, True])
def test_run_verifies_a_manifest_once_per_step_and_opens_it_once_per_pass(
    sync: Sync, bucket: Bucket, opened: Counter[str], changes: bool
) -> None:
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
    if changes:
        bucket.put(next(iter(OBJECTS)), b"kind: Changed\n")
        bucket.delete(list(OBJECTS)[-1])
    opened.clear()
    assert sync().exit == 0
    # detect and publish verify it once each. With changes, detect makes two passes (deletion guard,
    # plan), and the update of the cache two more (tree id, rows).
    assert opened["manifest"] == (6 if changes else 2)
    # discover writes it; download verifies it and makes one pass; the rest as above.
    assert opened["baseline"] == (6 if changes else 4)
