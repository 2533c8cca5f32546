"""Tree ids, compared with those that git computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.core.changes import Directories
from steps.core.tree_id import TreeId
from tests.support.repositories import bare_repository, git

if TYPE_CHECKING:
    from pathlib import Path

segments = st.sampled_from([b"a", b"a-", b"a.", b"a0", b"b", b"ab", b"\xc3\xbc", b"a b", b"A"])
paths = st.lists(segments, min_size=1, max_size=4).map(b"/".join)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare_repository(tmp_path_factory.mktemp("trees") / "trees.git")


@settings(max_examples=40)
@given(st.dictionaries(paths, st.integers(min_value=1, max_value=2**160 - 1)))
def test_tree_id_equals_the_id_computed_by_git(repository: Path, files: dict[bytes, int]) -> None:
    directories: Directories[None] = Directories()
    for path in sorted(files):  # a path cannot be both file and directory
        for above, _ in directories.of(path, None):
            files.pop(above, None)
    computed, index = TreeId(), []
    for path in sorted(files):
        computed.add(path, f"{files[path]:040x}")
        index.append(b"100644 %040x\t%s\0" % (files[path], path))
    git(repository, "read-tree", "--empty")
    git(repository, "update-index", "-z", "--index-info", stdin=b"".join(index))
    assert str(computed) == git(repository, "write-tree", "--missing-ok").decode().strip()
