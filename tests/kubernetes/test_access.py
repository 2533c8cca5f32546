"""Who may do what by RBAC."""

from __future__ import annotations

import time

import pytest

from steps.kubernetes import rbac
from steps.kubernetes.access import Access, Question, Request, Subject, url_matches
from steps.kubernetes.objects import read_objects

GROUP = "apiVersion: rbac.authorization.k8s.io/v1\n"
OBJECTS = f"""\
{GROUP}kind: Role
metadata: {{name: ci, namespace: payments}}
rules:
- {{apiGroups: [""], resources: [secrets, pods/exec], verbs: [get, list]}}
- {{apiGroups: [""], resources: [configmaps], resourceNames: [conf], verbs: [update]}}
- {{nonResourceURLs: ["/metrics"], verbs: [get]}}
---
{GROUP}kind: RoleBinding
metadata: {{name: ci, namespace: payments}}
roleRef: {{kind: Role, name: ci}}
subjects:
- {{kind: Group, name: team-payments}}
- {{kind: ServiceAccount, name: deployer, namespace: ci}}
- {{kind: User, name: "system:serviceaccount:ops:robot"}}
---
{GROUP}kind: ClusterRole
metadata: {{name: monitoring}}
aggregationRule:
  clusterRoleSelectors:
  - matchLabels: {{monitoring: "true"}}
  - matchExpressions: [{{key: tier, operator: In, values: [a, b]}}]
rules: []
---
{GROUP}kind: ClusterRole
metadata: {{name: one, labels: {{monitoring: "true"}}}}
rules: [{{apiGroups: [apps], resources: ["*/scale"], verbs: ["*"]}}]
---
{GROUP}kind: ClusterRole
metadata: {{name: two, labels: {{tier: b}}}}
rules: [{{nonResourceURLs: ["/logs/*"], verbs: [get]}}]
---
{GROUP}kind: ClusterRoleBinding
metadata: {{name: monitoring}}
roleRef: {{kind: ClusterRole, name: monitoring}}
subjects: [{{kind: Group, name: "system:serviceaccounts:ops"}}, {{kind: User, name: jane}}]
---
{GROUP}kind: ClusterRoleBinding
metadata: {{name: lost}}
roleRef: {{kind: ClusterRole, name: absent}}
subjects: [{{kind: User, name: jane}}]
---
{GROUP}kind: ClusterRoleBinding
metadata: {{name: everybody}}
roleRef: {{kind: ClusterRole, name: two}}
subjects: [{{kind: Group, name: "system:authenticated"}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: ci}}
"""


def read(text: str = OBJECTS) -> Access:
    found = Access()
    for one in read_objects(text.encode()):
        found.add(one, one.identity.namespace)
    return found


def lines(
    verbs: tuple[str, ...] = (), resource: str = "", subject: str = "", namespaces: tuple[str, ...] = ()
) -> list[str]:
    who = Subject.parse(subject) if subject else None
    found = read().grants(Request.parse(verbs, resource), who, namespaces)
    return [
        f"{route.subject}: {'; '.join(rbac.describe(grants))} in {route.namespace or '*'} ({route})"
        for route, grants in sorted(found.items())
    ]


def test_readers_of_secrets_are_named_with_their_binding() -> None:
    route = "RoleBinding payments/ci → Role payments/ci"
    assert lines(("get", "list"), "secrets") == [
        f"Group team-payments: get, list secrets in payments ({route})",
        f"ServiceAccount ci/deployer: get, list secrets in payments ({route})",
        f"ServiceAccount ops/robot: get, list secrets in payments ({route})",
    ]


@pytest.mark.parametrize(
    ("verbs", "resource", "subject", "expected"),
    [
        ((), "secrets.other.io", "", []),
        (("delete",), "secrets", "", []),
        (("update",), "configmaps", "Group team-payments", ["update configmaps (conf) in payments"]),
        ((), "pods/exec", "ServiceAccount ci/deployer", ["get, list pods/exec in payments"]),
        ((), "pods", "ServiceAccount ci/deployer", []),
        ((), "deployments.apps/scale", "jane", ["* apps/*/scale in *"]),
        ((), "deployments.other/scale", "jane", []),
        ((), "deployments/scale", "jane", ["* apps/*/scale in *"]),
        ((), "/logs/x", "bob", ["get /logs/* in *"]),
        ((), "/metrics", "", []),
        ((), "deployments/scale", "system:serviceaccount:ops:robot", ["* apps/*/scale in *"]),
        ((), "/logs/", "User system:anonymous", []),
    ],
)
def test_grants_answer_the_question(
    verbs: tuple[str, ...], resource: str, subject: str, expected: list[str]
) -> None:
    found = [
        line.partition(": ")[2].partition(" (Role")[0].partition(" (Cluster")[0]
        for line in lines(verbs, resource, subject)
    ]
    assert list(dict.fromkeys(found)) == expected


