"""Detects damage: changed files outside of WORK_DIR, started programs, harmful clones."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
from typing import TYPE_CHECKING

from tests.support.repositories import git_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Fingerprint = dict[str, tuple[int, int, int, str]]

# Commands that git starts to clone from a file:// URL and to look for submodules.
_GITS_OWN = frozenset(
    [
        *("git-upload-pack", "index-pack", "rev-list", "pack-objects", "unpack-objects", "maintenance"),
        *("submodule", "git-submodule", "submodule--helper update", "submodule--helper status"),
    ]
)
_STRICT = ("-c", "core.protectNTFS=true", "-c", "core.protectHFS=true")


def fingerprint(root: Path, *, without: tuple[Path, ...] = ()) -> Fingerprint:
    """Return mode, size, time and content hash of every file, link, pipe and directory below `root`."""
    found: Fingerprint = {}
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if root.joinpath(directory, name) not in without]
        for name in [*names, *files]:
            path = os.path.join(directory, name)
            if path not in map(str, without):
                status = os.lstat(path)
                # The time of a directory changes with temporary files, so it is ignored.
                size, time = (0, 0) if stat.S_ISDIR(status.st_mode) else (status.st_size, status.st_mtime_ns)
                found[path] = (status.st_mode, size, time, _content(path, status.st_mode))
    return found


def _content(path: str, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if not stat.S_ISREG(mode):
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def assert_same(found: Mapping[bytes, bytes], expected: Mapping[bytes, bytes]) -> None:
    """Raise AssertionError with some of the differing paths, unless both have the same files."""
    differing = {path for path in found.keys() | expected.keys() if found.get(path) != expected.get(path)}
    shown = {path: (found.get(path), expected.get(path)) for path in sorted(differing)[:5]}
    assert not differing, f"{len(differing)} paths (found, expected): {shown}"


def clone_and_check(
    repository: Path, directory: Path, expected: Mapping[bytes, bytes], executed: Path, *options: str
) -> None:
    """Clone with submodules, as a user whose configuration has the filters and drivers that are requested.

    Raises AssertionError if a byte differs, a program or a hook is started, or `executed` exists.
    """
    target, trace = directory / "clone", directory / "trace"
    environment = git_environment() | {
        "GIT_CONFIG_GLOBAL": str(_configuration(directory, executed)),
        "GIT_TRACE2_EVENT": str(trace),
        "HOME": str(directory),
    }

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, env=environment, cwd=directory, check=False
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")

    git(*options, "clone", "--quiet", "--recurse-submodules", f"file://{repository}", str(target))
    git(*options, "-C", str(target), "submodule", "update", "--quiet", "--init", "--recursive")
    assert git(*options, "-C", str(target), "status", "--porcelain", "--ignored") == ""
    assert git(*options, "-C", str(target), "submodule", "status", "--recursive") == ""
    found = dict(_files(os.fsencode(target)))
    assert_same(found, expected)
    assert not executed.exists()
    commands = foreign_commands(trace)
    assert commands == [], commands
    assert not (target / ".git" / "modules").exists()


def strict_clone_options() -> tuple[str, ...]:
    """Return options that make git check names for other file systems."""
    return _STRICT


def _configuration(directory: Path, executed: Path) -> Path:
    """Write a configuration in which every driver that .gitattributes may request creates `executed`."""
    touch = f"touch {executed}; cat"
    path = directory / "gitconfig"
    path.write_text(
        f'[filter "probe"]\n\tsmudge = {touch!r}\n\tclean = {touch!r}\n'.replace("'", '"')
        + f'[diff "probe"]\n\ttextconv = "{touch}"\n[merge "probe"]\n\tdriver = "{touch}"\n'
        + "[protocol]\n\tallow = always\n[advice]\n\tdetachedHead = false\n"
    )
    return path


def _files(root: bytes) -> Iterator[tuple[bytes, bytes]]:
    for directory, names, files in os.walk(root):
        if directory == root:
            names.remove(b".git")
        for name in files:
            path = os.path.join(directory, name)
            assert stat.S_IMODE(os.lstat(path).st_mode) & 0o111 == 0
            with open(path, "rb") as file:
                yield os.path.relpath(path, root), file.read()


def foreign_commands(trace: Path) -> list[list[str]]:
    """Return the commands started by git that are hooks or not part of git."""
    events = [json.loads(line) for line in trace.read_text(errors="replace").splitlines()]
    started = [event for event in events if event["event"] == "child_start"]
    return [
        event["argv"] for event in started if event["child_class"] == "hook" or not _is_gits(event["argv"])
    ]


def _is_gits(argv: list[str]) -> bool:
    names = [name for name in argv if name != "git" and not name.startswith("-")]
    return bool(names) and bool(_GITS_OWN & {names[0].split(" ")[0], " ".join(names[:2])})
