"""What must not have happened: nothing outside touched, no program run, no clone that does harm."""

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

# What git starts to clone from a file:// URL, and to find that there are no submodules.
_GITS_OWN = frozenset(
    [
        *("git-upload-pack", "index-pack", "rev-list", "pack-objects", "unpack-objects", "maintenance"),
        *("submodule", "git-submodule", "submodule--helper update", "submodule--helper status"),
    ]
)
_STRICT = ("-c", "core.protectNTFS=true", "-c", "core.protectHFS=true")


def fingerprint(root: Path, *, without: tuple[Path, ...] = ()) -> Fingerprint:
    """Every file, link, pipe and directory below `root`: what it is, how large, how old, and its content."""
    found: Fingerprint = {}
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if root.joinpath(directory, name) not in without]
        for name in [*names, *files]:
            path = os.path.join(directory, name)
            if path not in map(str, without):
                known = os.lstat(path)
                # A directory's own time tells of files that came and went: such as TMPDIR is for.
                size, time = (0, 0) if stat.S_ISDIR(known.st_mode) else (known.st_size, known.st_mtime_ns)
                found[path] = (known.st_mode, size, time, _content(path, known.st_mode))
    return found


def _content(path: str, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if not stat.S_ISREG(mode):
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def assert_same(found: Mapping[bytes, bytes], expected: Mapping[bytes, bytes]) -> None:
    """Raise AssertionError, which names some of the paths, unless both are the same files."""
    differing = {path for path in found.keys() | expected.keys() if found.get(path) != expected.get(path)}
    shown = {path: (found.get(path), expected.get(path)) for path in sorted(differing)[:5]}
    assert not differing, f"{len(differing)} paths (found, expected): {shown}"


def clone_and_look(
    repository: Path, room: Path, expected: Mapping[bytes, bytes], canary: Path, *options: str
) -> None:
    """Clone with submodules, as a person who has filters and drivers of the names that are asked for.

    Raises AssertionError where a byte differs, a program is started, or a hook, or the canary is touched.
    """
    target, trace = room / "clone", room / "trace"
    environment = git_environment() | {
        "GIT_CONFIG_GLOBAL": str(_configuration(room, canary)),
        "GIT_TRACE2_EVENT": str(trace),
        "HOME": str(room),
    }

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, env=environment, cwd=room, check=False
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")

    git(*options, "clone", "--quiet", "--recurse-submodules", f"file://{repository}", str(target))
    git(*options, "-C", str(target), "submodule", "update", "--quiet", "--init", "--recursive")
    assert git(*options, "-C", str(target), "status", "--porcelain", "--ignored") == ""
    assert git(*options, "-C", str(target), "submodule", "status", "--recursive") == ""
    found = dict(_files(os.fsencode(target)))
    assert_same(found, expected)
    assert not canary.exists()
    started = strangers(trace)
    assert started == [], started
    assert not (target / ".git" / "modules").exists()


def strict_clone_options() -> tuple[str, ...]:
    """Options by which git judges names as on the file systems of others."""
    return _STRICT


def _configuration(room: Path, canary: Path) -> Path:
    """A global configuration in which every driver that a .gitattributes may ask for leaves a trace."""
    touch = f"touch {canary}; cat"
    written = room / "gitconfig"
    written.write_text(
        f'[filter "canary"]\n\tsmudge = {touch!r}\n\tclean = {touch!r}\n'.replace("'", '"')
        + f'[diff "canary"]\n\ttextconv = "{touch}"\n[merge "canary"]\n\tdriver = "{touch}"\n'
        + "[protocol]\n\tallow = always\n[advice]\n\tdetachedHead = false\n"
    )
    return written


def _files(root: bytes) -> Iterator[tuple[bytes, bytes]]:
    for directory, names, files in os.walk(root):
        if directory == root:
            names.remove(b".git")
        for name in files:
            path = os.path.join(directory, name)
            assert stat.S_IMODE(os.lstat(path).st_mode) & 0o111 == 0
            with open(path, "rb") as file:
                yield os.path.relpath(path, root), file.read()


def strangers(trace: Path) -> list[list[str]]:
    """The commands that git started and that are none of its own; hooks are among them."""
    events = [json.loads(line) for line in trace.read_text(errors="replace").splitlines()]
    started = [event for event in events if event["event"] == "child_start"]
    return [
        event["argv"] for event in started if event["child_class"] == "hook" or not _is_gits(event["argv"])
    ]


def _is_gits(argv: list[str]) -> bool:
    words = [word for word in argv if word != "git" and not word.startswith("-")]
    return bool(words) and bool(_GITS_OWN & {words[0].split(" ")[0], " ".join(words[:2])})
