"""Wording of messages: numbers that agree with their nouns, and the length of samples."""

from __future__ import annotations

# How many names or paths a log line, a report or the state lists.
SAMPLE_SIZE = 20


def shortened(text: str, limit: int) -> str:
    """Return the text, or its words that fit into ``limit`` characters."""
    if len(text) <= limit:
        return text
    return (text[:limit].rsplit(" ", 1)[0] if " " in text[:limit] else text[: limit - 1]) + "…"


def plural(count: int, noun: str) -> str:
    """Return the number with its noun, as in ``1 file`` and ``1,234 files``; English plurals in -s only."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
