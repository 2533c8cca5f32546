"""`git-sync access` decides as the API server does: 50 subjects × 40 questions."""

from __future__ import annotations

import json
import random
import secrets
import time
from itertools import islice, product
from typing import TYPE_CHECKING, Any

import pytest

from steps.kubernetes.access import Access, Question, Subject
from steps.kubernetes.objects import read_objects
from tests.e2e.site import kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = "rbac.authorization.k8s.io"
KINDS = ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
VERBS = ("get", "list", "watch", "create", "update", "delete", "impersonate", "*")
RESOURCES = (
    *(("", name) for name in ("secrets", "pods", "pods/exec", "pods/log", "configmaps", "nodes", "*")),
    *(("apps", name) for name in ("deployments", "deployments/scale", "*/scale", "statefulsets")),
    ("*", "*"),
    ("example.com", "secrets"),
)
URLS = ("/metrics", "/logs/*", "/healthz", "*", "/api*")
NAMES = ("conf", "db")
Document = dict[str, Any]


def rules(chance: random.Random) -> list[Document]:
    """One to three rules."""
    found: list[Document] = []
    for _ in range(chance.randint(1, 3)):
        group, resource = chance.choice(RESOURCES)
        rule: Document = {
            "apiGroups": [group],
            "resources": [resource],
            "verbs": chance.sample(VERBS, chance.randint(1, 3)),
        }
        if chance.random() < 0.25:
            rule["resourceNames"] = chance.sample(NAMES, 1)
        found.append(rule)
    return found


class Cluster:
    """Random RBAC objects in namespaces of a test, and the subjects that they name."""

    def __init__(self, seed: int) -> None:
        self.prefix = f"git-sync-access-{secrets.token_hex(3)}"
        self.chance = random.Random(seed)
        self.namespaces = [f"{self.prefix}-{letter}" for letter in "ab"]
        users = [Subject("User", f"{self.prefix}-user-{n}") for n in range(18)]
        groups = [Subject("Group", f"{self.prefix}-group-{n}") for n in range(12)]
        accounts = [
            Subject("ServiceAccount", f"{place}/sa-{n}") for place in self.namespaces for n in range(9)
        ]
        others = [Subject("User", name) for name in ("system:anonymous", "system:kube-scheduler")]
        self.subjects = [*users, *groups, *accounts, *others]
        self.implicit = [Subject("Group", f"system:serviceaccounts:{place}") for place in self.namespaces]

    def documents(self) -> Iterator[Document]:
        """Yield namespaces, roles, an aggregated role, and bindings."""
        for name in self.namespaces:
            yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for number in range(8):
            labels = {"part": f"{self.prefix}-{number % 3}"}
            yield self._rbac("ClusterRole", number, labels=labels, rules=rules(self.chance))
        urls = [{"nonResourceURLs": [url], "verbs": ["get"]} for url in self.chance.sample(URLS, 2)]
        yield self._rbac("ClusterRole", 8, rules=urls)
        selectors = [{"matchLabels": {"part": f"{self.prefix}-1"}}]
        yield self._rbac("ClusterRole", 9, aggregationRule={"clusterRoleSelectors": selectors}, rules=[])
        for place in self.namespaces:
            for number in range(4):
                yield self._rbac("Role", number, place, rules=rules(self.chance))
            for number in range(10):
                kind, limit = self.chance.choice((("Role", 4), ("ClusterRole", 10)))
                yield self._binding("RoleBinding", number, kind, limit, place)
        for number in range(6):
            yield self._binding("ClusterRoleBinding", number, "ClusterRole", 10)

    def _binding(self, kind: str, number: int, role: str, limit: int, place: str = "") -> Document:
        chosen = self.chance.sample([*self.subjects[:-2], *self.implicit], 3)
        target = {"apiGroup": GROUP, "kind": role, "name": f"{self.prefix}-{self.chance.randrange(limit)}"}
        return self._rbac(kind, number, place, roleRef=target, subjects=list(map(reference, chosen)))

    def _rbac(
        self, kind: str, number: int, place: str = "", labels: dict[str, str] | None = None, **content: object
    ) -> Document:
        metadata: Document = {"name": f"{self.prefix}-{number}", "labels": labels or {}}
        if place:
            metadata["namespace"] = place
        return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, **content}

    def questions(self) -> list[Question]:
        """Return 40 questions."""
        found = [Question("get", url) for url in ("/metrics", "/logs/x", "/healthz", "/apis", "/version")]
        plain = [(group, resource) for group, resource in RESOURCES if "*" not in group + resource]
        places = ("", *self.namespaces)
        possible = list(product(VERBS[:-1], plain, places, ("", *NAMES)))
        for verb, (group, resource), place, name in self.chance.sample(possible, 35):
            found.append(Question(verb, resource, group, place, name))
        return found


def reference(subject: Subject) -> Document:
    """Return a subject as bindings name it."""
    if subject.kind == "ServiceAccount":
        place, _, name = subject.name.partition("/")
        return {"kind": subject.kind, "name": name, "namespace": place}
    return {"apiGroup": GROUP, "kind": subject.kind, "name": subject.name}


def review(subject: Subject, question: Question) -> Document:
    """Return the question as the API server takes it."""
    groups = [one.name for one in subject.identities() if one.kind == "Group"]
    user = subject.name
    if subject.kind == "ServiceAccount":
        user = f"system:serviceaccount:{subject.name.replace('/', ':')}"
    elif subject.kind == "Group":
        user = "git-sync-access-member"
    spec: Document = {"user": user, "groups": groups}
    if question.resource.startswith("/"):
        spec["nonResourceAttributes"] = {"path": question.resource, "verb": question.verb}
    else:
        resource, _, sub = question.resource.partition("/")
        spec["resourceAttributes"] = {
            "verb": question.verb,
            "group": question.group,
            "resource": resource,
            "subresource": sub,
            "namespace": question.namespace,
            "name": question.name,
        }
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


def answers(reviews: list[Document]) -> Iterator[bool]:
    """Yield the API server's own answers."""
    remaining = iter(reviews)
    while batch := list(islice(remaining, 200)):
        items = {"apiVersion": "v1", "kind": "List", "items": batch}
        printed = kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed} ", stdin=json.dumps(items))
        yield from (one == "true" for one in printed.split())


@pytest.mark.parametrize("seed", [1, 2])
def test_access_decides_as_the_api_server(seed: int) -> None:
    cluster = Cluster(seed)
    documents = list(cluster.documents())
    try:
        kubectl(
            "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
        )
        time.sleep(5)  # the controller aggregates roles, and the API server's caches follow
        access = Access()
        for kind in KINDS:
            for one in read_objects(kubectl("get", kind, "-A", "-o", "yaml").encode()):
                access.add(one, one.identity.namespace)
        asked = list(product(cluster.subjects, cluster.questions()))
        assert len(asked) == 50 * 40
        theirs = list(answers([review(*one) for one in asked]))
        ours = [access.allows(subject.identities(), question) for subject, question in asked]
        different = [one for one, our, their in zip(asked, ours, theirs, strict=True) if our != their]
        assert not different
        assert 100 < sum(theirs) < 1900
    finally:
        for document in reversed(documents):
            place = ("-n", document["metadata"]["namespace"]) if "namespace" in document["metadata"] else ()
            if not place:
                name = document["metadata"]["name"]
                kubectl("delete", document["kind"], name, "--ignore-not-found", "--wait=false")
