"""Which clusters, namespaces and objects a run selects.

A run neither writes nor deletes anything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


@dataclass(frozen=True)
class Selection:
    """The filters CLUSTERS, NAMESPACES and EXCLUDE of one run.

    ``clusters`` and ``namespaces`` are globs over one name; ``!`` negates, the last that matches
    wins, and a list of negations only selects every other name. ``exclude`` has the syntax of a
    .gitignore file, applied to ``<cluster>/<path>``.
    """

    clusters: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def has_cluster(self, name: str) -> bool:
        """Whether the run selects this cluster."""
        return _matches(name, self.clusters)

    def has_path(self, path: bytes) -> bool:
        """Whether the run selects this path (``<cluster>/<rest>``) of a selected cluster."""
        if self.is_whole_cluster:
            return True
        text = path.decode("utf-8", "surrogateescape")
        namespace = text.split("/", 2)[1]
        return _matches(namespace, self.namespaces) and not self._excluded.match_file(text)

    @property
    def is_whole_cluster(self) -> bool:
        """Whether every path of a selected cluster is selected."""
        return not self.namespaces and not self.exclude

    @cached_property
    def _excluded(self) -> GitIgnoreSpec:
        from pathspec import GitIgnoreSpec

        return GitIgnoreSpec.from_lines(self.exclude)


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    selected = all(glob.startswith("!") for glob in globs)
    for glob in globs:
        if fnmatchcase(name, glob.removeprefix("!")):
            selected = not glob.startswith("!")
    return selected
