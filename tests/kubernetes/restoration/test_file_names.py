"""File names from untrusted names of objects."""

from __future__ import annotations

import re

import pytest

from steps.kubernetes.objects import Identity
from steps.kubernetes.restoration.file_names import FileNames


def names(*identities: tuple[str, str, str]) -> list[str]:
    files = FileNames()
    return [
        files.file_of("07-workloads", Identity("", kind, namespace, name), ".yaml")
        for kind, namespace, name in identities
    ]


def test_file_name_is_namespace_kind_and_name() -> None:
    assert names(("Deployment", "shop", "cart"), ("ClusterRole", "", "system:a.b_c")) == [
        "07-workloads/shop/deployment-cart.yaml",
        "07-workloads/_cluster/clusterrole-system:a.b_c.yaml",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../../etc/passwd",
        "a/b",
        "a\\b",
        "a\nb",
        "a\x00b",
        "ü",
        "\u202egnp",
        "-rf",
        "a" * 300,
        ".git",
    ],
)
def test_hostile_name_becomes_a_number(name: str) -> None:
    assert names(("Secret", "shop", name)) == ["07-workloads/shop/secret_1.yaml"]


@pytest.mark.parametrize("namespace", ["..", "a/b", "_cluster", "UPPER", "-x", "a" * 64, "\u202e"])
def test_hostile_namespace_becomes_a_number(namespace: str) -> None:
    assert names(("Secret", namespace, "a"), ("Secret", namespace, "b"), ("Secret", ".", "a")) == [
        "07-workloads/_1/secret-a.yaml",
        "07-workloads/_1/secret-b.yaml",
        "07-workloads/_2/secret-a.yaml",
    ]


def test_hostile_kind_becomes_object() -> None:
    assert names(("../x", "shop", "a")) == ["07-workloads/shop/object-a.yaml"]


def test_names_of_one_kind_in_two_groups_or_in_other_case_differ() -> None:
    found = names(*[("Certificate", "shop", name) for name in ("a", "a", "A", "a_2", "a_4")])
    assert len({name.casefold() for name in found}) == len(found)
    assert found[:3] == [f"07-workloads/shop/certificate-{name}.yaml" for name in ("a", "a_1", "A_2")]


def test_many_equal_names_take_linear_time() -> None:
    found = names(*[("Secret", "shop", "\n")] * 20_000)
    assert len(set(found)) == 20_000
    assert all(re.fullmatch(r"07-workloads/shop/secret_\d+\.yaml", name) for name in found)
