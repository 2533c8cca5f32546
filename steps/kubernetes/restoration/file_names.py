"""Names of the restored files. Names from Git are untrusted: one that is not plain becomes a number."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

from steps.core.keys import rejection

if TYPE_CHECKING:
    from steps.kubernetes.objects import Identity

# The directory of objects without a namespace. No namespace has such a name.
CLUSTER = "_cluster"

_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
# ASCII only: macOS writes other characters in another form, and two names become one.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")


class FileNames:
    """Gives each object a separate file, also on file systems that ignore case."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._directories: dict[str, str] = {}
        self._numbers: Counter[str] = Counter()

    def file_of(self, stage: str, identity: Identity, suffix: str) -> str:
        """Return ``<stage>/<namespace>/<kind>-<name><suffix>`` for a new object."""
        directory = f"{stage}/{self._directory(identity.namespace)}"
        kind = identity.kind.lower() if _KIND.fullmatch(identity.kind) else "object"
        path = f"{directory}/{kind}-{identity.name}{suffix}"
        is_plain = _NAME.fullmatch(identity.name) and rejection(path) is None
        stem = f"{kind}-{identity.name}" if is_plain else kind
        if not is_plain or path.casefold() in self._used:
            path = self._numbered(f"{directory}/{stem}", suffix)
        self._used.add(path.casefold())
        return path

    def _directory(self, namespace: str) -> str:
        if not namespace:
            return CLUSTER
        if _NAMESPACE.fullmatch(namespace):
            return namespace
        return self._directories.setdefault(namespace, f"_{len(self._directories) + 1}")

    def _numbered(self, stem: str, suffix: str) -> str:
        """Return the first free name; a number for each stem keeps this fast."""
        for number in count(self._numbers[stem.casefold()] + 1):
            path = f"{stem}_{number}{suffix}"
            if path.casefold() not in self._used:
                self._numbers[stem.casefold()] = number
                return path
        raise AssertionError  # count() has no end


class ExactNames:
    """Gives each file of Git a separate file: below ``files/`` its own path, else a number in ``renamed/``.

    The latter is for a path that a file system may refuse, or confuse with another one: macOS and Windows
    ignore case, and macOS the form of characters.
    """

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._directories: set[str] = set()
        self._renamed = 0

    def file_of(self, path: bytes) -> str:
        """Return the file for a path, which is ``<cluster>/<rest>``."""
        text = path.decode(errors="surrogateescape")
        rest = text.partition("/")[2]
        if rejection(text) is None and self._is_new(unicodedata.normalize("NFKC", rest).casefold()):
            return f"files/{rest}"
        self._renamed += 1
        return f"renamed/{self._renamed}"

    def _is_new(self, seen: str) -> bool:
        above = {seen[:at] for at, character in enumerate(seen) if character == "/"}
        if seen in self._files or seen in self._directories or not above.isdisjoint(self._files):
            return False
        self._files.add(seen)
        self._directories |= above
        return True
