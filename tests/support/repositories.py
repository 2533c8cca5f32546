"""Bare repositories for tests: create them, commit to them as another user, read them."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

GITLINK = "160000"


class Entry(NamedTuple):
    """One line of `git ls-tree`."""

    mode: str
    type: str
    sha: str


def git_environment() -> dict[str, str]:
    """Return an environment in which git reads no user or system configuration and has a fixed identity."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "Someone Else",
        "GIT_AUTHOR_EMAIL": "someone@example.com",
        "GIT_COMMITTER_NAME": "Someone Else",
        "GIT_COMMITTER_EMAIL": "someone@example.com",
    }


def git(repository: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run git in `repository` and return its standard output.

    Raises CalledProcessError, with git's standard error in its notes.
    """
    done = subprocess.run(
        ["git", "-C", str(repository), *arguments],
        input=stdin,
        capture_output=True,
        env=git_environment(),
        check=False,
    )
    try:
        done.check_returncode()
    except subprocess.CalledProcessError as error:
        error.add_note(done.stderr.decode(errors="replace"))
        raise
    return done.stdout


def bare_repository(path: Path, *, partial_clone: bool = True) -> Path:
    """Create an empty bare repository at `path` with main as its HEAD; return `path`.

    `partial_clone` enables `--filter` and fetches of objects by id on the server.
    """
    shutil.copytree(_new_repository(partial_clone=partial_clone), path)
    return path


@cache
def _new_repository(*, partial_clone: bool) -> Path:
    """Create the repository that is copied: a copy takes a tenth of the time of these four processes.

    Without `receive.autogc`, a push starts two processes less.
    """
    folder = Path(mkdtemp(prefix="git-sync-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "new.git"
    (path / "hooks").mkdir(parents=True)
    git(path, "init", "--quiet", "--bare", "--initial-branch=main", "--template=")
    allowed = "true" if partial_clone else "false"
    git(path, "config", "uploadpack.allowFilter", allowed)
    git(path, "config", "uploadpack.allowAnySHA1InWant", allowed)
    git(path, "config", "receive.autogc", "false")
    return path


def install_hook(repository: Path, name: str, script: str) -> None:
    """Install ``script`` as a hook of the repository."""
    hook = repository / "hooks" / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(script)
    hook.chmod(0o755)


def commit_literally(
    repository: Path,
    headers: bytes,
    message: bytes = b"pushed\n",
    *,
    files: Mapping[str, bytes | tuple[str, bytes] | None] | None = None,
) -> str:
    """Commit to main with these header lines, which may be malformed, and return the commit id.

    A server with default settings accepts such a push.
    """
    parent = git(repository, "rev-parse", "main").strip()
    if files:
        commit_files(repository, files)
    tree = git(repository, "rev-parse", "main^{tree}").strip()
    raw = b"tree %s\nparent %s\n%s\n%s" % (tree, parent, headers, message)
    oid = git(repository, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=raw)
    git(repository, "update-ref", "refs/heads/main", oid.decode().strip())
    return oid.decode().strip()


def commit_files(
    repository: Path,
    files: Mapping[str, bytes | tuple[str, bytes] | None],
    message: str = "someone else's change",
    branch: str = "main",
    *,
    when: int = 1_750_000_000,
) -> str:
    """Commit to `branch` of a bare repository, as a push by another user would; return the commit id.

    A value is the content of the file, or a pair of octal mode and content ("120000" and the target
    for a symlink, GITLINK and a commit id for a submodule), or None to delete the path, which may
    be a directory. Deletions are applied first. `when` is the time of the commit in Unix seconds.
    """
    ref = f"refs/heads/{branch}"
    identity = f"Someone Else <someone@example.com> {when} +0000"
    parts = [f"commit {ref}\nmark :1\nauthor {identity}\ncommitter {identity}\n".encode()]
    parts.append(_data(message.encode()))
    if (repository / ref).is_file() or git(repository, "for-each-ref", ref):
        parts.append(f"from {ref}^0\n".encode())
    parts += [b"D " + _quoted(path) + b"\n" for path, value in files.items() if value is None]
    for path, value in files.items():
        if value is None:
            continue
        mode, content = ("100644", value) if isinstance(value, bytes) else value
        if mode == GITLINK:
            parts.append(b"M 160000 " + content + b" " + _quoted(path) + b"\n")
        else:
            parts.append(f"M {mode} inline ".encode() + _quoted(path) + b"\n" + _data(content))
    parts.append(b"get-mark :1\n")
    out = git(repository, "fast-import", "--quiet", "--date-format=raw", stdin=b"".join(parts))
    return out.decode().strip()


def _data(content: bytes) -> bytes:
    return f"data {len(content)}\n".encode() + content + b"\n"


def _quoted(path: str) -> bytes:
    printable = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return b'"' + os.fsencode(printable) + b'"'


def sha(repository: Path, revision: str = "main") -> str:
    """Return the commit id of `revision`; raises CalledProcessError if it does not exist."""
    return git(repository, "rev-parse", "--verify", f"{revision}^{{commit}}").decode().strip()


def branches(repository: Path) -> dict[str, str]:
    """Return the commit id of each branch; empty for a new repository."""
    listed = git(repository, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)")
    return dict(line.rsplit(" ", 1) for line in listed.decode().splitlines())


def tree(repository: Path, revision: str = "main", prefix: str = "") -> dict[str, Entry]:
    """Return every file of a commit under `prefix`, in git's order; other bytes than UTF-8 as surrogates."""
    entries = {}
    for row in git(repository, "ls-tree", "-r", "-z", "--full-tree", revision).split(b"\0")[:-1]:
        meta, path = row.split(b"\t", 1)
        if (name := os.fsdecode(path)).startswith(prefix):
            entries[name] = Entry(*meta.decode().split(" "))
    return entries


def tree_of(repository: Path, *entries: tuple[str, str, str]) -> str:
    """Write a tree as it is, and return its id; entries have mode, name and id."""
    raw = b"".join(f"{mode} {name}".encode() + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
    arguments = ("hash-object", "-t", "tree", "-w", "--literally", "--stdin")
    return git(repository, *arguments, stdin=raw).decode().strip()


def contents(repository: Path, revision: str = "main", prefix: str = "") -> dict[str, bytes]:
    """Return the content of every blob of a commit under `prefix`, by path; for a symlink its target."""
    blobs = {p: e.sha for p, e in tree(repository, revision, prefix).items() if e.type == "blob"}
    wanted = "".join(f"{blob}\n" for blob in blobs.values()).encode()
    output = git(repository, "cat-file", "--batch", stdin=wanted)
    found: dict[str, bytes] = {}
    position = 0
    for path in blobs:
        start = output.index(b"\n", position) + 1
        size = int(output[position:start].split()[2])
        found[path] = output[start : start + size]
        position = start + size + 1
    return found


def log(repository: Path, revision: str = "main") -> list[str]:
    """Return the ancestors of `revision`, newest first; raises CalledProcessError if it does not exist."""
    return git(repository, "rev-list", revision, "--").decode().split()


def message(repository: Path, revision: str = "main") -> str:
    """Return the whole message of one commit."""
    return git(repository, "cat-file", "commit", revision).decode().split("\n\n", 1)[1]


def fsck(repository: Path) -> None:
    """Raise CalledProcessError if git finds a fault in the repository."""
    git(repository, "fsck", "--strict", "--full", "--no-dangling")
