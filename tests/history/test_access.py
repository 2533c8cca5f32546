"""`git-sync access` on real repositories, as people call it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.backups import Backups
from tests.support.program import git_sync, program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.program import Finished

RBAC = "apiVersion: rbac.authorization.k8s.io/v1\n"
ROLE = RBAC + (
    "kind: Role\nmetadata: {name: ci, namespace: payments}\n"
    'rules: [{apiGroups: [""], resources: [secrets], verbs: [%s]}]\n'
)
BINDING = RBAC + (
    "kind: RoleBinding\nmetadata: {name: ci%s}\n"
    "roleRef: {kind: Role, name: ci}\nsubjects: [{kind: Group, name: team-payments}]\n"
)


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    found = Backups.at(tmp_path / "backups.git")
    found.sync(
        "2025-07-10T22:00:00Z",
        {
            "production-east/payments/roles.yaml": (ROLE % "get").encode(),
            "production-east/payments/Other/binding.yaml": (BINDING % "").encode(),
            "production-east/shop/cm.yaml": b"kind: ConfigMap\n",
        },
    )
    found.sync("2025-07-12T22:00:00Z", {"production-east/payments/roles.yaml": (ROLE % "get, list").encode()})
    return found


def access(
    backups: Backups, *arguments: str, code: int = 0, run: Callable[..., Finished] = git_sync
) -> list[str]:
    done = run("access", "--repo", str(backups.directory), "--cluster", "production-east", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_access_names_who_may_read_secrets(backups: Backups) -> None:
    found = access(backups, "--verb", "get,list", "--resource", "secrets", run=program)
    line = "Group team-payments: get, list secrets in payments (RoleBinding payments/ci → Role payments/ci)"
    assert found[0] == f"production-east as listed 2025-07-12T22:00:00Z, commit {backups.commits[1][:8]}"
    assert line in found
    assert found[-1].startswith("not known from a backup: the members of groups")
    assert line.replace("get, list", "get") in access(backups, "--at", "2025-07-11")


def test_access_since_a_time_shows_what_was_gained_and_lost(backups: Backups) -> None:
    found = access(backups, "--since", "2025-07-11")
    route = "in payments (RoleBinding payments/ci → Role payments/ci)"
    assert f"gained: Group team-payments: list secrets {route}" in found
    assert not [line for line in found if line.startswith("lost: ")]
    backups.sync("2025-07-13T22:00:00Z", {"production-east/payments/Other/binding.yaml": None})
    assert f"lost: Group team-payments: get secrets {route}" in access(backups, "--since", "2025-07-11")
    assert "no grant gained or lost" in access(backups, "--since", "2025-07-14")


def test_answer_may_be_that_no_grant_matches(backups: Backups) -> None:
    assert "no grant matches by the roles in the backup" in access(backups, "--resource", "nodes")
    assert "no grant matches by the roles in the backup" in access(backups, "--subject", "jane")


def test_bindings_whose_role_is_missing_exit_10(backups: Backups) -> None:
    backups.sync("2025-07-13", {"production-east/payments/roles.yaml": None})
    found = access(backups, code=10)
    assert "no grant matches by the roles in the backup; 1 binding names a role that it lacks" in found
    assert "warning: RoleBinding payments/ci → Role payments/ci: the backup lacks the role" in found
    assert json.loads("\n".join(access(backups, "--format", "json", code=10)))["grants"] == []


def test_json_has_the_same(backups: Backups) -> None:
    found = json.loads("\n".join(access(backups, "--format", "json")))
    assert found["grants"] == [
        {
            "subject": {"kind": "Group", "name": "team-payments"},
            "namespace": "payments",
            "permissions": ["get, list secrets"],
            "binding": "RoleBinding payments/ci",
            "role": "Role payments/ci",
        }
    ]
    assert found["listed_at"] == "2025-07-12T22:00:00Z"
    changed = json.loads("\n".join(access(backups, "--format", "json", "--since", "2025-07-11")))
    assert [one["permissions"] for one in changed["gained"]] == [["list secrets"]]
    assert changed["lost"] == []


def test_file_that_may_have_roles_and_cannot_be_read_exits_10(backups: Backups) -> None:
    backups.sync("2025-07-13", {"production-east/x.yaml": f"{RBAC}a: [".encode()})
    found = access(backups, code=10)
    assert [line for line in found if line.startswith("warning: x.yaml is not read: not YAML")]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff".encode("utf-16-le") + (BINDING % "").encode("utf-16-le"),
        b"kind: ConfigMap\n---\n" + (BINDING % "").encode("utf-16"),
        (BINDING % "").replace("rbac.", "!!binary cmJhYy4").encode(),
        (BINDING % "").replace("rbac.", "!<tag:yaml.org,2002:binary> cmJhYy4").encode(),
        b"%TAG ! tag:yaml.org,2002:\n---\n" + (BINDING % "").replace("rbac.", "!binary cmJhYy4").encode(),
    ],
    ids=["UTF-16", "UTF-16 document", "binary", "binary in full", "binary by a directive"],
)
def test_file_whose_bytes_hide_a_binding_is_named(content: bytes, backups: Backups) -> None:
    backups.sync("2025-07-13", {"production-east/x.yaml": content})
    found = access(backups, code=10)
    assert [line for line in found if line.startswith("warning: x.yaml is not read: ")]


@pytest.mark.parametrize("name", ["secret", "Secret", "SECRETS"])
def test_resource_may_be_a_kind(name: str, backups: Backups) -> None:
    assert access(backups, "--resource", name) == access(backups, "--resource", "secrets")
    assert not [line for line in access(backups, "--resource", name) if line.startswith("no grant matches")]


@pytest.mark.parametrize("name", ["secretz", "secrets/x", "widget"])
def test_unknown_resource_is_an_error_instead_of_an_empty_answer(name: str, backups: Backups) -> None:
    (error,) = access(backups, "--resource", name, code=2)
    assert f"'{name}': no rule names this resource; write its plural name" in error


@pytest.mark.parametrize("name", ["pods", "pods/exec", "deploy", "/metrics", "*"])
def test_known_resource_that_no_rule_names_has_no_grant(name: str, backups: Backups) -> None:
    assert [line for line in access(backups, "--resource", name) if line.startswith("no grant matches")]


def test_backup_without_rbac_says_that_nothing_is_known(backups: Backups) -> None:
    backups.sync("2025-07-13", {"production-east/payments": None})
    assert "warning: the backup has no RBAC objects; nothing is known" in access(backups, code=10)


def test_hostile_names_are_escaped(backups: Backups) -> None:
    name = "\\e[31m\\u202e"
    binding = BINDING % f', namespace: "{name}"' + f'- {{kind: User, name: "{name}"}}\n'
    text = binding.replace("subjects: [{kind: Group, name: team-payments}]", "subjects:")
    backups.sync("2025-07-13", {"production-east/e.yaml": text.encode()})
    assert all(line.isprintable() for line in access(backups, code=10))


def test_wrong_options_are_explained(backups: Backups) -> None:
    (error,) = access(backups, "--subject", "serviceaccount x", code=2)
    assert "a ServiceAccount is written as namespace/name" in error
    (error,) = access(backups, "--cluster", "production-eest", code=40)
    assert "did you mean production-east" in error
