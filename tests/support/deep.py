"""A directory that is deeper than Python's recursion limit and the limit of descriptors."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEVELS = 1200


@contextmanager
def deep(top: Path, *, name: str = "d") -> Iterator[None]:
    """Create a file and a directory at each level below ``top``; remove what is left at the end.

    With a longer ``name`` its path is also longer than PATH_MAX.
    """
    top.mkdir(parents=True)
    handle = os.open(top, os.O_RDONLY)
    for _ in range(LEVELS):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
        os.mkdir(name, dir_fd=handle)
        below = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", top], check=True)
