"""The files of a cluster in Git, within the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.clients.git.process import Git
from steps.clients.git.trees import Trees
from steps.core.intake_limits import IntakeLimits, OverLimit
from steps.planning.cluster_trees import ClusterTrees, DamagedCluster
from tests.support.repositories import commit_files, git, git_environment, sha, tree, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = {"top/east/a/x": b"1", "top/east/b": b"2", "top/file": b"3", "top/west/c": b"4"}


@pytest.fixture
def trees(repository: Path) -> Iterator[Trees]:
    commit_files(repository, FILES)
    found = Trees(Git(repository, git_environment(), []))
    yield found
    found.close()


def test_rows_have_the_cluster_in_their_paths(trees: Trees, repository: Path) -> None:
    clusters = ClusterTrees(trees, sha(repository), "top/", IntakeLimits(max_objects=4))
    rows = list(clusters.rows("east"))
    assert [row.path for row in rows] == [b"east/a/x", b"east/b"]
    assert rows[1].oid == tree(repository)["top/east/b"].sha
    assert list(clusters.rows("file")) == list(clusters.rows("absent")) == []


def test_cluster_over_max_objects_has_no_row(trees: Trees, repository: Path) -> None:
    clusters = ClusterTrees(trees, sha(repository), "top/", IntakeLimits(max_objects=3))
    with pytest.raises(OverLimit, match=r"MAX_OBJECTS: at least 4, limit 3"):
        next(clusters.rows("east"))
    assert len(list(clusters.rows("west"))) == 1


def test_damaged_cluster_is_named_with_its_path(trees: Trees, repository: Path) -> None:
    blob = tree(repository)["top/east/b"].sha
    damaged = tree_of(repository, ("100644", "..", blob))
    top = tree_of(repository, ("40000", "east", tree_of(repository, ("40000", "below", damaged))))
    root = tree_of(repository, ("40000", "top", top))
    commit = git(repository, "commit-tree", root, "-m", "damage").decode().strip()
    with pytest.raises(DamagedCluster, match=r"its tree is damaged at east/below/\.\.; replace"):
        next(ClusterTrees(trees, commit, "top/", IntakeLimits()).rows("east"))
