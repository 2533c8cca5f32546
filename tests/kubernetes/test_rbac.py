"""What roles and bindings grant."""

from __future__ import annotations

import pytest

from steps.kubernetes.objects import Identity, read_objects
from steps.kubernetes.rbac import (
    MAX_GRANTS,
    Grant,
    any_sensitive,
    binding_of,
    describe,
    grants_of,
    is_administrator,
    is_binding,
    is_role,
)


def grants(rules: str) -> frozenset[Grant]:
    (one,) = read_objects(f"rules: {rules}\n".encode())
    return grants_of(one.data)[0]


def test_rules_are_split_into_grants() -> None:
    found = grants(
        '[{apiGroups: [""], resources: [pods, secrets], verbs: [get]},'
        " {apiGroups: [apps], resources: [deployments], resourceNames: [web], verbs: [patch]},"
        " {nonResourceURLs: [/metrics], verbs: [get]}]"
    )
    assert {(grant.verb, grant.scope) for grant in found} == {
        ("get", "pods"),
        ("get", "secrets"),
        ("patch", "apps/deployments (web)"),
        ("get", "/metrics"),
    }


def test_aggregation_of_other_roles_is_a_grant() -> None:
    rule = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
    (grant,) = grants_of(rule)[0]
    assert describe([grant]) == ["aggregate roles with a=b"]


def test_binding_has_a_role_and_subjects() -> None:
    binding = binding_of(
        {
            "roleRef": {"kind": "ClusterRole", "name": "admin"},
            "subjects": [
                {"kind": "ServiceAccount", "name": "deployer", "namespace": "ci"},
                {"kind": "User", "name": "jane@example.com"},
                "text",
            ],
        }
    )
    assert binding.role == "ClusterRole/admin"
    assert binding.subjects == {"ServiceAccount ci/deployer", "User jane@example.com"}
    assert binding_of("text").subjects == frozenset()


def test_description_has_sensitive_grants_first() -> None:
    found = grants(
        '[{apiGroups: [""], resources: [configmaps, pods], verbs: [get, list]},'
        ' {apiGroups: [""], resources: [secrets], verbs: [list, get]}]'
    )
    assert describe(found) == ["get, list secrets", "get, list configmaps, pods"]


@pytest.mark.parametrize(
    ("grant", "sensitive"),
    [
        (Grant("*", "", "pods"), True),
        (Grant("bind", "", "roles"), True),
        (Grant("get", "", "secrets"), True),
        (Grant("get", "", "*"), True),
        (Grant("create", "", "pods/exec"), True),
        (Grant("get", "", "pods"), False),
        (Grant("update", "apps", "deployments"), False),
    ],
)
def test_grants_that_give_other_identities_are_sensitive(grant: Grant, sensitive: bool) -> None:
    assert any_sensitive([grant]) is sensitive


def test_roles_and_bindings_are_recognized_by_group() -> None:
    group = "rbac.authorization.k8s.io"
    assert is_role(Identity(group, "ClusterRole", "", "a"))
    assert not is_role(Identity("example.com", "Role", "", "a"))
    assert is_binding(Identity(group, "RoleBinding", "", "a"))
    assert not is_binding(Identity(group, "Role", "", "a"))
    assert is_administrator("ClusterRole/cluster-admin")
    assert not is_administrator("Role/cluster-admin")


MANY = [f"w{n}" for n in range(20_000)]


@pytest.mark.parametrize(
    "rules",
    [[{"resources": MANY, "verbs": MANY}], [{"resources": MANY[:100], "verbs": MANY[:100]}] * 1000],
    ids=["in one rule", "in many rules"],
)
def test_grants_of_a_role_are_limited(rules: list[object]) -> None:
    found, has_more = grants_of({"rules": rules})
    assert 1000 < len(found) <= MAX_GRANTS
    assert has_more


def test_long_texts_are_truncated_and_stay_distinct() -> None:
    def named(name: str) -> frozenset[Grant]:
        return grants_of({"rules": [{"resources": ["a"], "verbs": ["get"], "resourceNames": [name]}]})[0]

    one, other = named("x" * 300_000 + "a"), named("x" * 300_000 + "b")
    assert max(len(grant.scope) for grant in one) < 200
    assert not one & other
