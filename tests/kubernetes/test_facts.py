"""The facts of an object."""

from __future__ import annotations

import pytest

from steps.kubernetes.categories import Category
from steps.kubernetes.facts import Access, Facts, facts_of
from steps.kubernetes.objects import read_objects


def facts(content: str) -> Facts:
    (one,) = read_objects(content.encode())
    return facts_of(one)


SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"


def test_digests_tell_data_substance_and_body_apart() -> None:
    base = facts("kind: A\nmetadata: {name: a}\nspec: 1\n")
    formatted = facts('{"spec": 1, "metadata": {"name": "a"}, "kind": "A"}')
    volatile = facts("kind: A\nmetadata: {name: a, uid: x}\nspec: 1\nstatus: {}\n")
    labelled = facts("kind: A\nmetadata: {name: a, labels: {b: c}}\nspec: 1\n")
    changed = facts("kind: A\nmetadata: {name: a}\nspec: 2\n")
    assert base == formatted
    assert (volatile.digest == base.digest, volatile.substance == base.substance) == (False, True)
    assert (labelled.substance == base.substance, labelled.body == base.body) == (False, True)
    assert changed.body != base.body
    assert facts("kind: A\nspec: 1\n").digest != facts('kind: A\nspec: "1"\n').digest


def test_digest_differs_if_a_volatile_field_is_empty_or_absent() -> None:
    versions = ("", "status: null\n", "status: {}\n", "status: 1\n")
    found = [facts(f"kind: A\nspec: 1\n{status}") for status in versions]
    assert len({one.digest for one in found}) == len(versions)
    assert len({one.substance for one in found}) == 1


def test_facts_of_a_secret_contain_no_value() -> None:
    found = facts(f"{SECRET}stringData: {{password: hunter2, containers: [{{image: hunter2}}]}}\n")
    assert found.secret_keys.keys() == {"password", "containers"}
    assert "hunter2" not in repr(found)
    assert found.containers == ()


def test_equal_values_of_a_secret_have_equal_digests() -> None:
    one = facts(f"{SECRET}data: {{a: eA==}}\n").secret_keys
    assert one == facts(f"{SECRET}data:\n  a: 'eA=='\n").secret_keys
    assert one != facts(f"{SECRET}data: {{a: eQ==}}\n").secret_keys


def test_size_counts_the_parts() -> None:
    assert facts("kind: A\n").size == 1
    assert facts("kind: Pod\nspec: {containers: [{image: a}, {image: b}], hostPID: true}\n").size == 4


def test_document_that_is_no_mapping_has_facts() -> None:
    assert facts("text").digest != facts("other").digest


@pytest.mark.parametrize("source", ["hostPath", "local"])
def test_volume_of_a_node_is_access_to_the_node(source: str) -> None:
    text = f"apiVersion: v1\nkind: PersistentVolume\nspec: {{{source}: {{path: /data}}}}\n"
    (one,) = read_objects(text.encode())
    assert facts_of(one).access == {Access(Category.POD_SECURITY, f"{source} /data")}
