"""The summary of the changes of a run."""

from __future__ import annotations

import pytest

from steps.core.changes import PlanRow
from steps.core.git_objects import Change
from steps.kubernetes.change_summary import (
    MAX_FILES,
    BlobChange,
    Count,
    ImageChange,
    SecurityCategory,
    category_of,
    compare_versions,
    files_to_inspect,
    is_relevant,
    summarize,
)
from steps.kubernetes.objects import Grant, Resource


def rows(*changes: tuple[str, str]) -> list[PlanRow]:
    return [PlanRow(path.encode(), Change(change), "0" * 40, 0) for change, path in changes]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("east/shop/Deployment/cart.yaml", "Deployment"),
        ("east/shop/networkpolicies/deny.yaml", "networkpolicies"),
        ("east/cluster/rbac.authorization.k8s.io/clusterroles/view.yaml", "clusterroles"),
        ("east/shop/cart.yaml", "unknown"),
        ("east/cart.yaml", "unknown"),
    ],
)
def test_kind_is_the_directory_below_the_namespace(path: str, kind: str) -> None:
    assert list(summarize(rows(("A", path)), {}).kinds) == [kind]


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        ("Secret", SecurityCategory.SECRET),
        ("secrets", SecurityCategory.SECRET),
        ("NetworkPolicy", SecurityCategory.NETWORK_POLICY),
        ("networkpolicies.networking.k8s.io", SecurityCategory.NETWORK_POLICY),
        ("ClusterRoleBinding", SecurityCategory.RBAC),
        ("rolebindings", SecurityCategory.RBAC),
        ("Deployment", None),
        ("secretstores", None),
        ("unknown", None),
    ],
)
def test_category_of_recognizes_every_spelling(kind: str, category: SecurityCategory | None) -> None:
    assert category_of(kind) is category


def test_changes_are_counted_by_kind_and_namespace() -> None:
    summed = summarize(
        rows(
            ("A", "east/shop/Deployment/a.yaml"),
            ("M", "east/shop/Deployment/b.yaml"),
            ("D", "east/bank/ConfigMap/c.yaml"),
            ("A", "west/d.yaml"),
        ),
        {},
    )
    assert summed.kinds == {
        "Deployment": Count(added=1, modified=1),
        "ConfigMap": Count(deleted=1),
        "unknown": Count(added=1),
    }
    assert list(summed.namespaces) == ["east/shop", "east/bank", "west"]
    assert (summed.inspected, summed.not_inspected) == (0, 1)


def test_summary_has_kind_images_and_grants_from_the_content() -> None:
    before = Resource("Role", {}, frozenset({Grant("get", "pods"), Grant("patch", "pods")}))
    after = Resource("Role", {}, frozenset({Grant("get", "pods"), Grant("*", "pods"), Grant("*", "secrets")}))
    summed = summarize(
        rows(("M", "east/shop/a.yaml"), ("M", "east/shop/b.yaml")),
        {
            b"east/shop/a.yaml": compare_versions(b"east/shop/a.yaml", before, after),
            b"east/shop/b.yaml": compare_versions(
                b"east/shop/b.yaml",
                Resource("Pod", {"a": "x:1", "b": "same", "gone": "y"}),
                Resource("Pod", {"a": "x:2", "b": "same"}),
            ),
        },
    )
    assert list(summed.kinds) == ["Pod", "Role"]
    (marked,) = summed.security_changes
    assert (marked.path, marked.category) == ("east/shop/a.yaml", SecurityCategory.RBAC)
    assert (marked.granted, marked.revoked) == (("* for pods, secrets",), ("patch for pods",))
    assert summed.images == (
        ImageChange(path="east/shop/b.yaml", container="a", before="x:1", after="x:2"),
        ImageChange(path="east/shop/b.yaml", container="gone", before="y", after=""),
    )
    assert (summed.inspected, summed.not_inspected) == (2, 0)


def test_long_lists_are_cut_with_the_number_of_omitted_entries() -> None:
    many = rows(*(("A", f"east/ns{n}/Secret/{n}.yaml") for n in range(150)))
    summed = summarize(many, {})
    assert (len(summed.namespaces), len(summed.security_changes), summed.more_security_changes) == (
        20,
        100,
        50,
    )
    assert summed.kinds["Secret"].added == 150
    images = {f"c{n}": str(n) for n in range(130)}
    found = compare_versions(b"a/b/c.yaml", Resource("Pod"), Resource("Pod", images))
    assert len(found.images) == 100, "the limit per file"
    summed = summarize(
        rows(("M", "a/b/c.yaml"), ("M", "a/b/d.yaml")), {b"a/b/c.yaml": found, b"a/b/d.yaml": found}
    )
    assert (len(summed.images), summed.more_images) == (100, 160)


