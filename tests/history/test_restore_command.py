"""`git-sync restore` on real repositories, as people call it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.backups import Backups
from tests.support.program import git_sync, program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.program import Finished

DEPLOYMENT = b"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: cart
  namespace: shop
  uid: 1-2-3
spec:
  template:
    spec:
      serviceAccountName: cart
      securityContext: {runAsUser: 1000}
      containers:
      - {name: main, image: "cart:1", env: [{name: DB, value: db.shop.svc}]}
"""
SERVICE = b"""\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{port: 80, nodePort: 30080}], selector: {app: web}}
"""
ROLE = b"""\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
"""
NAMESPACE = b"{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: shop}}}\n"
REDACTED = (
    b"{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: shop}, data: {password: redacted:%s}}\n"
    % (b"0f" * 16)
)
FILES: dict[str, bytes | tuple[str, bytes] | None] = {
    "east/shop/Deployment/cart.yaml": DEPLOYMENT,
    "east/shop/Service/web.yaml": SERVICE,
    "east/cluster/ClusterRole/reader.yaml": ROLE,
    "east/cluster/Namespace/shop.yaml": NAMESPACE,
    "west/pay/ConfigMap/a.yaml": b"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: pay}}\n",
}


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    found = Backups.at(tmp_path / "backups.git")
    found.sync("2025-07-10T22:00:00Z", FILES)
    changed = DEPLOYMENT.replace(b"cart:1", b"cart:2")
    found.sync("2025-07-12T22:00:00Z", {"east/shop/Deployment/cart.yaml": changed})
    return found


def restore(backups: Backups, *arguments: str, code: int = 0, run: Callable[..., Finished] = git_sync) -> str:
    done = run("restore", "--repo", str(backups.directory), *arguments, LOG_FORMAT="json")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def files(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def manifest(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "MANIFEST.json").read_text())
    return found


EAST = {
    "01-namespaces/_cluster/namespace-shop.yaml",
    "03-access/_cluster/clusterrole-reader.yaml",
    "06-network/shop/service-web.yaml",
    "07-workloads/shop/deployment-cart.yaml",
}
OWN = {"MANIFEST.json", "apply.sh"}


def test_restore_writes_a_cluster_and_prints_what_it_found(backups: Backups, tmp_path: Path) -> None:
    printed = restore(backups, "--cluster", "east", "--output", str(tmp_path / "out"), run=program)
    assert f"east as listed 2025-07-12T22:00:00Z, commit {backups.commits[1][:8]}" in printed
    assert "wrote 4 objects" in printed
    assert "node ports are not restored: Service shop/web 30080; --keep-node-ports keeps them" in printed
    assert files(tmp_path / "out") == EAST | OWN
    cart = (tmp_path / "out/07-workloads/shop/deployment-cart.yaml").read_bytes()
    assert cart == DEPLOYMENT.replace(b"cart:1", b"cart:2").replace(b"  uid: 1-2-3\n", b"")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert os.access(tmp_path / "out/apply.sh", os.X_OK)


def test_restore_at_a_time_uses_the_newest_commit_before_it(backups: Backups, tmp_path: Path) -> None:
    restore(backups, "--cluster", "east", "--at", "2025-07-11", "--output", str(tmp_path / "out"))
    assert b"cart:1" in (tmp_path / "out/07-workloads/shop/deployment-cart.yaml").read_bytes()
    assert manifest(tmp_path / "out")["commit"] == backups.commits[0]


def test_restore_of_a_namespace_has_the_namespace_but_no_other_objects_of_the_cluster(
    backups: Backups, tmp_path: Path
) -> None:
    restore(backups, "--cluster", "east", "--namespace", "shop", "--output", str(tmp_path / "out"))
    assert files(tmp_path / "out") == EAST - {"03-access/_cluster/clusterrole-reader.yaml"} | OWN


def test_restore_of_selected_objects_has_only_them(backups: Backups, tmp_path: Path) -> None:
    restore(backups, "--cluster", "east", "--select", "Deployment/c*", "--output", str(tmp_path / "out"))
    assert files(tmp_path / "out") == {"07-workloads/shop/deployment-cart.yaml"} | OWN


