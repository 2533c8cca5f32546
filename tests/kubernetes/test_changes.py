"""Comparing objects by identity."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import yaml
from hypothesis import given
from hypothesis import strategies as st

from steps.core.git_objects import Change
from steps.kubernetes.changes import Located, compare
from steps.kubernetes.facts import facts_of
from steps.kubernetes.objects import read_objects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from steps.kubernetes.changes import ObjectChange


def located(path: str, content: str) -> list[Located]:
    return [Located(path, facts_of(one)) for one in read_objects(content.encode())]


def pod(name: str, image: str = "a", **metadata: str) -> str:
    data = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }
    return yaml.safe_dump(data)


def words(changes: Iterable[ObjectChange]) -> list[tuple[str, str, str]]:
    return sorted((one.identity.name, one.change.word, one.level.name) for one in changes)


def test_objects_are_compared_by_identity() -> None:
    before = located("x", pod("a") + "---\n" + pod("b") + "---\n" + pod("c"))
    after = located("x", pod("c", "other") + "---\n" + pod("a") + "---\n" + pod("d"))
    assert words(compare(before, after)) == [
        ("b", "deleted", "SUBSTANCE"),
        ("c", "modified", "SUBSTANCE"),
        ("d", "new", "SUBSTANCE"),
    ]


def test_levels_of_modifications() -> None:
    base = located("x", pod("a"))
    assert words(compare(base, located("x", pod("a", uid="u")))) == [("a", "modified", "VOLATILE")]
    labelled = pod("a").replace("name: a", "name: a\n  labels: {x: y}")
    assert words(compare(base, located("x", labelled))) == [("a", "modified", "METADATA")]
    assert compare(base, located("x", pod("a") + "# comment\n")) == []


def test_object_in_two_files_is_compared_within_each_file() -> None:
    before = located("x", pod("a", "1")) + located("y", pod("a", "2"))
    after = located("x", pod("a", "1")) + located("y", pod("a", "3"))
    (change,) = compare(before, after)
    assert (change.path, change.change) == ("y", Change.MODIFIED)


def test_documents_without_a_kind_are_compared_within_their_file_only() -> None:
    changes = compare(located("x", "a: 1"), located("y", "a: 1"))
    assert sorted(change.change for change in changes) == [Change.ADDED, Change.DELETED]


def test_many_equal_identities_are_compared_in_linear_time() -> None:
    (one,) = located("x", pod("a"))
    before = [Located(f"{n}", one.facts) for n in range(50_000)]
    after = [Located(f"{n}x", one.facts) for n in range(50_000)]
    began = time.process_time()
    assert compare(before, after) == []
    assert time.process_time() - began < 30


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from("123")), max_size=6, unique_by=lambda x: x[0]
    ),
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from("123")), max_size=6, unique_by=lambda x: x[0]
    ),
    st.integers(),
)
def test_split_joined_and_reordered_files_have_the_same_changes(
    old: list[tuple[str, str]], new: list[tuple[str, str]], seed: int
) -> None:
    choice = random.Random(seed)

    def spread(objects: list[tuple[str, str]]) -> list[Located]:
        """Distribute the objects over files, in any order and in any format."""
        files: dict[str, list[str]] = {}
        for name, image in choice.sample(objects, len(objects)):
            files.setdefault(choice.choice("xyz"), []).append(pod(name, image))
        found = []
        for path, documents in files.items():
            if choice.random() < 0.5:
                content = "---\n".join(documents)
            else:
                items = [yaml.safe_load(document) for document in documents]
                content = yaml.safe_dump(
                    {"kind": "List", "items": items}, default_flow_style=choice.random() < 0.5
                )
            found += located(path, content)
        return found

    assert words(compare(spread(old), spread(new))) == words(
        compare(
            [one for name, image in old for one in located("x", pod(name, image))],
            [one for name, image in new for one in located("x", pod(name, image))],
        )
    )
