"""A new directory that appears as a whole, or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from steps.core.operations import Operation
from steps.errors import FixConfiguration, volume_error

if TYPE_CHECKING:
    from collections.abc import Iterator

_MESSAGE = "Failed to write the directory"


def require_new(target: Path) -> None:
    """Raise FixConfiguration unless there is nothing at ``target``, or an empty directory."""
    try:
        if target.is_dir() and not any(target.iterdir()):
            return
        if not target.exists() and not target.is_symlink():
            return
        what = "is not empty" if target.is_dir() else "is not a directory"
    except OSError as problem:
        raise volume_error(problem, _MESSAGE, target) from problem
    raise FixConfiguration(
        Operation.GIT_DIFF, _MESSAGE, f"--output {target} {what}; name a new directory", path=str(target)
    )


@contextlib.contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """Yield a temporary directory beside ``target``, which takes its place when the block ends.

    It is private (mode 0700), because it can contain Secrets. An error in the block removes it.
    """
    require_new(target)
    target = target.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            yield made
            made.rename(target)  # replaces an empty directory
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as problem:
        raise volume_error(problem, _MESSAGE, target) from problem


def write_file(directory: Path, path: str, content: bytes) -> None:
    """Write a file below the directory; ``path`` is checked, and has no ``..``."""
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as stream:
        stream.write(content)
