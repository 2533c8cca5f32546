"""Find the files that cannot contain a Secret without parsing them.

The answer "no" is exact for everything that kubectl can read; every doubt is a "yes". YAML and JSON can
spell a kind with escapes, with a Base64 tag, and in UTF-16. No other spelling separates the letters of a
word: folding joins lines with a space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORD = rb"(?:(?<![A-Za-z0-9])|(?<=\\[A-Za-z]))(?:%s)(?![A-Za-z0-9])"
_SECRET = re.compile(_WORD % rb"Secret|SecretList")

# Escapes that can be a letter or nothing. The others are a character that is no letter.
_ESCAPE = re.compile(rb"\\(?:[xuU\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9])")

# A ConfigMap with a release of Helm 2 has this label or this content (gzip in Base64). Secrets without
# a kind, as clients for programs write them, have one of these types.
_OTHER_WORDS = (
    b"TILLER",
    b"H4sI",
    b"Opaque",
    b"kubernetes.io/tls",
    b"kubernetes.io/dockerc",
    b"kubernetes.io/basic-auth",
    b"kubernetes.io/ssh-auth",
    b"kubernetes.io/service-account-token",
    b"bootstrap.kubernetes.io/token",
    b"helm.sh/release",
    b"S\0e\0c\0r\0e\0t",  # a document in UTF-16 behind others
)

# Keys of an object without a kind that can be a Secret. The objects of these lists have their own kinds, and
# owners have kinds, too.
_DATA_KEY = re.compile(rb"[dD]ata(?<!metadata)(?<!Metadata)[\"']?\s*:")
_TYPE_KEY = re.compile(rb"type(?<![A-Za-z0-9_.-]type)[\"']?\s*:")
_LIST_KEY = re.compile(rb"(?:items|objects)[\"']?\s*:")
_OWNERS_KEY = re.compile(rb"owner_?[rR]eferences[\"']?\s*:")
_UNCLEAR = re.compile(_LIST_KEY.pattern + b"|" + _OWNERS_KEY.pattern + rb"|[\r\n]---")

# gzip, zstd, xz, 7z, lz4, zip, bzip2: the content may be anything.
_COMPRESSED = re.compile(
    rb"\x1f\x8b|\x28\xb5\x2f\xfd|\xfd7zXZ\x00|7z\xbc\xaf\x27\x1c|\x04\x22\x4d\x18|PK\x03\x04|BZh[1-9]1AY&SY"
)

# "secret" or "secrets" as a whole word, but not of SealedSecrets and ExternalSecrets.
_PATH = re.compile(
    r"(?<![a-z0-9])(?<!sealed[-_.])(?<!external[-_.])secrets?(?![a-z0-9])|sh\.helm\.release\.", re.IGNORECASE
)

# Longer than every pattern.
_OVERLAP = 512


class SecretsMode(StrEnum):
    """SECRETS: what becomes of Secrets."""

    KEEP = "keep"
    EXCLUDE = "exclude"
    REDACT = "redact"


def is_compressed(content: bytes) -> bool:
    """Whether the content begins like a compressed file or an archive."""
    return _COMPRESSED.match(content) is not None


def names_secrets(path: str) -> bool:
    """Whether the path says that the file contains Secrets."""
    return _PATH.search(path) is not None


@dataclass(frozen=True)
class SecretFilter:
    """Finds files that may contain a Secret, or an object of ``kinds`` (globs of Kind or Kind.group)."""

    kinds: tuple[str, ...] = ()
    _kinds: re.Pattern[bytes] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Compile the pattern of the kinds."""
        if self.kinds:
            words = {re.escape(_exact_part(kind).encode()) for kind in self.kinds}
            object.__setattr__(self, "_kinds", re.compile(b"|".join(sorted(words))))

    def may_match(self, path: str, content: bytes) -> bool:
        """Whether the file may contain such an object; False is certain."""
        if names_secrets(path) or is_compressed(content):
            return True
        if _is_wide(content):
            content = _as_utf_8(content)
        return (
            self._has_word(content)
            or (b"!" in content and (b"binary" in content or b"%" in content))
            or _may_lack_kind(content)
        )

    def may_match_chunks(self, path: str, chunks: Iterable[bytes]) -> bool:
        """Return the same for content that is too large for the memory; a doubt is more often a "yes"."""
        if names_secrets(path):
            return True
        before, has_tag, has_binary, has_kind, has_data = b"", False, False, False, False
        has_keys = [False, False, False]
        for number, chunk in enumerate(chunks):
            if number == 0 and (is_compressed(chunk) or _is_wide(chunk)):
                return True
            content = before + chunk
            has_tag |= b"!" in content
            has_binary |= b"binary" in content or b"%" in content
            has_kind |= b"kind" in content
            has_data |= b"data" in content.lower()
            start = len(b"metadata") if before else 0  # it may be cut in two
            for n, key in enumerate((_DATA_KEY, _TYPE_KEY, _UNCLEAR)):
                has_keys[n] = has_keys[n] or key.search(content, start) is not None
            if self._has_word(content) or (has_tag and has_binary) or all(has_keys):
                return True
            before = content[-_OVERLAP:]
        return has_data and not has_kind

    def _has_word(self, content: bytes) -> bool:
        return (
            (b"Secret" in content and _SECRET.search(content) is not None)
            or any(word in content for word in _OTHER_WORDS)
            or (b"\\" in content and _ESCAPE.search(content) is not None)
            or (self._kinds is not None and self._kinds.search(content) is not None)
        )


def _exact_part(kind: str) -> str:
    """Return the longest part of the kind's name, without its group, that is not a glob.

    As in fnmatch, "]" behind "[" or "[!" is one of the characters, and "[" without "]" is itself.
    """
    parts: list[str] = []
    for part in re.split(r"\[!?\]?[^]]*\]|[*?]", kind):
        name, dot, _ = part.partition(".")
        parts.append(name)
        if dot:
            break
    return max(parts, key=len)


def _may_lack_kind(content: bytes) -> bool:
    """Whether an object of the file may be a Secret without a kind: it has data."""
    if b"kind" not in content:
        return b"data" in content.lower()
    if b"Data" not in content and content.count(b"data") == content.count(b"metadata"):
        return False
    parts = content.removeprefix(b"\xef\xbb\xbf").split(b"\n---")
    return any(_DATA_KEY.search(part) and not _has_kinds(part) for part in parts)


def _has_kinds(part: bytes) -> bool:
    """Whether every object in a part of a file has a kind; False is a doubt."""
    if (b"items" in part or b"objects" in part) and _LIST_KEY.search(part):
        return False
    if part.startswith(b"kind:") or b"\nkind:" in part:
        return True
    is_flow = part.lstrip().startswith(b"{")
    return is_flow and b"kind" in part and not _OWNERS_KEY.search(part)


def _is_wide(content: bytes) -> bool:
    """Whether the content can be UTF-16 or UTF-32."""
    return content[:4].count(0) > 0 or content[:2] in {b"\xff\xfe", b"\xfe\xff"}


def _as_utf_8(content: bytes) -> bytes:
    """Return text in UTF-16 or UTF-32 as UTF-8. Its first character is in ASCII, or a byte order mark."""
    if content.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        encoding = "utf-32"
    elif content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif content[:3] == b"\0\0\0":
        encoding = "utf-32-be"
    elif content[1:4] == b"\0\0\0":
        encoding = "utf-32-le"
    else:
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    return content.decode(encoding, errors="replace").encode(errors="replace")
