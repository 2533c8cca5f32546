"""What happened to an object, in words."""

from __future__ import annotations

import pytest

from steps.kubernetes.changes import Located, compare, roles_of
from steps.kubernetes.details import details
from steps.kubernetes.facts import facts_of
from steps.kubernetes.normal import visible
from steps.kubernetes.objects import read_objects
from steps.kubernetes.secret_filter import SecretsMode
from steps.kubernetes.secrets import SecretsPolicy

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop, resourceVersion: "%s", labels: {a: %s}}
spec:
  replicas: %s
  template: {spec: {containers: [{name: main, image: "cart:%s", env: %s, resources: %s}]}}
"""
ROLE = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: ci, namespace: shop}
rules: [{apiGroups: [""], resources: [pods%s], verbs: [get]}]
"""
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\ndata: {%s}\n"


def happened(before: str, after: str) -> list[str]:
    old, new = (read_objects(text.encode()) for text in (before, after))
    located = [[Located("east/a.yaml", facts_of(one)) for one in side] for side in (old, new)]
    (change,) = compare(*located)
    versions = (next(iter(old), None), next(iter(new), None))
    shown = visible(*versions, SecretsPolicy(SecretsMode.REDACT), ("east/a.yaml",))
    return details(change, *shown, roles_of([change.facts]))


def cart(**changed: object) -> str:
    fields = {"version": 1, "label": "x", "replicas": 2, "image": "1", "env": "[]", "cpu": "{}"} | changed
    return DEPLOYMENT % tuple(fields.values())


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (cart(), cart(version=2), ["volatile fields"]),
        (cart(), cart(image="2"), ["main: cart:1 → cart:2"]),
        (cart(), cart(replicas=3), ["replicas 2 → 3"]),
        (cart(), cart(label="y"), ["changed labels.a"]),
        (
            cart(env="[{name: A, value: '1'}, {name: B}]"),
            cart(env="[{name: A, value: '2'}, {name: C}]"),
            ["env of main: +C -B ~A"],
        ),
        (cart(), cart(cpu="{a: 1}"), ["changed spec.template.spec.containers[main].resources.a"]),
        ("", cart(), ["created", "main: cart:1"]),
        (cart(), "", ["deleted"]),
        (ROLE % "", ROLE % ", secrets", ["gained get secrets"]),
        (ROLE % ", secrets", ROLE % "", ["lost get secrets"]),
        (
            SECRET % "a: x, b: y",
            SECRET % "b: z, c: x",
            ["value c added", "value a removed", "value b changed"],
        ),
    ],
)
def test_details_say_what_happened(before: str, after: str, expected: list[str]) -> None:
    assert happened(before, after) == expected


def test_details_are_few_and_printable() -> None:
    values = ", ".join(f'"k{n}\\e[31m": x' for n in range(50))
    found = happened(SECRET % "", SECRET % values)
    assert len(found) == 13
    assert found[-1] == "and 38 more"
    assert all(line.isprintable() for line in found)
