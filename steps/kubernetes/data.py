"""Values of an object that may have any type: the file that they are from may be wrong."""

from __future__ import annotations

import re
from typing import Any

_REDACTED = re.compile("redacted:[0-9a-f]{32}")


def mapping(value: Any) -> dict[str, Any]:
    """Return the value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    """Return the mappings in a list; empty if it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """Return the texts in a list; empty if it is no list."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """Return the value if it is text, else an empty text."""
    return value if isinstance(value, str) else ""


def is_redacted(value: Any) -> bool:
    """Whether SECRETS=redact has written the value."""
    return isinstance(value, str) and _REDACTED.fullmatch(value) is not None
