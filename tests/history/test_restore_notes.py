"""Warnings of restore."""

from __future__ import annotations

from steps.history.restore_notes import Notes
from steps.kubernetes.objects import read_objects
from steps.kubernetes.restoration.decide import Restored, Skipped, decide
from steps.kubernetes.restoration.rules import Known

POD = (
    b"{apiVersion: v1, kind: Pod, metadata: {name: a-1, namespace: shop,"
    b" ownerReferences: [{kind: ReplicaSet, name: a, controller: true}]}}"
)
OWNER = b"{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: a, namespace: shop}}"
SERVICE = (
    b"{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, "
    b"spec: {externalName: web.shop.svc, ports: [{port: 80, nodePort: 30080}]}}"
)


def warnings(*contents: bytes, **namespaces: str) -> list[str]:
    notes = Notes(namespaces)
    for content in contents:
        (one,) = read_objects(content)
        notes.saw(one)
        decision = decide(one, Known(), (), namespaces)
        if isinstance(decision, Skipped):
            notes.skipped(one, decision)
        elif isinstance(decision, Restored):
            notes.wrote(one, decision, content)
    return list(notes.warnings())


def test_an_owner_that_the_backup_lacks_is_named() -> None:
    assert warnings(POD, OWNER) == []
    assert warnings(POD) == [
        (
            "the backup lacks 1 owner of skipped objects, as ReplicaSet shop/a of Pod shop/a-1; "
            "--include-owned restores such objects"
        )
    ]


def test_removed_node_ports_are_listed() -> None:
    assert warnings(SERVICE) == [
        "node ports are not restored: Service shop/web 30080; --keep-node-ports keeps them"
    ]


def test_old_names_of_services_and_unused_mappings_are_named() -> None:
    assert warnings(SERVICE, shop="copy", other="x")[1:] == [
        "--map-namespace other: no restored object is in this namespace",
        (
            "the text of 1 object contains .shop.svc, which names Services of the old namespace, "
            "as Service shop/web"
        ),
    ]
