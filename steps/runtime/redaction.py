"""Redaction: replaces every secret in text by ``***``, however JSON, XML, HTML, a URL or base64 spells it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from datetime import datetime
from functools import lru_cache
from html import escape as html
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.sax.saxutils import escape as xml

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

_MASK = "***"
# Shorter parts of base64 occur by chance in ordinary text.
_SHORTEST_BASE64 = 8

_secrets: Callable[[], list[str]] = list


def set_up(secrets: Callable[[], list[str]]) -> None:
    """Redact what ``secrets`` returns. It is called for each text, because a token file can change."""
    global _secrets  # noqa: PLW0603 - the process has one set of secrets
    _secrets = secrets


def redacted(text: str) -> str:
    """Return the text without secrets, for documents that quote a server's message."""
    return _pattern().sub(_MASK, text)


def redact_record(record: logging.LogRecord) -> bool:
    """Remove the secrets from a log record; a filter for the log's handlers."""
    pattern = _pattern()
    record.msg = _redacted(str(record.msg), pattern)
    fields = vars(record)
    fields["error"] = _redacted(fields.get("error"), pattern)
    # The code defines the names in data; only the values, and names inside of them, come from outside.
    data = fields.get("data") or {}
    fields["data"] = {name: _redacted(value, pattern) for name, value in data.items()}
    return True


def _redacted(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(_MASK, value)
    if isinstance(value, dict):
        return {_redacted(name, pattern): _redacted(inner, pattern) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(inner, pattern) for inner in value]
    if value is None or isinstance(value, bool | int | float | datetime):
        return value
    return pattern.sub(_MASK, str(value))


def _pattern() -> re.Pattern[str]:
    return _any_of(frozenset(map(str.strip, _secrets())) - {""})


@lru_cache(maxsize=2)
def _any_of(secrets: frozenset[str]) -> re.Pattern[str]:
    """Return a pattern that matches every spelling of every secret."""
    # A secret may begin with a shorter one, whose match would leave its end readable.
    longest_first = sorted(secrets, key=len, reverse=True)
    plain = ("".join(map(_spellings, secret)) for secret in longest_first)
    encoded = (part for secret in longest_first for part in _in_base64(secret.encode()))
    return re.compile("|".join([*plain, *encoded]) or r"(?!)")


def _spellings(character: str) -> str:
    """Return a pattern for one character of a secret: itself, or its escape in JSON, XML, HTML or a URL."""
    if character.isalnum() and character.isascii():
        return character
    escaped = {json.dumps(character)[1:-1], quote(character, safe=""), xml(character), html(character)}
    spellings = "|".join(map(re.escape, sorted({character, *escaped}, key=len, reverse=True)))
    # JSON inside of JSON doubles the backslashes at each level.
    return rf"(?i:\\{{0,8}}(?:{spellings}))"


def _in_base64(secret: bytes) -> Iterator[str]:
    """Yield patterns for the secret inside of base64, for example in a header of basic authentication.

    Base64 encodes three bytes as four characters, so the secret begins at one of three positions.
    """
    for offset in range(3):
        encoded = b64encode(bytes(offset) + secret).decode().rstrip("=")
        # Only characters whose bits are all the secret's; the others depend on its neighbours.
        own = encoded[-(-offset * 8 // 6) : (offset + len(secret)) * 8 // 6]
        if len(own) >= _SHORTEST_BASE64:
            either_alphabet = re.escape(own).replace(r"\+", r"[+-]").replace("/", "[/_]")
            yield either_alphabet + r"[A-Za-z0-9+/_-]*=*"
