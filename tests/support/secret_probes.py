"""Distinctive secrets, and a search that finds them in any encoding."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass
from functools import cache
from html import escape as html
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape as xml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WINDOW = 12


def encodings(secret: str) -> list[str]:
    """Return the secret in every encoding that is searched for: plain, escaped, base64, reversed."""
    # Within a longer text, such as user:token, base64 has three alignments.
    parts = (
        b64encode(bytes(before) + secret.encode()).decode()[start:-4]
        for before, start in enumerate((0, 2, 3))
    )
    backwards = secret[::-1]
    return [*_readable(secret), *parts, backwards, b64encode(backwards.encode()).decode().rstrip("=")]


def _readable(secret: str) -> list[str]:
    return [
        secret,
        quote(secret),
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        json.dumps(secret)[1:-1].replace("/", "\\/"),
        xml(secret),
        html(secret),
        urlsafe_b64encode(secret.encode()).decode().rstrip("="),
    ]


@dataclass(frozen=True)
class SecretProbes:
    """Secrets of 20 or more characters, by name."""

    secrets: Mapping[str, str]

    def seen_in(self, content: bytes | str) -> set[str]:
        """Return the names of the secrets of which ``content`` has any 12 characters, in any case."""
        text = (content if isinstance(content, bytes) else content.encode(errors="replace")).lower()
        there = {text[at : at + _WINDOW] for at in range(len(text) - _WINDOW + 1)}
        return {name for name, secret in self.secrets.items() if not there.isdisjoint(_windows(secret))}

    def lines(self, login: str) -> Iterable[str]:
        """Yield lines of a server message that contains every secret in readable form."""
        for secret in self.secrets.values():
            yield from _readable(secret)
            yield f"Authorization: Basic {b64encode(f'{login}:{secret}'.encode()).decode()}"


@cache
def _windows(secret: str) -> set[bytes]:
    encoded = (encoding.lower().encode() for encoding in encodings(secret))
    return {text[at : at + _WINDOW] for text in encoded for at in range(len(text) - _WINDOW + 1)}
