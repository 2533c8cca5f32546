"""A cluster's files in Git, within limits: a tree of a few hundred bytes can have millions of paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps.clients.git.trees import DamagedTree
from steps.core.git_objects import Mode
from steps.core.intake_limits import Excess, OverLimit
from steps.core.keys import printable_path
from steps.core.operations import Operation
from steps.errors import FixConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steps.clients.git.trees import Trees
    from steps.core.changes import TreeRow
    from steps.core.intake_limits import IntakeLimits


class DamagedCluster(FixConfiguration):
    """A cluster whose tree cannot be read."""


def cluster_size(trees: Trees, cluster: str, tree: str, limits: IntakeLimits) -> int:
    """Return the number of objects and directories of a cluster. Raises DamagedCluster and OverLimit."""
    try:
        found = trees.size(tree).objects
    except DamagedTree as problem:
        at = printable_path(cluster.encode() + b"/" + problem.path)
        raise DamagedCluster(
            Operation.DISCOVER,
            "Failed to read the cluster in Git",
            f"its tree {problem.reason} at {at}; replace the directory with a new commit",
            path=at,
        ) from problem
    if 0 < limits.max_objects < found:
        raise OverLimit(Excess.OBJECTS, found, limits.max_objects)
    return found


class ClusterTrees:
    """The clusters at one commit."""

    def __init__(self, trees: Trees, commit: str, git_path: str, limits: IntakeLimits) -> None:
        self._trees = trees
        self._limits = limits
        directory = trees.directory(commit, git_path)
        entries = trees.entries(directory)
        self._found = {entry.path: entry.oid for entry in entries if entry.mode == Mode.TREE}

    def rows(self, cluster: str) -> Iterator[TreeRow]:
        """Yield the files of a cluster, with paths ``<cluster>/<rest>``.

        Raises DamagedCluster and OverLimit before the first one.
        """
        if tree := self._found.get(cluster.encode()):
            cluster_size(self._trees, cluster, tree, self._limits)
            yield from self._trees.rows(tree, cluster.encode() + b"/")
