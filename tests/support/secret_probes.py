"""Secrets that can be told from anything else, and a search that knows them in any spelling."""

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


def spellings(secret: str) -> list[str]:
    """How somebody may have it: plain, escaped, in base64, also as a part of something, backwards."""
    # As a part of something, such as user:token, it begins at one of three places.
    parts = (
        b64encode(bytes(before) + secret.encode()).decode()[start:-4]
        for before, start in enumerate((0, 2, 3))
    )
    backwards = secret[::-1]
    return [*_as_it_is(secret), *parts, backwards, b64encode(backwards.encode()).decode().rstrip("=")]


def _as_it_is(secret: str) -> list[str]:
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
class Canaries:
    """Secrets by name, of 20 characters and more."""

    secrets: Mapping[str, str]

    def seen_in(self, content: bytes | str) -> set[str]:
        """The names of those of which any 12 characters stand in ``content``, whatever their case."""
        text = (content if isinstance(content, bytes) else content.encode(errors="replace")).lower()
        there = {text[at : at + _WINDOW] for at in range(len(text) - _WINDOW + 1)}
        return {name for name, secret in self.secrets.items() if not there.isdisjoint(_windows(secret))}

    def aloud(self, login: str) -> Iterable[str]:
        """What a talkative server could say which knows every secret, a line each; it disguises nothing."""
        for secret in self.secrets.values():
            yield from _as_it_is(secret)
            yield f"Authorization: Basic {b64encode(f'{login}:{secret}'.encode()).decode()}"


@cache
def _windows(secret: str) -> set[bytes]:
    words = (spelling.lower().encode() for spelling in spellings(secret))
    return {word[at : at + _WINDOW] for word in words for at in range(len(word) - _WINDOW + 1)}
