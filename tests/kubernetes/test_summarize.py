"""The summary of changes, against true answers that were written by hand."""

from __future__ import annotations

import pytest

from steps.core.git_objects import Change
from steps.kubernetes.change_summary import ChangeSummary
from steps.kubernetes.facts import facts_of
from steps.kubernetes.objects import Unreadable, read_objects
from steps.kubernetes.summarize import Inspection, summarize

Files = dict[str, str]


def inspection(before: str | None, after: str | None) -> Inspection:
    try:
        old, new = (
            tuple(map(facts_of, read_objects(text.encode()))) if text is not None else ()
            for text in (before, after)
        )
    except Unreadable as problem:
        return Inspection(reason=str(problem))
    return Inspection(old, new)


def summary(before: Files, after: Files) -> ChangeSummary:
    """Summarize the change from one set of files to another, all inspected."""
    rows = []
    inspections = {}
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        change = Change.ADDED if old is None else Change.DELETED if new is None else Change.MODIFIED
        rows.append((path.encode(), change))
        inspections[path.encode()] = inspection(old, new)
    return ChangeSummary.model_validate(summarize(rows, inspections))


def joined(*documents: str) -> str:
    return "---\n".join(documents)


def as_list(*documents: str) -> str:
    indented = "".join("- " + document.replace("\n", "\n  ").rstrip(" ") for document in documents)
    return f"apiVersion: v1\nkind: List\nitems:\n{indented}"


def deployment(name: str, image: str, namespace: str = "shop", **metadata: str) -> str:
    fields = "".join(f"  {key}: {value}\n" for key, value in metadata.items())
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {namespace}
{fields}spec:
  template:
    spec:
      containers:
      - name: main
        image: {image}
"""


def role(name: str, verbs: str, resources: str, namespace: str = "shop") -> str:
    return f"""\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {name}, namespace: {namespace}}}
rules:
- apiGroups: [""]
  resources: [{resources}]
  verbs: [{verbs}]
"""


ADMIN_BINDING = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: helpers
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: cluster-admin
subjects:
- kind: ServiceAccount
  name: helper
  namespace: tools
"""


def secret(name: str, **values: str) -> str:
    data = "".join(f"  {key}: {value}\n" for key, value in values.items())
    return f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: shop\ndata:\n{data}"


# -- several objects in a file --------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["own file", "second document", "item of a List", "flat layout"])
def test_new_binding_to_cluster_admin_is_first_in_each_layout(layout: str) -> None:
    web = deployment("web", "nginx:1")
    before, after = {
        "own file": ({}, {"prod/_cluster/clusterrolebinding/helpers.yaml": ADMIN_BINDING}),
        "second document": ({"prod/all.yaml": web}, {"prod/all.yaml": joined(web, ADMIN_BINDING)}),
        "item of a List": ({"prod/all.yaml": as_list(web)}, {"prod/all.yaml": as_list(web, ADMIN_BINDING)}),
        "flat layout": ({}, {"prod/helpers.yaml": ADMIN_BINDING}),
    }[layout]
    (change,) = summary(before, after).security_changes
    assert change.object == "ClusterRoleBinding helpers"
    assert change.change == Change.ADDED
    assert change.category == "rbac"
    assert change.is_sensitive
    assert change.granted == ("ClusterRole/cluster-admin to ServiceAccount tools/helper",)


def test_containers_of_one_name_in_two_deployments_are_distinguished() -> None:
    before = {"prod/all.yaml": joined(deployment("a", "x:1"), deployment("b", "y:1"))}
    after = {"prod/all.yaml": joined(deployment("a", "x:2"), deployment("b", "y:1"))}
    (image,) = summary(before, after).images
    assert (image.object, image.container, image.before, image.after) == (
        "Deployment shop/a",
        "main",
        "x:1",
        "x:2",
    )


def test_swapped_documents_change_nothing() -> None:
    one, other = deployment("a", "x:1"), deployment("b", "y:1")
    found = summary({"prod/all.yaml": joined(one, other)}, {"prod/all.yaml": joined(other, one)})
    assert found.images == ()
    assert found.kinds == {}
    assert found.modified_files.formatting == 1


def test_grant_added_to_one_role_of_75_names_that_role() -> None:
    roles = [role(f"role-{n}", "get", "pods") for n in range(75)]
    changed = [*roles[:40], role("role-40", "get, list", "pods, secrets"), *roles[41:]]
    found = summary({"prod/r.yaml": as_list(*roles)}, {"prod/r.yaml": as_list(*changed)})
    (change,) = found.security_changes
    assert change.object == "Role shop/role-40"
    assert change.granted == ("get, list secrets", "list pods")
    assert change.revoked == ()
    assert change.is_sensitive


