"""Images and access to the node of pod templates."""

from __future__ import annotations

import pytest

from steps.kubernetes.objects import Unreadable, read_objects
from steps.kubernetes.workloads import pods_of


def pods(content: str) -> list[tuple[str, str, str]]:
    (one,) = read_objects(content.encode())
    return sorted(pods_of(one.data).containers)


def access(content: str) -> frozenset[str]:
    (one,) = read_objects(content.encode())
    return pods_of(one.data).node_access


def test_containers_of_every_kind_are_found_at_any_depth() -> None:
    assert pods(
        """
spec:
  jobTemplate:
    spec:
      template:
        spec:
          initContainers: [{name: migrate, image: "shop:1"}]
          containers: [{name: shop, image: "shop:1.2"}, {image: "no-name"}, {name: no-image}]
          ephemeralContainers: [{name: debug, image: busybox}]
"""
    ) == [
        ("spec.jobTemplate.spec.template.spec.containers[1]", "1", "no-name"),
        ("spec.jobTemplate.spec.template.spec.containers[shop]", "shop", "shop:1.2"),
        ("spec.jobTemplate.spec.template.spec.ephemeralContainers[debug]", "debug", "busybox"),
        ("spec.jobTemplate.spec.template.spec.initContainers[migrate]", "migrate", "shop:1"),
    ]


def test_templates_of_argo_name_their_containers() -> None:
    text = "spec: {templates: [{name: build, container: {image: a}}, {name: test, script: {image: b}}]}"
    assert pods(text) == [
        ("spec.templates[build].container", "build", "a"),
        ("spec.templates[test].script", "test", "b"),
    ]


def test_containers_of_one_name_in_two_pod_templates_have_different_places() -> None:
    template = "{spec: {containers: [{name: main, image: %s}]}}"
    found = pods(f"spec: {{master: {template % 'a'}, worker: {template % 'b'}}}")
    assert [place for place, _, _ in found] == [
        "spec.master.spec.containers[main]",
        "spec.worker.spec.containers[main]",
    ]


def test_access_to_the_node() -> None:
    assert access(
        """
spec:
  hostPID: true
  hostNetwork: false
  volumes: [{name: a, hostPath: {path: /etc}}, {name: b, emptyDir: {}}]
  containers:
  - {name: a, securityContext: {privileged: true}}
  - {name: b, securityContext: {capabilities: {add: [SYS_ADMIN], drop: [ALL]}}}
"""
    ) == {"hostPID", "hostPath /etc", "privileged container a", "capability SYS_ADMIN of container b"}


def test_a_mapping_without_containers_gives_no_access() -> None:
    assert access("data: {hostNetwork: true, privileged: true}") == frozenset()


def test_unexpected_types_are_ignored() -> None:
    assert pods("spec: {containers: text, initContainers: [1, {image: [x]}, null], container: 1}") == []


def test_object_with_too_many_containers_or_too_long_paths_is_unreadable() -> None:
    containers = ",".join("{image: a}" for _ in range(1500))
    with pytest.raises(Unreadable, match="more than 1,000 containers"):
        pods(f"spec: {{a: {{containers: [{containers}]}}, b: {{c: d}}}}")
    key = "x" * 900
    with pytest.raises(Unreadable, match="path is too long"):
        pods(f"{key}: {{{key}: {{{key}: {{a: b}}}}}}")


def test_images_of_workflows_and_tasks_are_found() -> None:
    workflow = """
spec:
  hostNetwork: true
  volumes: [{name: root, hostPath: {path: /}}]
  templates:
  - name: build
    container: {image: a, securityContext: {privileged: true}}
    sidecars: [{name: docker, image: "docker:dind"}]
    initContainers: [{name: prepare, image: b}]
  - name: all
    steps: [[{name: build, template: build}, {name: inline, inline: {script: {image: c}}}]]
  - name: set
    containerSet: {containers: [{name: main, image: d}]}
"""
    assert {image for _, _, image in pods(workflow)} == {"a", "b", "c", "d", "docker:dind"}
    assert access(workflow) == {"hostNetwork", "hostPath /", "privileged container build"}
    task = """
spec:
  stepTemplate: {image: base}
  steps: [{name: compile, image: go, script: "go build"}, {image: alpine}]
  sidecars: [{name: registry, image: registry, securityContext: {capabilities: {add: [SYS_ADMIN]}}}]
"""
    assert pods(task) == [
        ("spec.sidecars[registry]", "registry", "registry"),
        ("spec.stepTemplate", "stepTemplate", "base"),
        ("spec.steps[1]", "1", "alpine"),
        ("spec.steps[compile]", "compile", "go"),
    ]
    assert access(task) == {"capability SYS_ADMIN of container registry"}


@pytest.mark.parametrize("kind", ["Service.serving.knative.dev", "DeploymentConfig.apps.openshift.io"])
def test_pod_templates_of_other_projects_are_found(kind: str) -> None:
    name, _, group = kind.partition(".")
    text = (
        f"apiVersion: {group}/v1\nkind: {name}\nspec: {{template: {{spec: {{containers: [{{image: a}}]}}}}}}"
    )
    assert [image for _, _, image in pods(text)] == ["a"]


def test_image_volumes_are_images() -> None:
    text = "spec: {containers: [], volumes: [{name: model, image: {reference: 'models/a:1'}}]}"
    assert pods(text) == [("spec.volumes[model]", "model", "models/a:1")]


def test_host_processes_of_windows_have_access_to_the_node() -> None:
    options = "securityContext: {windowsOptions: {hostProcess: true}}"
    assert access(f"spec: {{containers: [{{name: a, {options}}}]}}") == {"hostProcess of container a"}
    assert access(f"spec: {{{options}, containers: [{{name: a}}]}}") == {"hostProcess"}
