"""Which object keys may become paths in a Git repository.

Everyone who can write to the bucket chooses keys. A key that fails these rules is quarantined: it is
never downloaded or written, and a file at its path in Git stays.

Sources of the rules: Git's ``verify_path``, ``is_hfs_dotgit`` and ``is_ntfs_dotgit`` (path.c,
utf8.c), ``fsck.c`` for the special files, POSIX NAME_MAX, S3's limit of 1,024 bytes for a key.
"""

from __future__ import annotations

import re
from enum import StrEnum

MAX_SEGMENT_BYTES = 255
MAX_PATH_BYTES = 1024
# A backup has about 6 levels. Git 2.45 reads no tree deeper than 2,048 (core.maxTreeDepth), and each level
# of a directory on the volume can take a file descriptor.
MAX_LEVELS = 64


class Reason(StrEnum):
    """Why a key is quarantined; the label in reports and metrics."""

    EMPTY_SEGMENT = "empty_segment"
    DOT_SEGMENT = "dot_segment"
    GIT_DIRECTORY = "git_directory"
    GIT_FILE = "git_file"
    BACKSLASH = "backslash"
    CONTROL_CHARACTER = "control_character"
    BIDI_CONTROL = "bidi_control"
    REPLACEMENT_CHARACTER = "replacement_character"
    NOT_UNICODE = "not_unicode"
    SEGMENT_TOO_LONG = "segment_too_long"
    PATH_TOO_LONG = "path_too_long"
    TOO_MANY_LEVELS = "too_many_levels"
    TOO_LARGE = "too_large"
    SECRET_UNREADABLE = "secret_unreadable"  # noqa: S105 - a label
    NO_CLUSTER = "no_cluster"
    PATH_CONFLICT = "path_conflict"


# Nearly every key of a backup matches this, which saves a dozen checks. No segment starts with a dot
# and none contains "~", so no spelling of .git and no special file matches.
_PLAIN = re.compile(
    r"(?:[A-Za-z0-9_+@=,:-][A-Za-z0-9_+@=,:.-]{0,200}/)*[A-Za-z0-9_+@=,:-][A-Za-z0-9_+@=,:.-]{0,200}"
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BIDI = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

# Code points that HFS+ ignores when it compares names (git: utf8.c, next_hfs_char).
_HFS_IGNORED = re.compile(r"[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")

# The 8.3 names under which Windows also finds .git and the special files: the first six letters, or
# (once ~4 is passed) a hash, which gives way to a longer number (git: path.c, is_ntfs_dot_generic).
_NTFS_SHORT_GIT = re.compile(r"git~[0-9]+")
_NTFS_SHORT = re.compile(r"([a-z0-9]{0,6})~[0-9]+")
_NTFS_STEMS = frozenset({"gitmod", "gitign", "gitatt", "mailma"})
_NTFS_HASHES = ("gi7eba", "gi250a", "gi7d29", "maba30")
_NTFS_SHORT_LENGTH = 8

_GIT_FILES = frozenset({".gitignore", ".gitattributes", ".gitmodules", ".mailmap"})


def rejection(path: str) -> Reason | None:
    """Return why ``path`` (a key without the bucket prefix: ``<cluster>/<rest>``) must not become a Git path.

    None means that Git gets the path byte for byte.
    """
    levels = path.count("/") + 1
    if len(path) <= MAX_PATH_BYTES and levels <= MAX_LEVELS and _PLAIN.fullmatch(path):
        return None
    if _SURROGATE.search(path):
        return Reason.NOT_UNICODE
    if len(path.encode()) > MAX_PATH_BYTES:
        return Reason.PATH_TOO_LONG
    if levels > MAX_LEVELS:
        return Reason.TOO_MANY_LEVELS
    for pattern, reason in _FORBIDDEN_ANYWHERE:
        if pattern.search(path):
            return reason
    return next(filter(None, map(_segment_rejection, path.split("/"))), None)


_FORBIDDEN_ANYWHERE = (
    (_CONTROL, Reason.CONTROL_CHARACTER),
    (re.compile(r"\\"), Reason.BACKSLASH),
    (_BIDI, Reason.BIDI_CONTROL),
    (re.compile("\ufffd"), Reason.REPLACEMENT_CHARACTER),
)


def impossible_segment(path: bytes) -> Reason | None:
    """Return why no file can be at this path of Git; None if one can. Others push files with any name."""
    segments = path.split(b"/")
    if b"" in segments:
        return Reason.EMPTY_SEGMENT
    return Reason.DOT_SEGMENT if {b".", b".."} & {*segments} else None


def _segment_rejection(segment: str) -> Reason | None:
    if segment == "":
        return Reason.EMPTY_SEGMENT
    if segment in {".", ".."}:
        return Reason.DOT_SEGMENT
    if len(segment.encode()) > MAX_SEGMENT_BYTES:
        return Reason.SEGMENT_TOO_LONG
    # The name as HFS+ and NTFS read it: without ignorable code points, alternate data stream (":name")
    # and trailing dots and spaces, and with its case folded.
    seen = _HFS_IGNORED.sub("", segment).split(":", 1)[0].rstrip(" .").casefold()
    if seen == ".git" or _NTFS_SHORT_GIT.fullmatch(seen):
        return Reason.GIT_DIRECTORY
    if seen in _GIT_FILES or _is_ntfs_short_name(seen):
        return Reason.GIT_FILE
    return None


def _is_ntfs_short_name(name: str) -> bool:
    short = _NTFS_SHORT.fullmatch(name)
    if short is None:
        return False
    stem = short[1]
    hashed = len(name) == _NTFS_SHORT_LENGTH and any(known.startswith(stem) for known in _NTFS_HASHES)
    return stem in _NTFS_STEMS or hashed


def printable(text: str, limit: int = 200) -> str:
    """Return ``text`` for a log line or a report: unprintable characters escaped, cut at ``limit``."""
    cut = text[:limit]
    shown = cut if cut.isprintable() else "".join(map(_escaped, cut))
    if len(text) <= limit and len(shown) <= 2 * limit:
        return shown
    return f"{shown[: 2 * limit]}… ({len(text)} characters)"  # an escaped character has up to ten


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def printable_path(path: bytes) -> str:
    """Return a path of Git for a log line or a report; Git's paths need not be UTF-8."""
    return printable(path.decode(errors="replace"))