def test_new_binding_shows_what_its_role_grants() -> None:
    binding = ADMIN_BINDING.replace("ClusterRole\n", "Role\n").replace("cluster-admin", "ci")
    binding = binding.replace("ClusterRoleBinding", "RoleBinding").replace(
        "name: helpers", "name: helpers\n  namespace: shop"
    )
    found = summary({}, {"prod/a.yaml": joined(binding, role("ci", "list", "secrets"))})
    change = next(one for one in found.security_changes if one.object.startswith("RoleBinding"))
    assert change.granted == ("Role/ci to ServiceAccount tools/helper", "Role/ci grants list secrets")
    assert change.is_sensitive


def test_object_that_moves_to_another_file_does_not_change() -> None:
    one, other = deployment("a", "x:1"), deployment("b", "y:1")
    found = summary({"prod/all.yaml": joined(one, other)}, {"prod/a.yaml": one, "prod/all.yaml": other})
    assert found.kinds == {}
    assert found.images == ()


# -- what matters ---------------------------------------------------------------------------------


def test_real_grant_is_not_hidden_by_changes_of_metadata_and_secrets() -> None:
    before = {f"prod/s{n}.yaml": secret(f"s{n}", password="YQ==") for n in range(120)}
    after = {f"prod/s{n}.yaml": secret(f"s{n}", password="Yg==") for n in range(120)}
    before |= {f"prod/r{n}.yaml": role(f"r{n}", "get", "pods") for n in range(100)}
    after |= {
        f"prod/r{n}.yaml": role(f"r{n}", "get", "pods").replace(
            "namespace: shop}", "namespace: shop, labels: {a: b}}"
        )
        for n in range(100)
    }
    found = summary(before, after | {"prod/z.yaml": ADMIN_BINDING})
    assert found.security_changes[0].object == "ClusterRoleBinding helpers"
    assert found.security_metadata_only == 100
    assert found.more_security_changes == 21
    assert found.modified_files.metadata == 100


def test_secret_shows_the_names_of_its_changed_values_only() -> None:
    before = {"prod/s.yaml": secret("db", password="b2xk", user="bWU=", gone="eA==")}
    after = {"prod/s.yaml": secret("db", password="bmV3", user="bWU=", fresh="eA==")}
    found = summary(before, after)
    (change,) = found.security_changes
    assert (change.keys_added, change.keys_removed, change.keys_changed) == (
        ("fresh",),
        ("gone",),
        ("password",),
    )
    assert "bmV3" not in found.model_dump_json()
    assert "b2xk" not in found.model_dump_json()


def test_volatile_fields_are_not_substance() -> None:
    old = deployment(
        "a", "x:1", resourceVersion='"1"', annotations="{deployment.kubernetes.io/revision: '3'}"
    )
    new = deployment("a", "x:1", resourceVersion='"2"', uid="u") + "status: {replicas: 3}\n"
    found = summary({"prod/a.yaml": old}, {"prod/a.yaml": new})
    assert found.modified_files.volatile == 1
    assert found.kinds["Deployment"].volatile == 1
    assert found.kinds["Deployment"].modified == 0


def test_new_workload_lists_its_images() -> None:
    found = summary({}, {"prod/a.yaml": deployment("a", "x:1")})
    assert [(image.before, image.after) for image in found.images] == [("", "x:1")]


@pytest.mark.parametrize(
    ("yaml", "granted"),
    [
        ("hostNetwork: true\n      containers: []", "hostNetwork"),
        ("volumes: [{name: v, hostPath: {path: /}}]\n      containers: []", "hostPath /"),
        ("containers: [{name: c, securityContext: {privileged: true}}]", "privileged container c"),
    ],
)
def test_access_to_the_node_is_security_relevant_in_any_kind(yaml: str, granted: str) -> None:
    text = (
        f"apiVersion: batch/v1\nkind: Job\nmetadata: {{name: j}}\nspec:\n  template:\n    spec:\n      {yaml}"
    )
    (change,) = summary({}, {"prod/j.yaml": text}).security_changes
    assert change.granted == (granted,)
    assert change.category == "pod_security"