def test_grants_of_a_file_are_cut_with_a_note() -> None:
    grants = frozenset(Grant(f"verb{n}", "x" * 300) for n in range(5000))
    granted = compare_versions(b"a", None, Resource("Role", {}, grants, grants_truncated=True)).granted
    assert granted[-2:] == ("and 4980 more", "and more: only 5000 grants of a file are compared")
    assert sum(map(len, granted)) < 10_000
    assert compare_versions(b"a", None, Resource("Role", {}, grants)).granted[-1] == "and 4980 more"


def test_rare_names_are_counted_as_others() -> None:
    many = rows(*(("A", f"east/n{n}/kind{n}/a.yaml") for n in range(10_100)))
    summed = summarize(many, {})
    assert summed.kinds["others"] == summed.namespaces["others"] == Count(added=100)


def test_text_from_files_is_escaped_and_cut() -> None:
    hostile = "\x1b[31m\n" + "x" * 5000
    found = compare_versions(
        b"a", None, Resource(hostile, {hostile: hostile}, frozenset({Grant(hostile, hostile)}))
    )
    summed = summarize(rows(("M", "east/shop/a.yaml")), {b"east/shop/a.yaml": found}).model_dump_json()
    assert "\\u001b" not in summed
    assert len(summed) < 2000


def test_files_to_inspect_are_modified_files_with_rbac_first() -> None:
    changes = [
        BlobChange(b"east/shop/ConfigMap/%04d.yaml" % n, Change.MODIFIED, "a", "b") for n in range(MAX_FILES)
    ]
    role = BlobChange(b"west/shop/Role/x.yaml", Change.MODIFIED, "a", "b")
    new = BlobChange(b"east/shop/ConfigMap/new.yaml", Change.ADDED, "", "b")
    chosen = files_to_inspect([*changes, new, role])
    assert len(chosen) == MAX_FILES
    assert chosen[0] == role
    assert new not in files_to_inspect([new]), "the path has its kind"
    unknown = BlobChange(b"east/shop/new.yaml", Change.ADDED, "", "b")
    assert files_to_inspect([unknown]) == [unknown]


@pytest.mark.parametrize(
    ("path", "content", "relevant"),
    [
        (b"east/shop/ConfigMap/a.yaml", b"data: {}", False),
        (b"east/shop/ingresses.networking.k8s.io/a.yaml", b"spec: {}", False),
        (b"east/shop/networkpolicies/a.yaml", b"spec: {}", True),
        (b"east/shop/ConfigMap/a.yaml", b"kind: Secret", True),
        (b"east/shop/ConfigMap/a.yaml", b"kind: NetworkPolicy", True),
        (b"east/shop/ConfigMap/a.yaml", b'kind: "Cluster\\u0052ole"', True),
        (b"east/shop/ServiceAccount/a.yaml", b"secretName: a", False),
        (b"east/shop/ServiceAccount/a.yaml", b"imagePullSecrets: []", False),
        (b"east/shop/ConfigMap/a.yaml", b"kind: ClusterRoleBinding", True),
        (b"east/shop/ConfigMap/a.yaml", b"containers: [{image: x}]", True),
        (b"east/shop/Deployment/a.yaml", b"", True),
        (b"east/shop/Rollout/a.yaml", b"", True),
        (b"east/a.yaml", b"", True),
    ],
)
def test_is_relevant_depends_on_kind_and_content(
    path: bytes,
    content: bytes,
    relevant: bool,
) -> None:
    assert is_relevant(path, content) is relevant


def test_files_to_inspect_are_ordered_by_relevance() -> None:
    paths = [
        b"a/b/ConfigMap/a.yaml",
        b"a/b/Deployment/a.yaml",
        b"a/b/NetworkPolicy/a.yaml",
        b"a/b/Role/a.yaml",
    ]
    chosen = files_to_inspect(BlobChange(path, Change.MODIFIED, "a", "b") for path in paths)
    assert [change.path.split(b"/")[2] for change in chosen] == [
        *(b"Role", b"Deployment", b"NetworkPolicy", b"ConfigMap")
    ]


def test_files_to_inspect_contain_no_secret() -> None:
    secrets = [
        BlobChange(b"east/shop/Secret/a.yaml", Change.MODIFIED, "a", "b"),
        BlobChange(b"east/shop/secrets/a.yaml", Change.MODIFIED, "a", "b"),
    ]
    assert files_to_inspect(secrets) == []
