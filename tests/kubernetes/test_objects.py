"""Reading resources from untrusted YAML."""

from __future__ import annotations

import pytest

from steps.kubernetes.objects import MAX_BYTES, MAX_GRANTS, Grant, is_readable, read_resource

DEPLOYMENT = b"""
kind: Deployment
spec:
  template:
    spec:
      initContainers: [{name: migrate, image: "shop:1"}]
      containers:
      - {name: shop, image: registry.example.com/shop:1.2}
      - {name: proxy, image: envoy@sha256:00}
      ephemeralContainers: [{name: debug, image: busybox}]
"""

ROLE = b"""
kind: ClusterRole
rules:
- {apiGroups: [""], resources: [pods, secrets], verbs: [get, list]}
- {apiGroups: [apps], resources: [deployments], resourceNames: [shop], verbs: ["*"]}
- {nonResourceURLs: [/metrics], verbs: [get]}
"""

BINDING = b"""
kind: RoleBinding
roleRef: {kind: ClusterRole, name: admin}
subjects:
- {kind: ServiceAccount, name: deployer, namespace: ci}
- {kind: User, name: "jane@example.com"}
"""


def test_images_are_read_by_container() -> None:
    found = read_resource(DEPLOYMENT)
    assert found is not None
    assert found.kind == "Deployment"
    assert found.images == {
        "migrate": "shop:1",
        "shop": "registry.example.com/shop:1.2",
        "proxy": "envoy@sha256:00",
        "debug": "busybox",
    }


def test_rbac_rules_are_split_into_grants() -> None:
    role, binding = read_resource(ROLE), read_resource(BINDING)
    assert role is not None
    assert binding is not None
    assert role.grants == {
        *(Grant(verb, scope) for verb in ("get", "list") for scope in ("pods", "secrets")),
        Grant("*", "apps/deployments (shop)"),
        Grant("get", "/metrics"),
    }
    assert binding.grants == {
        Grant("ClusterRole admin", "ServiceAccount ci/deployer"),
        Grant("ClusterRole admin", "User jane@example.com"),
    }


def test_json_lists_and_multiple_documents_are_read() -> None:
    pod = b'{"kind": "Pod", "spec": {"containers": [{"name": "a", "image": "b"}]}}'
    one = read_resource(b'{"kind": "PodList", "items": [' + pod + b"]}")
    assert one is not None
    assert one.images == {"a": "b"}
    several = read_resource(b"kind: ConfigMap\n---\n" + ROLE)
    assert several is not None
    assert (several.kind, len(several.grants)) == ("ConfigMap", 6)


def test_nothing_is_read_from_a_secret() -> None:
    found = read_resource(b"kind: Secret\nstringData: {containers: [{name: password, image: hunter2}]}\n")
    assert found is not None
    assert (found.images, found.grants) == ({}, frozenset())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01",
        b"just text",
        b"- a\n- b\n",
        b"a: [",
        b"\xff\xfe\xff",
        b"!!python/object/apply:os.system [true]",
        b"kind: Deployment\n" + b"x" * MAX_BYTES,
    ],
)
def test_other_content_is_not_a_resource(content: bytes) -> None:
    assert read_resource(content) is None


def test_fields_of_unexpected_types_are_ignored() -> None:
    containers = b"spec: {containers: text, initContainers: [1, {image: [x]}, null]}\n"
    found = read_resource(b"kind: [Role]\nrules: {a: b}\n? [a]\n: b\n" + containers)
    assert found is not None
    assert (found.kind, found.images) == ("", {})
    role = read_resource(b"kind: Role\nrules: [1, {verbs: text, resources: [{}]}]\nroleRef: x\nsubjects: y\n")
    assert role is not None
    assert role.grants == frozenset()


def test_aliases_are_not_expanded() -> None:
    """A few lines that would expand to a billion strings."""
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    bomb = "\n".join(["kind: Deployment", *lines, "spec: {containers: [{name: x, image: *a11}]}"])
    found = read_resource(bomb.encode())
    assert found is not None
    assert found.images == {"x": "*a11"}


MANY = ", ".join(f"w{n}" for n in range(20_000))
DOZEN = ", ".join(f"w{n}" for n in range(12))


@pytest.mark.parametrize(
    "rules",
    [
        f"[{{resources: [{MANY}], verbs: [{MANY}]}}]",
        f"[{', '.join([f'{{apiGroups: [{DOZEN}], resources: [{DOZEN}], verbs: [{DOZEN}]}}'] * 1000)}]",
    ],
    ids=["in one rule", "in many rules"],
)
def test_grants_of_a_file_are_limited(rules: str) -> None:
    found = read_resource(f"kind: Role\nrules: {rules}".encode())
    assert found is not None
    assert 1000 < len(found.grants) <= MAX_GRANTS
    assert found.grants_truncated


def test_rules_without_resources_are_skipped_at_once() -> None:
    found = read_resource(f"kind: Role\nrules: [{{apiGroups: [{MANY}], verbs: [{MANY}]}}]".encode())
    assert found is not None
    assert (found.grants, found.grants_truncated) == (frozenset(), False)


def test_long_texts_are_cut_before_grants_are_combined_and_stay_distinct() -> None:
    def role(name: str) -> frozenset[Grant]:
        resources = ", ".join(f"r{n}" for n in range(1900))
        rule = f"{{resources: [{resources}], verbs: [get], resourceNames: [{name}]}}"
        found = read_resource(f"kind: Role\nrules: [{rule}]".encode())
        assert found is not None
        return found.grants

    one, other = (role("x" * 300_000 + last) for last in "ab")
    assert len(one) == 1900
    assert max(len(grant.scope) for grant in one) < 200
    assert not one & other


def test_long_subjects_and_roles_are_cut() -> None:
    long = "x" * 1000
    subject = f"{{kind: {long}, name: {long}, namespace: {long}}}"
    found = read_resource(f"kind: RoleBinding\nroleRef: {{name: {long}}}\nsubjects: [{subject}]".encode())
    assert found is not None
    (grant,) = found.grants
    assert max(map(len, grant)) < 200


@pytest.mark.parametrize("line", ["", "kind: Pod\n...\n", "#\r", "#\x85", "#\u2028", "\ufeff"])
def test_yaml_directives_are_not_parsed(line: str) -> None:
    """The parser needs quadratic time for them."""
    content = f"{line}%TAG !a! a\n---\nkind: Pod\n"
    assert not is_readable(content.encode())
    assert read_resource(content.encode()) is None
    assert read_resource(content.encode("utf-16")) is None


def test_percent_sign_inside_a_line_is_not_a_directive() -> None:
    content = b"kind: Pod\nmaxSurge: 25%\ntext: |\n  %TAG\n"
    assert is_readable(content)
    assert read_resource(content) is not None


def test_deep_nesting_is_limited() -> None:
    assert read_resource(b"kind: Pod\nspec: " + b"[" * 50_000) is None
    deep = read_resource(b"kind: Pod\nspec: " + b"[" * 5_000 + b"]" * 5_000)
    assert deep is None or deep.images == {}
