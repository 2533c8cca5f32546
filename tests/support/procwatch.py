"""Collects arguments and environments of child processes from /proc, as another user of the machine could."""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PAUSE_SECONDS = 0.004

# Records its arguments and environment, then executes the program.
_SHIM = """#!/bin/sh
cat /proc/$$/cmdline >"{folder}/arguments of {name} $$"
cat /proc/$$/environ >"{folder}/environment of {name} $$"
exec {program} "$@"
"""


def shims(folder: Path, names: Sequence[str]) -> str:
    """Create a shim for each program, for the start of PATH; each call writes files to ``folder``/seen."""
    seen = folder / "seen"
    seen.mkdir(parents=True)
    for name in names:
        shim = folder / name
        shim.write_text(_SHIM.format(folder=seen, name=name, program=shutil.which(name)))
        shim.chmod(0o755)
    return str(folder)


@contextmanager
def watched(pid: int) -> Iterator[dict[str, bytes]]:
    """Collect arguments and environments of all descendants of ``pid`` while the block lasts."""
    seen: dict[str, bytes] = {}
    done = threading.Event()

    def sample() -> None:
        while not done.wait(_PAUSE_SECONDS):
            for child in _descendants(pid):
                with suppress(OSError):
                    arguments = (child / "cmdline").read_bytes()
                    if b"steps\0" not in arguments:  # otherwise a fork before its exec of git
                        program = Path(arguments.decode(errors="replace").partition("\0")[0]).name
                        seen[f"arguments of {program} {child.name}"] = arguments
                        seen[f"environment of {program} {child.name}"] = (child / "environ").read_bytes()

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def _descendants(pid: int) -> Iterator[Path]:
    process = Path(f"/proc/{pid}")
    with suppress(OSError):
        for thread in (process / "task").iterdir():
            for child in (thread / "children").read_text().split():
                yield Path(f"/proc/{child}")
                yield from _descendants(int(child))
