"""What the path of a file says about its objects: ``<cluster>/<namespace>/<kind>/…``. Only a hint."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from steps.core.keys import printable
from steps.kubernetes.categories import Category, category_of_name

UNKNOWN = "unknown"
OTHERS = "others"

_MAX_KIND_CHARACTERS = 63
_MAX_PATH_CHARACTERS = 300
_DEPTH_WITH_KIND = 3  # parts of a directory: cluster, namespace, kind


class Place(NamedTuple):
    """What the directory of a file says."""

    namespace: str
    kind: str
    category: Category | None


def place_of(path: bytes) -> Place:
    """Return what the path ``<cluster>/<rest>`` says."""
    return _place(path.rpartition(b"/")[0])


@lru_cache(maxsize=1024)  # changes are sorted by path
def _place(directory: bytes) -> Place:
    parts = directory.decode(errors="replace").split("/")
    kind = printable(parts[-1], _MAX_KIND_CHARACTERS) if len(parts) >= _DEPTH_WITH_KIND else UNKNOWN
    return Place(printable("/".join(parts[:2]), _MAX_PATH_CHARACTERS), kind, category_of_name(kind))