def test_restore_maps_a_namespace_and_warns_about_names_in_texts(backups: Backups, tmp_path: Path) -> None:
    arguments = ("--cluster", "east", "--map-namespace", "shop=copy", "--output", str(tmp_path / "out"))
    printed = restore(backups, *arguments)
    assert "the text of 1 object contains .shop.svc" in printed
    assert "--map-namespace does not rename 1 object without a namespace" in printed
    assert (
        files(tmp_path / "out")
        == {
            "01-namespaces/_cluster/namespace-copy.yaml",
            "03-access/_cluster/clusterrole-reader.yaml",
            "06-network/copy/service-web.yaml",
            "07-workloads/copy/deployment-cart.yaml",
        }
        | OWN
    )
    text = (tmp_path / "out/07-workloads/copy/deployment-cart.yaml").read_text()
    assert '  namespace: "copy"\n' in text
    assert "value: db.shop.svc" in text


def test_dry_run_prints_a_table_and_writes_nothing(backups: Backups, tmp_path: Path) -> None:
    printed = restore(backups, "--cluster", "east", "--dry-run", "--output", str(tmp_path / "out"))
    assert "write    06-network/shop/service-web.yaml  from shop/Service/web.yaml\n" in printed
    assert "without spec.clusterIP, spec.ports[0].nodePort\n" in printed
    assert printed.endswith("4 files to write, 0 objects skipped, 0 left out; nothing is written\n")
    assert not (tmp_path / "out").exists()


def test_restore_prints_the_manifest_as_json(backups: Backups, tmp_path: Path) -> None:
    arguments = ("--cluster", "east", "--output", str(tmp_path / "out"), "--format", "json")
    assert json.loads(restore(backups, *arguments)) == manifest(tmp_path / "out")


def test_exact_writes_the_bytes_of_git(backups: Backups, tmp_path: Path) -> None:
    restore(backups, "--cluster", "east", "--namespace", "shop", "--exact", "--output", str(tmp_path / "out"))
    assert files(tmp_path / "out") == {
        "MANIFEST.json",
        "files/cluster/Namespace/shop.yaml",
        "files/shop/Deployment/cart.yaml",
        "files/shop/Service/web.yaml",
    }
    assert (tmp_path / "out/files/shop/Service/web.yaml").read_bytes() == SERVICE


@pytest.mark.parametrize("exact", [(), ("--exact",)])
def test_a_redacted_secret_is_never_written_and_restore_exits_10(
    exact: tuple[str, ...], backups: Backups, tmp_path: Path
) -> None:
    backups.sync("2025-07-13T22:00:00Z", {"east/shop/Secret/db.yaml": REDACTED})
    arguments = ("--cluster", "east", *exact, "--output", str(tmp_path / "out"))
    printed = restore(backups, *arguments, code=10)
    assert "the values are not in Git: create the object by other means" in printed
    assert not [
        name for name in files(tmp_path / "out") if b"redacted:" in (tmp_path / "out" / name).read_bytes()
    ]


def test_an_unreadable_file_is_named_and_restore_exits_10(backups: Backups, tmp_path: Path) -> None:
    unreadable = {"east/shop/Role/a.yaml": b"kind: Role\nkind: Role\n", "east/pay/Role/a.yaml": b"a: b: c"}
    backups.sync("2025-07-13T22:00:00Z", unreadable)
    arguments = ("--cluster", "east", "--namespace", "shop", "--output", str(tmp_path / "out"))
    printed = restore(backups, *arguments, code=10)
    assert "left out shop/Role/a.yaml: contains a duplicate key (line 2)" in printed
    assert [one["path"] for one in manifest(tmp_path / "out")["unread"]] == ["shop/Role/a.yaml"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--cluster", "eats"), 40, "did you mean east"),
        (
            ("--cluster", "east", "--at", "2020-01-01"),
            40,
            "the branch has no such commit; its first commit is",
        ),
        (("--cluster", "east", "--at", "yesterday"), 2, "is not a point in time"),
        (("--cluster", "east", "--select", "Secret/x"), 40, "Failed to find the objects"),
        (("--cluster", "east", "--map-namespace", "shop"), 2, "write the names of two namespaces as OLD=NEW"),
        (("--cluster", "east", "--map-namespace", "a=b,a=c"), 2, "each namespace can be in one mapping only"),
        (("--cluster", "east", "--map-namespace", "a=b!"), 2, "write the names of two namespaces as OLD=NEW"),
    ],
)
def test_wrong_arguments_write_nothing(
    arguments: tuple[str, ...], code: int, message: str, backups: Backups, tmp_path: Path
) -> None:
    assert message in restore(backups, *arguments, "--output", str(tmp_path / "new/out"), code=code)
    assert not (tmp_path / "new/out").exists()
    assert "2025-07-10" in message or not list(tmp_path.glob(".out*"))


def test_restore_needs_an_output(backups: Backups) -> None:
    assert "restore needs --output or --dry-run" in restore(backups, "--cluster", "east", code=2)
