"""The commands of git fast-import (see git-fast-import(1)) that a backup commit needs.

All deletions must come before all modifications: a file that replaces a directory drops the
directory's children, including those that were written before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from steps.core.git_objects import Mode

if TYPE_CHECKING:
    from datetime import datetime


def commit(  # noqa: PLR0913 - a commit's parts
    *, ref: str, name: str, email: str, at: datetime, message: str, parent: str | None
) -> bytes:
    """Begin a commit. Without ``parent`` it is a root commit."""
    who = f"{name} <{email}> {int(at.timestamp())} +0000"
    body = message.encode()
    lines = [
        f"commit {ref}\n".encode(),
        f"author {who}\ncommitter {who}\n".encode(),
        b"data %d\n" % len(body) + body + b"\n",
    ]
    return b"".join(lines) + (f"from {parent}\n".encode() if parent else b"")


def delete(path: bytes) -> bytes:
    """Remove the file at ``path``."""
    return b"D " + _quoted(path) + b"\n"


def write_inline(path: bytes, size: int) -> bytes:
    """Write a plain file at ``path``; ``size`` bytes and END_OF_DATA must follow."""
    return b"M %b inline %b\ndata %d\n" % (_FILE, _quoted(path), size)


def write_blob(path: bytes, oid: str) -> bytes:
    """Write a plain file at ``path`` with the content of a blob that the repository has."""
    return b"M %b %b %b\n" % (_FILE, oid.encode(), _quoted(path))


_FILE = Mode.FILE.encode()
END_OF_DATA = b"\n"
_SPECIAL = re.compile(rb'[\x00-\x1f\x7f"\\]')
DONE = b"done\n"


def _quoted(path: bytes) -> bytes:
    # Deleted paths come from Git's tree, in which the names of others may contain line feeds.
    return b'"' + _SPECIAL.sub(lambda found: b"\\%03o" % found.group()[0], path) + b'"'
