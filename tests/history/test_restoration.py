"""What becomes of the objects of a cluster, file by file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from steps.history.restoration import Request, Restoration
from steps.history.snapshot import File
from steps.kubernetes.objects import read_objects
from steps.kubernetes.restoration.rules import REDACTED
from steps.kubernetes.secret_filter import SecretsMode
from steps.kubernetes.secrets import SecretsPolicy
from steps.kubernetes.selection import ObjectFilter

if TYPE_CHECKING:
    from pathlib import Path

ALL = Request("east", ObjectFilter(), {}, frozenset())


def restored(directory: Path | None, *contents: bytes, request: Request = ALL) -> Restoration:
    found = Restoration(request, directory)
    found.add(File(b"east/shop/%d.yaml" % n, f"{n:040}", content) for n, content in enumerate(contents))
    return found


def data(directory: Path, file: str) -> Any:
    (one,) = read_objects((directory / file).read_bytes())
    return one.data


# -- faults of other tools ------------------------------------------------------------------------


def test_a_headless_service_stays_headless(tmp_path: Path) -> None:
    """Without `clusterIP: None`, the pods of a StatefulSet have no names."""
    restored(
        tmp_path,
        b"{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {clusterIP: None,"
        b" clusterIPs: [None]}}",
    )
    spec = data(tmp_path, "06-network/shop/service-db.yaml")["spec"]
    assert spec == {"clusterIP": "None", "clusterIPs": ["None"]}


def test_a_block_volume_stays_a_block_volume(tmp_path: Path) -> None:
    restored(
        tmp_path,
        b"{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, namespace: shop},"
        b" spec: {volumeMode: Block, volumeName: pv}}",
    )
    assert data(tmp_path, "05-volumes/shop/persistentvolumeclaim-a.yaml")["spec"] == {"volumeMode": "Block"}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_a_workload_keeps_its_service_account_and_security_context(kind: str, tmp_path: Path) -> None:
    pod = (
        b"{serviceAccountName: ci, securityContext: {fsGroup: 1},"
        b" containers: [{securityContext: {runAsUser: 1}}]}"
    )
    restored(
        tmp_path,
        b"{apiVersion: apps/v1, kind: %s, metadata: {name: a, namespace: shop}, spec: {template: {spec: %s}}}"
        % (kind.encode(), pod),
    )
    spec = data(tmp_path, f"07-workloads/shop/{kind.lower()}-a.yaml")["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "ci"
    assert spec["securityContext"] == {"fsGroup": 1}
    assert spec["containers"][0]["securityContext"] == {"runAsUser": 1}


@pytest.mark.parametrize("name", ["a", "ab", "abcde", "abcdef"])
def test_a_secret_with_a_short_name_is_written(name: str, tmp_path: Path) -> None:
    restored(
        tmp_path,
        b"{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: shop}, data: {a: eA==}}"
        % name.encode(),
    )
    assert data(tmp_path, f"04-config/shop/secret-{name}.yaml")["data"] == {"a": "eA=="}


def test_a_role_is_applied_before_its_binding(tmp_path: Path) -> None:
    group = b"apiVersion: rbac.authorization.k8s.io/v1, metadata: {name: a, namespace: shop}"
    restored(
        tmp_path,
        *(b"{kind: %s, %s}" % (kind, group) for kind in (b"RoleBinding", b"Role")),
        b"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: z}}",
    )
    files = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*-?.*"))]
    assert files.index("03-access/shop/role-a.yaml") < files.index("03-access/shop/rolebinding-a.yaml")
    assert "03-access/_cluster/clusterrole-z.yaml" in files  # apply.sh applies _cluster first


# -- files and objects ----------------------------------------------------------------------------


def test_the_objects_of_a_list_become_separate_files(tmp_path: Path) -> None:
    found = restored(
        tmp_path,
        b"apiVersion: v1\nkind: List\nitems:\n"
        b"- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: a\n"
        b"    namespace: shop\n    uid: u\n"
        b"- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: b\n    namespace: shop\n"
        b"  data: {x: '08'}\n",
    )
    assert (tmp_path / "04-config/shop/configmap-b.yaml").read_bytes() == (
        b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  namespace: shop\ndata: {x: '08'}\n"
    )
    assert (tmp_path / "04-config/shop/configmap-a.yaml").read_bytes() == (
        b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  namespace: shop\n"
    )
    assert [one.form for one in found.files if one.path] == ["text", "text"]


def test_an_object_in_two_files_is_written_once(tmp_path: Path) -> None:
    one = b"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}, data: {x: '1'}}"
    found = restored(tmp_path, one, one + b" # again", one.replace(b"'1'", b"'2'"))
    assert [(skipped.why, skipped.left_out) for skipped in found.skipped] == [
        ("the same object is in shop/0.yaml", False),
        ("another version of the object is in shop/0.yaml", True),
    ]


def test_endpoints_are_written_only_for_services_without_a_selector(tmp_path: Path) -> None:
    def endpoints(name: bytes) -> bytes:
        return b"{apiVersion: v1, kind: Endpoints, metadata: {name: %s, namespace: shop}}" % name

    found = restored(
        tmp_path,
        *map(endpoints, (b"web", b"external")),
        b"{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {a: b}}}",
        b"{apiVersion: v1, kind: Service, metadata: {name: external, namespace: shop}, spec: {}}",
    )
    assert [one.name for one in found.skipped] == ["web"]
    assert [one.name for one in found.files if one.kind == "Endpoints"] == ["external"]


def test_a_namespace_that_the_backup_lacks_is_made(tmp_path: Path) -> None:
    found = restored(tmp_path, b"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}}")
    assert data(tmp_path, "01-namespaces/_cluster/namespace-shop.json") == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop"},
    }
    assert any("adds without labels: shop" in warning for warning in found.notes.warnings())


def test_an_object_without_namespace_gets_that_of_its_directory(tmp_path: Path) -> None:
    found = restored(tmp_path, b"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")
    assert data(tmp_path, "04-config/shop/configmap-a.json")["metadata"]["namespace"] == "shop"
    assert any("without metadata.namespace" in warning for warning in found.notes.warnings())


@pytest.mark.parametrize(
    ("content", "why", "left_out"),
    [
        (b"just text", "not a Kubernetes object", False),
        (b"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: shop}}", "it has no name", True),
    ],
)
def test_what_is_not_an_object_is_skipped(content: bytes, why: str, left_out: bool) -> None:
    found = restored(None, content)
    assert [(one.why, one.left_out) for one in found.skipped] == [(why, left_out)]


def test_a_secret_that_a_run_redacted_is_left_out(tmp_path: Path) -> None:
    secret = (
        b"{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: shop}, data: {password: c2VjcmV0}}"
    )
    policy = SecretsPolicy(SecretsMode.REDACT, b"k" * 32)
    redacted = policy.treated("east/shop/db.yaml", secret).content
    assert redacted is not None
    found = restored(tmp_path, redacted)
    assert [(one.name, one.why, one.left_out) for one in found.skipped] == [("db", REDACTED, True)]


def test_hostile_names_stay_inside_the_directory(tmp_path: Path) -> None:
    hostile = [
        b"../../x",
        b"/etc/passwd",
        b"a/b",
        b"apply.sh\\n",
        b"..",
        b"\\u202e",
        b"-rf",
        b"$(id)",
        b"`id`",
    ]
    directory = tmp_path / "out"
    found = restored(
        directory,
        *(
            b'{apiVersion: v1, kind: ConfigMap, metadata: {name: "%s", namespace: "%s"}}' % (name, name)
            for name in hostile
        ),
        b'{apiVersion: v1, kind: "../x", metadata: {name: a}}',
    )
    assert len(found.files) == len(hostile) + 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert all((directory / one.file).resolve().is_relative_to(directory) for one in found.files)


def test_a_yaml_bomb_is_named_and_not_expanded() -> None:
    bomb = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 10)) for n in range(ord("b"), ord("j"))
    )
    found = restored(None, bomb)
    assert [one.why for one in found.unread] == ["contains too many values"]


def test_exact_copies_files_whose_names_collide(tmp_path: Path) -> None:
    request = Request("east", ObjectFilter(), {}, frozenset(), exact=True)
    found = Restoration(request, tmp_path)
    paths = (
        ".gitmodules",
        "_1",
        "A.yaml",
        "a.yaml",
        "b",
        "B/x.yaml",
        "c/x.yaml",
        "C",
        "é",
        "e\u0301",
        "renamed/1",
    )
    found.add(File(f"east/{path}".encode(), "0" * 40, b"a: %d" % n) for n, path in enumerate(paths))
    assert [one.file for one in found.exact_files] == [
        *("renamed/1", "files/_1", "files/A.yaml", "renamed/2", "files/b", "renamed/3", "files/c/x.yaml"),
        *("renamed/4", "files/é", "renamed/5", "files/renamed/1"),
    ]
    for number, one in enumerate(found.exact_files):
        assert (tmp_path / one.file).read_bytes() == b"a: %d" % number


def test_exact_copies_a_file_with_a_hostile_path_to_a_number(tmp_path: Path) -> None:
    request = Request("east", ObjectFilter(), {}, frozenset(), exact=True)
    found = Restoration(request, tmp_path)
    found.add([File(b"east/a\x1b.yaml", "0" * 40, b"a: 1"), File(b"east/b.yaml", "1" * 40, b"b: c: d")])
    assert [one.file for one in found.exact_files] == ["renamed/1", "files/b.yaml"]
    assert (tmp_path / "files/b.yaml").read_bytes() == b"b: c: d"
