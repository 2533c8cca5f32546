"""The volatile fields of objects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steps.kubernetes.objects import Identity, KubernetesObject
from steps.kubernetes.volatile import BUILT_IN, BUILT_IN_SET, Rule, RuleSet, parse_volatile


def make(kind: str, group: str = "", **fields: Any) -> KubernetesObject:
    return KubernetesObject(Identity(group, kind, "shop", "a"), {"kind": kind, **fields})


@pytest.mark.parametrize(
    "written", ["kind", "apiVersion", "metadata", "metadata.name", "metadata[name]", "[*]"]
)
def test_protected_field_is_rejected(written: str) -> None:
    with pytest.raises(ValueError, match="this field cannot be dropped"):
        parse_volatile(written)


def test_volatile_fields_are_removed_and_the_object_is_unchanged() -> None:
    metadata = {
        "name": "a",
        "uid": "u",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        "labels": {},
    }
    one = make("Deployment", "apps", metadata=metadata, status={"replicas": 1}, spec={"replicas": 1})
    before = repr(one)
    assert BUILT_IN_SET.without_volatile_fields(one) == {
        "kind": "Deployment",
        "metadata": {"name": "a", "labels": {}},
        "spec": {"replicas": 1},
    }
    assert repr(one) == before


def test_fields_of_a_kind_are_volatile_in_this_kind_only() -> None:
    annotations = {"deployment.kubernetes.io/revision": "2", "x": "y"}
    metadata = {"annotations": annotations}
    kept = BUILT_IN_SET.without_volatile_fields(make("Deployment", "apps", metadata=metadata))
    assert kept["metadata"] == {"annotations": {"x": "y"}}
    other = BUILT_IN_SET.without_volatile_fields(make("StatefulSet", "apps", metadata=metadata))
    assert other["metadata"] == metadata
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15}
    lease = BUILT_IN_SET.without_volatile_fields(make("Lease", "coordination.k8s.io", spec=spec))
    assert lease["spec"] == {"leaseDurationSeconds": 15}
    assert BUILT_IN_SET.without_volatile_fields(make("Lease", "example.com", spec=spec))["spec"] == spec


MANAGED = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}


@pytest.mark.parametrize(
    ("one", "volatile"),
    [
        (make("Event"), True),
        (make("Event", "events.k8s.io"), True),
        (make("Event", "example.com"), False),
        (make("Endpoints"), False),
        (
            make(
                "Endpoints",
                metadata={"labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}},
            ),
            True,
        ),
        (
            make(
                "EndpointSlice",
                "discovery.k8s.io",
                metadata={
                    "labels": {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
                },
            ),
            True,
        ),
        (make("EndpointSlice", "discovery.k8s.io", metadata={"labels": {"a": "b"}}), False),
        (make("ConfigMap"), False),
    ],
)
def test_objects_that_controllers_create_are_volatile(one: KubernetesObject, volatile: bool) -> None:
    assert BUILT_IN_SET.is_volatile(one) is volatile


@pytest.mark.parametrize("value", ["text", None, 1, ["a"], {}])
def test_fields_of_unexpected_types_are_kept(value: object) -> None:
    one = make("Pod", metadata=value)
    assert BUILT_IN_SET.without_volatile_fields(one)["metadata"] == value
    document = KubernetesObject(Identity("", "", "", ""), value)
    assert BUILT_IN_SET.without_volatile_fields(document) == value


def test_rules_written_as_json_are_the_same() -> None:
    mine = Rule(("X",), keep=(("a", None, "b"),), labels=(("l", "*"),), omit=False, secret=(("c",),))
    assert [Rule.of(one) for one in json.loads(json.dumps([*BUILT_IN, mine]))] == [*BUILT_IN, mine]


def test_treatment_of_a_long_kind_is_not_kept() -> None:
    rules = RuleSet(BUILT_IN)
    rules.by_kind("K" * 1_000_000, "")
    assert not rules._treatments