def test_cloud_role_of_a_service_account_is_security_relevant() -> None:
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: a\n"
    text = f"{account}  annotations: {{eks.amazonaws.com/role-arn: r}}\n"
    (change,) = summary({"prod/a.yaml": text.replace(": r}", ": q}")}, {"prod/a.yaml": text}).security_changes
    assert change.category == "cloud_identity"
    assert change.granted == ("eks.amazonaws.com/role-arn: r",)
    assert change.revoked == ("eks.amazonaws.com/role-arn: q",)


def test_containers_in_volatile_fields_do_not_hide_the_others() -> None:
    decoys = ", ".join("{name: a, image: b}" for _ in range(1000))
    status = f"status: {{containers: [{decoys}]}}\n"
    found = summary(
        {"prod/a.yaml": deployment("a", "x:1") + status}, {"prod/a.yaml": deployment("a", "x:2") + status}
    )
    assert [(image.before, image.after) for image in found.images] == [("x:1", "x:2")]


def test_cluster_role_that_is_aggregated_to_another_role_is_a_grant() -> None:
    rules = "rules: [{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]\n"
    head = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: a\n"
    label = "rbac.authorization.k8s.io/aggregate-to-view"
    after = f"{head}  labels: {{{label}: 'true'}}\n{rules}"
    (change,) = summary({"prod/a.yaml": head + rules}, {"prod/a.yaml": after}).security_changes
    assert change.granted == (f"{label}: true",)
    assert change.is_sensitive


def test_object_without_a_namespace_moves_with_its_directory() -> None:
    binding = ADMIN_BINDING.replace("ClusterRoleBinding", "RoleBinding")
    before = {"prod/sandbox/RoleBinding/a.yaml": binding}
    found = summary(before, {"prod/kube-system/RoleBinding/a.yaml": binding})
    assert [(one.change.word, one.is_sensitive) for one in found.security_changes] == [
        ("new", True),
        ("deleted", False),
    ]


def test_many_changes_of_one_cluster_do_not_hide_those_of_another() -> None:
    after = {f"aa/b{n:03}.yaml": ADMIN_BINDING.replace("helpers", f"b{n}") for n in range(150)}
    after |= {f"aa/w{n:03}.yaml": deployment(f"w{n}", "x:1") for n in range(150)}
    after |= {"bb/z.yaml": ADMIN_BINDING, "bb/w.yaml": deployment("w", "y:1")}
    found = summary({}, after)
    assert "bb/z.yaml" in [change.path for change in found.security_changes]
    assert "bb/w.yaml" in [image.path for image in found.images]


# -- what is not inspected ------------------------------------------------------------------------


def test_unreadable_file_is_named_with_its_reason() -> None:
    found = summary({"prod/shop/role/a.yaml": "a: 1"}, {"prod/shop/role/a.yaml": "a: 1\na: 2\n"})
    (file,) = found.not_inspected
    assert (file.path, file.reason) == ("prod/shop/role/a.yaml", "contains a duplicate key (line 2)")
    (change,) = found.security_changes
    assert (change.object, change.path, change.category) == ("", "prod/shop/role/a.yaml", "rbac")


def test_text_of_hostile_objects_is_limited_and_sensitive_grants_are_complete() -> None:
    long = ["x" * 90 + str(n) for n in range(40)]
    after = {
        f"prod/s{n:03}.yaml": secret(f"s{n}", **{name.replace("x", "y"): "YQ==" for name in long})
        for n in range(150)
    }
    after |= {
        f"prod/r{n:03}.yaml": role(f"r{n}", "get", ", ".join(f"{name}{n}" for name in long))
        for n in range(50)
    }
    found = summary({}, after | {"prod/z.yaml": ADMIN_BINDING})
    assert len(found.model_dump_json()) < 250_000
    assert found.security_changes[0].granted == ("ClusterRole/cluster-admin to ServiceAccount tools/helper",)
    assert found.security_changes[60].keys_added[-1] == "and 20 more"
    assert found.security_changes[99].keys_added == ("and 40 more",)
    assert found.more_security_changes == 101


def test_binding_says_that_it_has_more_subjects() -> None:
    subjects = "".join(f"- {{kind: User, name: u{n}}}\n" for n in range(5001))
    text = ADMIN_BINDING.partition("- kind")[0] + subjects
    (change,) = summary({}, {"prod/a.yaml": text}).security_changes
    assert change.granted[0] == "and more: only 5,000 subjects of a binding are compared"
    assert change.granted[-1] == "and 4,981 more"
