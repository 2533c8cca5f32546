"""What restore decides about one object; tests/kubernetes/restoration/test_rules.py has the rows."""

from __future__ import annotations

from steps.kubernetes.objects import read_objects
from steps.kubernetes.restoration.decide import VOLATILE, Restored, Skipped, decide
from steps.kubernetes.restoration.rules import Known
from tests.support.growth import assert_linear

SERVICE = b"""\
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  uid: 1-2-3
  resourceVersion: "7"
spec:
  clusterIP: 10.0.0.1
  ports:
  - port: 80
status: {}
"""


def test_decision_removes_volatile_fields_and_those_of_the_kind() -> None:
    (one,) = read_objects(SERVICE)
    found = decide(one, Known(), (), {"shop": "copy"})
    assert isinstance(found, Restored)
    assert found.removed.keys() == {
        ("metadata", "uid"),
        ("metadata", "resourceVersion"),
        ("spec", "clusterIP"),
        ("status",),
    }
    assert found.removed["status",] == VOLATILE
    assert "another Service" in found.removed["spec", "clusterIP"]
    assert found.applied_to(one.data) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "copy"},
        "spec": {"ports": [{"port": 80}]},
    }


def test_decision_skips_objects_that_are_volatile_as_a_whole() -> None:
    (one,) = read_objects(
        b"{kind: Endpoints, apiVersion: v1, metadata: {name: a, labels: "
        b"{endpoints.kubernetes.io/managed-by: endpoint-controller}}}"
    )
    assert decide(one, Known(), (), {}) == Skipped(VOLATILE)


def test_a_replaced_field_that_is_removed_stays_removed() -> None:
    (one,) = read_objects(
        b"{kind: Secret, apiVersion: v1, type: kubernetes.io/service-account-token,"
        b" metadata: {name: a, namespace: shop}, data: {namespace: c2hvcA==, token: eA==}}"
    )
    found = decide(one, Known(), (), {"shop": "copy"})
    assert isinstance(found, Restored)
    assert found.replaced == {("metadata", "namespace"): "copy"}
    assert ("data",) in found.removed


def test_time_to_decide_is_linear() -> None:
    def make(count: int) -> None:
        ports = "".join(f"  - nodePort: {port}\n" for port in range(count))
        (one,) = read_objects(f"kind: Service\napiVersion: v1\nspec:\n  ports:\n{ports}".encode())
        decide(one, Known(), (), {})

    assert_linear(make, 300)
