"""`git-sync history` on real repositories, as people call it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.backups import Backups
from tests.support.program import git_sync, program
from tests.support.repositories import commit_files, commit_literally

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.program import Finished

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: shop, resourceVersion: "%s"}
spec: {replicas: %s, template: {spec: {containers: [{name: main, image: "cart:%s"}]}}}
"""
ROLE = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: ci, namespace: payments}
rules: [{apiGroups: [""], resources: [%s], verbs: [get]}]
"""
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: shop}\ndata: {password: %s}\n"

CONFIG = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: same, namespace: %s}\n"


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    found = Backups.at(tmp_path / "backups.git")
    found.sync(
        "2025-07-10T22:06:58Z",
        {
            "production-east/shop/cart.yaml": (WEB % ("cart", 1, 2, "1.4")).encode(),
            "production-east/shop/db.yaml": (SECRET % "czNjcmV0").encode(),
            "production-east/payments/ci.yaml": (ROLE % "pods").encode(),
        },
    )
    found.sync(
        "2025-07-12T22:06:58Z",
        {
            "production-east/shop/cart.yaml": (WEB % ("cart", 2, 3, "1.5")).encode(),
            "production-east/shop/db.yaml": (SECRET % "bjN3").encode(),
            "production-east/shop/web.yaml": (WEB % ("web", 1, 1, "1.5")).encode(),
            "production-east/payments/ci.yaml": (ROLE % "pods, secrets").encode(),
        },
        listed={"production-east": "2025-07-12T21:45:03Z"},
    )
    return found


def history(backups: Backups, *arguments: str, code: int = 0, run: Callable[..., Finished] = git_sync) -> str:
    done = run("history", "--repo", str(backups.directory), *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_history_has_a_line_for_each_commit(backups: Backups) -> None:
    first, second = (oid[:8] for oid in backups.commits)
    assert history(backups, run=program).splitlines() == [
        (
            f"2025-07-12 22:06  {second}  production-east: 1 Role (ci gained get secrets), "
            "1 Secret (db value password changed), "
            "2 Deployments (cart main: cart:1.4 → cart:1.5, web created) (listed 2025-07-12T21:45:03Z)"
        ),
        f"2025-07-10 22:06  {first}  production-east: first commit with 3 files",
    ]


def test_line_of_a_commit_names_the_namespace_of_equal_names(backups: Backups) -> None:
    backups.sync(
        "2025-07-13T22:00:00Z",
        {
            **{f"production-east/{place}/cm.yaml": CONFIG % place.encode() for place in ("payments", "shop")},
            "production-east/notes.yaml": b"a: b\n",
        },
    )
    newest = history(backups).splitlines()[0]
    assert "2 ConfigMaps (same in payments created, same in shop created)" in newest
    assert "1 document (created)" in newest


def test_history_of_a_pattern_has_a_line_for_each_change(backups: Backups) -> None:
    first, second = (oid[:8] for oid in backups.commits)
    assert history(backups, "production-*/shop/Deployment/cart").splitlines() == [
        (
            f"2025-07-12 22:06  {second}  production-east  Deployment shop/cart: main: cart:1.4 → cart:1.5; "
            "replicas 2 → 3 (listed 2025-07-12T21:45:03Z)"
        ),
        (
            f"2025-07-10 22:06  {first}  production-east  Deployment shop/cart: created; main: cart:1.4 "
            "(listed 2025-07-10T22:06:58Z)"
        ),
    ]


def test_commit_of_other_people_is_marked(backups: Backups) -> None:
    path = "clusterbackup/production-east/shop/cart.yaml"
    commit_files(backups.directory, {path: (WEB % ("cart", 2, 9, "1.5")).encode()}, when=1_760_000_000)
    assert history(backups).splitlines()[0].endswith("(not a commit of git-sync)")


def test_no_change_is_stated(backups: Backups) -> None:
    assert history(backups, "--since", "2025-07-13") == "No changes in this period.\n"


def test_json_and_markdown(backups: Backups) -> None:
    newest, oldest = json.loads(history(backups, "--format", "json"))
    assert newest["listed_at"] == "2025-07-12T21:45:03Z"
    assert [one["what"] for one in newest["objects"]] == [
        ["gained get secrets"],
        ["main: cart:1.4 → cart:1.5", "replicas 2 → 3"],
        ["created", "main: cart:1.5"],
        ["value password changed"],
    ]
    assert oldest["files_of_first_commit"] == 3
    assert history(backups, "--format", "markdown").startswith("- 2025-07-12 22:06")


@pytest.mark.parametrize("how", ["text", "markdown", "html", "json"])
def test_no_format_contains_values_of_secrets_or_escapes(how: str, backups: Backups) -> None:
    evil = "</script><script>alert(1)</script>\x1b[31m\u202e"
    content = {"kind": "ConfigMap", "metadata": {"name": evil, "namespace": evil}, "data": {evil: evil}}
    backups.sync("2025-07-13", {"production-east/e.yaml": json.dumps(content).encode()})
    for pattern in ([], ["*"]):
        found = history(backups, *pattern, "--format", how)
        assert not [secret for secret in ("czNjcmV0", "bjN3") if secret in found]
        assert "\x1b" not in found
        assert "\u202e" not in found
        assert how in {"text", "json"} or "<script>alert" not in found


def test_unreadable_file_is_named_and_exits_10(backups: Backups) -> None:
    backups.sync("2025-07-13", {"production-east/shop/cart.yaml": b"a: ["})
    assert "production-east: not read: shop/cart.yaml: not YAML" in history(backups, code=10)


def test_wrong_pattern_exits_2(backups: Backups) -> None:
    assert "write CLUSTER/NAMESPACE/KIND/NAME" in history(backups, "/", code=2)


def test_history_names_commits_without_a_valid_time(backups: Backups) -> None:
    oid = commit_literally(backups.directory, b"author x <x@x> x\ncommitter x <x@x> notadate\n")
    done = git_sync("history", "--repo", str(backups.directory), "--since", "2025-07-12")
    assert done.returncode == 0
    assert f"Skipped 1 commit without a valid time: {oid[:8]}" in done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("how", "shown"), [("text", "undated         "), ("json", "null"), ("html", '"undated"')]
)
def test_history_shows_a_commit_without_a_valid_time(how: str, shown: str, backups: Backups) -> None:
    """It is between two commits of the period."""
    committer = b"committer x <x@x> -5 +0000\n"
    oid = commit_literally(
        backups.directory, committer, files={"clusterbackup/production-east/x": b"kind: X\n"}
    )
    backups.sync("2025-07-13", {"production-east/y.yaml": b"kind: Y\n"})
    found = history(backups, "--since", "2025-07-11", "--format", how)
    assert shown in found
    assert oid[:8] in found
