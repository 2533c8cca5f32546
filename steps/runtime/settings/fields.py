"""Types of settings that several groups share: how their text is parsed and checked.

A parser raises ValueError with a message that says how to write the value. The message never contains
the value of a secret.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any
from unicodedata import category, name
from urllib.parse import urlsplit

import durationpy
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from steps.core.keys import rejection

if TYPE_CHECKING:
    from pathlib import Path


class Group(BaseModel):
    """A group of settings. The alias of a field is the name of its environment variable.

    Groups may share variables: a group that inherits from another one has its fields too.
    """

    # Models are built when they are first used: `git-sync --help` needs none of them.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)


def lower(text: object) -> object:
    """Accept every spelling of a word: ``Full``, ``FULL``."""
    return text.lower() if isinstance(text, str) else text


def split(text: object, separator: str) -> object:
    """Split a list at the pattern ``separator``; empty entries are dropped."""
    if not isinstance(text, str):
        return text
    return tuple(part.strip() for part in re.split(separator, text) if part.strip())


def comma_separated(text: object) -> object:
    """Split a list at commas and line feeds."""
    return split(text, r"[,\n]")


_LONGEST = timedelta(days=366)


def duration(text: object) -> object:
    """Parse a duration such as 1m30s. Raises ValueError."""
    if not isinstance(text, str):
        return text
    try:
        value = durationpy.from_str(text)
    except (durationpy.DurationError, ValueError, ArithmeticError):
        raise ValueError(f"{text!r} is not a duration; write it like 5s, 1m30s or 2h") from None
    if not timedelta(0) <= value <= _LONGEST:
        raise ValueError("must be between 0s and one year")
    return value


# White space, and what copied text can have around it: a byte order mark, a zero width space, a word joiner.
_SURROUNDING = re.compile(r"\A[\s\ufeff\u200b\u2060]+|[\s\ufeff\u200b\u2060]+\Z")


def stripped(text: str) -> str:
    """Return the text without invisible characters around it: values read from files often end with one."""
    return _SURROUNDING.sub("", text)


# Persian, Indic scripts and emoji need these between their own characters.
_JOINERS = "\u200c\u200d"
_CONTROL = "Cc"
_NAMES = {"\t": "a tab", "\n": "a line feed", "\r": "a carriage return"}


def unusable_character(text: str, *, only_control: bool = False) -> str | None:
    """Describe the first control or invisible character of a value, also of a secret; None without one.

    ``only_control``: names in a bucket can contain invisible characters.
    """
    if text.isprintable():
        return None
    has_letters_to_join = any(c.isprintable() and not c.isascii() for c in text)
    for position, character in enumerate(text, 1):
        kind = category(character)
        if kind == "Cs":
            return "is not valid UTF-8"
        if kind not in {_CONTROL, "Cf", "Zl", "Zp", "Zs"} or character == " ":
            continue
        if kind != _CONTROL and (only_control or (character in _JOINERS and has_letters_to_join)):
            continue
        code = f"U+{ord(character):04X}"
        known = name(character, "a control character").lower()
        return f"character {position} is {_NAMES.get(character) or f'{code} ({known})'}: remove it"
    return None


def is_web_url(text: str) -> bool:
    """Whether this is an http or https URL with a host."""
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0 and re.fullmatch(r"https?://\S+", text) is not None
    except ValueError:  # a malformed port or IPv6 address
        return False


def has_credentials(url: str) -> bool:
    """Whether the URL has a user name or a password before its host."""
    return "@" in url.split("/")[2]


# White space in a file of a setting; a CA bundle has about 200 KB.
WHITE_SPACE = b" \t\n\v\f\r"
_MOST_BYTES = 1 << 20

_LAST_PORT = 65535


def _endpoint(text: str) -> str:
    if "://" in text:
        raise ValueError("write host:port without a scheme; the setting …_USE_SSL chooses http or https")
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?", text)
    if match is None or int(match["port"] or 0) > _LAST_PORT:
        raise ValueError("write host or host:port, for example minio.example.com:9000")
    return text


# minio (7.2) refuses other names before it sends a request: helpers.check_bucket_name().
_BUCKET = re.compile(r"(?!.*(?:\.\.|\.-|-\.))[A-Za-z0-9][A-Za-z0-9_.:-]{1,61}[A-Za-z0-9]")
_IP_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


def _bucket(text: str) -> str:
    if "/" in text:
        raise ValueError("write only the name of the bucket, without s3:// and without a path")
    if not _BUCKET.fullmatch(text) or _IP_ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of a bucket; write it like cluster-backups")
    return text


def _region(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise ValueError(f"{text!r} is not a region; write it like us-east-1")
    return text


def _bucket_prefix(text: str) -> str:
    prefix = text.strip("/")
    if prefix and (reason := rejection(prefix)):
        raise ValueError(f"is not a usable prefix ({reason}); write it like clusterbackup/")
    return f"{prefix}/" if prefix else ""


Duration = Annotated[timedelta, BeforeValidator(duration)]
Names = Annotated[tuple[str, ...], BeforeValidator(comma_separated)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Bucket = Annotated[str, AfterValidator(_bucket)]
Region = Annotated[str, AfterValidator(_region)]
BucketPrefix = Annotated[str, AfterValidator(_bucket_prefix)]


def unreadable(given: dict[str, Any], *names: str) -> list[str]:
    """Return one problem for each of these settings that names a file which cannot be read, or is empty."""
    found = {name: file_problem(given[name]) for name in names if name in given}
    return [f"{name}: {shown_path(given[name])} {problem}" for name, problem in found.items() if problem]


def file_problem(path: str) -> str:
    """Return why the file of a setting cannot be used, as the predicate of a sentence; "" if it can."""
    if not _is_readable(path):
        return "cannot be read; mount or create the file"
    # Reading a pipe would empty it.
    is_empty = os.path.isfile(path) and not content(path).strip(b"\xef\xbb\xbf" + WHITE_SPACE)
    return "cannot be used: the file is empty" if is_empty else ""


def content(path: str | Path) -> bytes:
    """Return the first bytes of a file of a setting; none of these files is longer."""
    with open(path, "rb") as file:
        return file.read(_MOST_BYTES)


def token_in(text: bytes) -> bytes:
    """Return the token in the text of a file: its first line that is not blank, without a BOM.

    The credential helper of git does the same (steps/clients/git/config.py).
    """
    lines = (line.strip(WHITE_SPACE) for line in text.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
    return next(filter(None, lines), b"")


def shown_path(text: str) -> str:
    """The path, unless it looks like the content of the file: a token, a key."""
    return text if re.fullmatch(r"/[A-Za-z0-9._/-]*", text) else "the path (not shown)"


def _is_readable(path: str) -> bool:
    try:
        return os.access(path, os.R_OK)
    except ValueError:  # not a path, for example one with a NUL
        return False
