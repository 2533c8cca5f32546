"""Wording of messages: numbers that agree with their nouns."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """Return the number with its noun, as in ``1 file`` and ``1,234 files``; English plurals in -s only."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