def test_namespaces_limit_bindings_of_namespaces_only() -> None:
    assert not [line for line in lines(namespaces=("shop",)) if "payments" in line]
    assert lines(namespaces=("shop",))


@pytest.mark.parametrize(
    ("subject", "question", "expected"),
    [
        ("Group team-payments", Question("get", "secrets", "", "payments"), True),
        ("Group team-payments", Question("get", "secrets", "", "shop"), False),
        ("Group team-payments", Question("get", "secrets"), False),
        ("ServiceAccount ops/robot", Question("list", "secrets", "", "payments", "x"), True),
        ("ServiceAccount ci/deployer", Question("update", "configmaps", "", "payments", "conf"), True),
        ("ServiceAccount ci/deployer", Question("update", "configmaps", "", "payments", "other"), False),
        ("ServiceAccount ci/deployer", Question("update", "configmaps", "", "payments"), False),
        ("ServiceAccount ci/deployer", Question("get", "pods/exec", "", "payments"), True),
        ("ServiceAccount ci/deployer", Question("get", "pods", "", "payments"), False),
        ("jane", Question("patch", "deployments/scale", "apps", "shop"), True),
        ("jane", Question("patch", "deployments", "apps", "shop"), False),
        ("jane", Question("get", "/logs/a/b"), True),
        ("Group team-payments", Question("get", "/metrics"), False),
        ("ServiceAccount ops/other", Question("get", "replicasets/scale", "apps"), True),
        ("ServiceAccount shop/other", Question("get", "replicasets/scale", "apps"), False),
        ("system:anonymous", Question("get", "/logs/x"), False),
    ],
)
def test_decisions_are_those_of_the_api_server(subject: str, question: Question, expected: bool) -> None:
    assert read().allows(Subject.parse(subject).identities(), question) is expected


@pytest.mark.parametrize(
    ("granted", "asked", "expected"),
    [
        ("*", "/x", True),
        ("/x", "/x", True),
        ("/x/*", "/x/y/z", True),
        ("/x*", "/xyz", True),
        ("/x/*", "/x", False),
        ("/*/y", "/x/y", False),
        ("x*", "/x", False),
    ],
)
def test_star_is_special_only_at_the_end_of_a_path(granted: str, asked: str, expected: bool) -> None:
    assert url_matches(granted, asked) is expected


def test_bindings_without_role_are_named() -> None:
    assert read().missing_roles() == ["ClusterRoleBinding lost → ClusterRole absent"]
    assert Access().is_empty


@pytest.mark.parametrize("operator", ["NotIn", "Exists", "DoesNotExist", "Unknown"])
def test_expressions_of_aggregated_roles(operator: str) -> None:
    text = OBJECTS.replace("operator: In", f"operator: {operator}")
    allowed = read(text).allows(Subject.parse("jane").identities(), Question("get", "/logs/x"))
    assert allowed  # system:authenticated
    rules = read(text).rules_of(("ClusterRole", "", "monitoring"))
    assert len(rules) == {"NotIn": 1, "Exists": 2, "DoesNotExist": 1, "Unknown": 1}[operator]


def test_service_account_without_a_name_is_wrong() -> None:
    with pytest.raises(ValueError, match="namespace/name"):
        Subject.parse("ServiceAccount deployer")


MANY = f"""\
{GROUP}kind: ClusterRole
metadata: {{name: big}}
rules: [{{apiGroups: ['*'], resources: [%s], verbs: [%s]}}]
---
{GROUP}kind: ClusterRoleBinding
metadata: {{name: big}}
roleRef: {{kind: ClusterRole, name: big}}
subjects: [{{kind: User, name: x}}]
"""


def test_rules_that_multiply_are_bounded_in_time() -> None:
    many = ", ".join(f"r{n}" for n in range(20_000))
    access = read(MANY % (many, many))
    start = time.process_time()
    (grants,) = access.grants(Request(), None).values()
    assert len(grants) == rbac.MAX_GRANTS
    assert access.allows([Subject("User", "x")], Question("r7", "r19999", "any"))
    assert time.process_time() - start < 2
