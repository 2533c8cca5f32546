"""rules: the rules about volatile fields as a file, and what they and SECRETS change in local files."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steps.core.operations import Operation
from steps.core.wording import plural
from steps.errors import FixCommandLine
from steps.kubernetes.rewrite import Rewritten
from steps.kubernetes.rules_file import written_rules
from steps.kubernetes.secret_filter import SecretsMode
from steps.kubernetes.secrets import SecretsPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from steps.kubernetes.policy import Policy

_GIT = ".git"

# Values are never printed, so the key does not matter.
_ANY_KEY = bytes(32)

_FATES = {
    SecretsMode.KEEP: "stay in clear text",
    SecretsMode.EXCLUDE: "excluded",
    SecretsMode.REDACT: "redacted",
}


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
    secrets: int = 0
    files_with_secrets: int = 0
    unreadable: int = 0
    kept: list[str] = field(default_factory=list)

    def add(self, name: str, before: bytes, treated: bytes | None, result: Rewritten) -> None:
        after = result.content
        self.files += 1
        self.size += len(before)
        self.cut += len(treated or b"") - len(after or b"")
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

    def secrets_line(self, fate: str) -> Iterator[str]:
        if self.files_with_secrets:
            yield f"Secrets: {self.secrets:,} in {plural(self.files_with_secrets, 'file')} {fate}"
        if self.unreadable:
            yield f"may contain a Secret, not readable, not written: {plural(self.unreadable, 'file')}"


def removals(policy: Policy, path: Path) -> Iterator[str]:
    """Yield the lines of a diff of each file, and a summary. Raises FixCommandLine.

    A diff would show values of Secrets, so a file with Secrets has a line with their number instead.
    """
    totals = _Totals()
    mode = policy.secrets or SecretsMode.KEEP
    secrets = SecretsPolicy(mode, _ANY_KEY, policy.rules)
    for file in _files(path):
        name = str(file)
        before = file.read_bytes()
        inside = file.relative_to(path) if path.is_dir() else file.name
        treated = secrets.treated(str(inside), before)
        if treated.reason:
            totals.unreadable += 1
            yield f"not written: {name}: may contain a Secret, and is not readable: {treated.reason}"
            continue
        result = Rewritten(None) if treated.content is None else policy.rewrite(treated.content)
        totals.add(name, before, treated.content, result)
        after = result.content
        if treated.secrets:
            totals.secrets += treated.secrets
            totals.files_with_secrets += 1
            yield f"{name}: {plural(treated.secrets, 'Secret')} {_FATES[mode]}"
            if after is not None:
                continue
        if after is None:
            yield f"not written: {name}"
        elif after != before:
            old, new = (text.decode(errors="replace").splitlines() for text in (before, after))
            yield from difflib.unified_diff(old, new, name, name, lineterm="")
    yield from totals.lines()
    yield from totals.secrets_line(_FATES[mode])


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
