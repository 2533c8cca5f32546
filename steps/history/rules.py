"""rules: the rules about volatile fields as a file, and what they remove from files on this machine."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steps.core.operations import Operation
from steps.core.wording import plural
from steps.errors import FixCommandLine
from steps.kubernetes.rules_file import written_rules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from steps.kubernetes.policy import Policy
    from steps.kubernetes.rewrite import Rewritten

_GIT = ".git"


def printed_rules(policy: Policy) -> str:
    """Return the rules as a file that RULES_FILE can name."""
    return written_rules(policy.rules)


@dataclass
class _Totals:
    files: int = 0
    changed: int = 0
    not_written: int = 0
    size: int = 0
    cut: int = 0
    kept: list[str] = field(default_factory=list)

    def add(self, name: str, before: bytes, result: Rewritten) -> None:
        after = result.content
        self.files += 1
        self.size += len(before)
        self.cut += len(before) - len(after or b"")
        self.not_written += after is None
        self.changed += after is not None and after != before
        if result.reason:
            self.kept.append(f"{name}: {result.reason}")

    def lines(self) -> Iterator[str]:
        share = 100 * self.cut / self.size if self.size else 0
        yield f"changed: {self.changed} of {plural(self.files, 'file')}; not written: {self.not_written}"
        yield f"removed: {self.cut:,} of {self.size:,} bytes ({share:.0f} %)"
        if self.kept:
            yield f"kept exactly: {plural(len(self.kept), 'file')}"
            yield from (f"  {line}" for line in self.kept)


def removals(policy: Policy, path: Path) -> Iterator[str]:
    """Yield the lines of a diff of each file, and a summary. Raises FixCommandLine."""
    totals = _Totals()
    for file in _files(path):
        name = str(file)
        before = file.read_bytes()
        result = policy.rewrite(before)
        totals.add(name, before, result)
        after = result.content
        if after is None:
            yield f"not written: {name}"
        elif after != before:
            old, new = (text.decode(errors="replace").splitlines() for text in (before, after))
            yield from difflib.unified_diff(old, new, name, name, lineterm="")
    yield from totals.lines()


def _files(path: Path) -> list[Path]:
    """Return the file, or every file in the directory, in the order of their names."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FixCommandLine(
            Operation.CONFIGURATION, "Failed to test the rules", f"--test {path}: no such file or directory"
        )
    found = (file for file in path.rglob("*") if _GIT not in file.parts)
    return sorted(file for file in found if file.is_file() and not file.is_symlink())
