"""`git-sync restore` on a real API server: dump, sync, delete, restore, apply."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from steps.kubernetes.data import mapping
from steps.kubernetes.objects import Identity, read_objects
from steps.kubernetes.restoration.decide import Restored, decide
from steps.kubernetes.restoration.rules import Known, Option
from tests.e2e.site import Site, kubectl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

OBJECTS = Path(__file__).with_name("objects.yaml").read_text()
OPTIONS = (Option.KEEP_NODE_PORTS, Option.KEEP_VOLUMES)
KINDS = 30
# For the claim of the copy.
VOLUME = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: COPY}
spec:
  capacity: {storage: 10Mi}
  accessModes: [ReadWriteOnce]
  storageClassName: NAME
  hostPath: {path: /tmp/COPY}
"""
_SECONDS = 120
_VOLUME = "{.metadata.name}={.spec.volumeMode}"


@pytest.fixture
def name() -> Iterator[str]:
    """Create the objects; their namespace has this name, which the names of the others begin with."""
    name = f"restore-{secrets.token_hex(3)}"
    image = Site.from_environment().image
    text = OBJECTS.replace("NAME", name).replace("IMAGE", image)
    definitions, rest = text.split("---\napiVersion: v1\nkind: Namespace", 1)
    apply(definitions)
    kubectl(
        "wait",
        "--for=condition=Established",
        "crd",
        f"shops.{name}.example.com",
        f"regions.{name}.example.com",
    )
    apply(f"apiVersion: v1\nkind: Namespace{rest}")
    wait_for_workloads(name)
    yield name
    if not os.environ.get("E2E_KEEP"):
        delete(name, name, f"{name}-copy")


def apply(text: str) -> None:
    kubectl("apply", "--server-side", "-f", "-", stdin=text)


def eventually(check: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _SECONDS
    while not check():
        assert time.monotonic() < end, what
        time.sleep(0.5)


def wait_for_workloads(namespace: str) -> None:
    for workload in ("deployment/web", "statefulset/db", "daemonset/agent"):
        kubectl("rollout", "status", workload, "-n", namespace, f"--timeout={_SECONDS}s")
    kubectl("wait", "--for=condition=Ready", "pod/alone", "-n", namespace, f"--timeout={_SECONDS}s")

    def active() -> bool:
        return kubectl("get", "job/running", "-n", namespace, "-o", "jsonpath={.status.ready}") == "1"

    eventually(active, "the Job does not run")


def resources(*, namespaced: bool) -> list[str]:
    arguments = ("--verbs=list,create", "-o", "name", f"--namespaced={str(namespaced).lower()}")
    return sorted(set(kubectl("api-resources", *arguments).split()) - {"events", "events.events.k8s.io"})


def dump(name: str, namespace: str) -> dict[str, str]:
    """Return files as backup tools write them: some with one object, some with a List."""
    files = {}
    for resource in resources(namespaced=True):
        found = kubectl("get", resource, "-n", namespace, "-o", "name").split()
        if resource in {"deployments.apps", "services", "configmaps", "statefulsets.apps"}:
            for one in found:
                file = f"{namespace}/{one.replace('/', '_')}.yaml"
                files[file] = kubectl("get", one, "-n", namespace, "-o", "yaml")
        elif found:
            how = "json" if resource == "secrets" else "yaml"
            files[f"{namespace}/{resource}.{how}"] = kubectl("get", resource, "-n", namespace, "-o", how)
    for resource in resources(namespaced=False):
        found = [one for one in kubectl("get", resource, "-o", "name").split() if name in one]
        if found:
            files[f"cluster/{resource}.yaml"] = kubectl("get", *found, "-o", "yaml")
    return files


def normal_forms(files: dict[str, str]) -> dict[Identity, Any]:
    """Return what of each object restore would write."""
    found = [one for text in files.values() for one in read_objects(text.encode())]
    services = {
        (one.identity.namespace, one.identity.name)
        for one in found
        if one.identity.kind == "Service" and mapping(one.data["spec"]).get("selector")
    }
    decisions = [(one, decide(one, Known(services), OPTIONS, {})) for one in found]
    return {one.identity: d.applied_to(one.data) for one, d in decisions if isinstance(d, Restored)}


def delete(name: str, *namespaces: str) -> None:
    """Delete the namespaces and all objects of the cluster with this name."""
    for resource in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations"):
        if found := [one for one in kubectl("get", resource, "-o", "name").split() if name in one]:
            kubectl("delete", *found)
    for namespace in namespaces:
        shops = f"shops.{name}.example.com"
        if shops in kubectl("get", "crd", "-o", "name"):
            for shop in kubectl("get", shops, "-n", namespace, "-o", "name").split():
                kubectl(
                    "patch", shop, "-n", namespace, "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
                )
        kubectl("delete", "namespace", namespace, "--ignore-not-found", f"--timeout={_SECONDS}s")
    found = [
        one
        for resource in resources(namespaced=False)
        for one in kubectl("get", resource, "-o", "name").split()
        if name in one
    ]
    if found:
        kubectl("delete", *found, "--ignore-not-found", f"--timeout={_SECONDS}s")


def restore(sync: Sync, *arguments: str) -> str:
    """Restore from the repository of the sync."""
    settings = {key: value for key, value in sync.settings.items() if key.startswith(("GIT_", "LOG_"))}
    done = subprocess.run(
        [sys.executable, "-m", "steps", "restore", "--cluster", "east", *arguments],
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


def versions(namespace: str) -> dict[str, str]:
    """Return the generation of every object of the namespace, or else its resource version."""
    lines = kubectl(
        *("get", "deployments,statefulsets,services,configmaps,secrets,roles,rolebindings,pvc,jobs,cronjobs"),
        *("-n", namespace, "-o"),
        "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.metadata.generation}{'\\n'}"
        "{end}",
    )
    return {line.partition(" ")[0]: line for line in lines.splitlines()}


@pytest.mark.parametrize("volatile", ["keep", "strip"])
def test_a_deleted_namespace_with_30_kinds_comes_back(
    volatile: str, name: str, sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    before = dump(name, name)
    expected = normal_forms(before)
    assert len({(identity.group, identity.kind) for identity in expected}) >= KINDS
    bucket.put_many({f"clusterbackup/east/{path}": text.encode() for path, text in before.items()})
    assert sync(VOLATILE_FIELDS=volatile).exit == 0
    delete(name, name)

    printed = restore(sync, *OPTIONS, "--output", str(tmp_path / "restored"))
    assert "skipped" in printed
    output = run(tmp_path / "restored" / "apply.sh")
    # Without its status, a finished Job is not known as finished.
    assert output.count("serverside-applied") == len(expected) + (volatile == "strip")
    wait_for_workloads(name)
    block = kubectl("get", "pvc/block", "-n", name, "-o", f"jsonpath={_VOLUME}")
    assert block == "block=Block"
    eventually(lambda: "Bound" in kubectl("get", "pvc/data", "-n", name), "the claim is not bound")
    after = normal_forms(dump(name, name))
    assert {key: after.get(key) for key in expected} == expected
    assert not {key.kind for key in after.keys() - expected.keys()} - {"Job"}

    first = versions(name)
    again = run(tmp_path / "restored" / "apply.sh")
    assert again == output
    assert versions(name) == first
    stages = [f"--filename={stage}" for stage in sorted((tmp_path / "restored").glob("0*"))]
    assert run("kubectl", "diff", "--server-side", "--recursive", *stages) == ""


def test_a_mapped_namespace_runs_beside_the_original(
    name: str, sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    before = dump(name, name)
    bucket.put_many({f"clusterbackup/east/{path}": text.encode() for path, text in before.items()})
    assert sync().exit == 0
    original = versions(name)

    copy, output = f"{name}-copy", tmp_path / "copy"
    mapping_ = ("--namespace", name, "--map-namespace", f"{name}={copy}")
    assert f".{name}.svc" in restore(sync, *mapping_, "--output", str(output))
    apply(VOLUME.replace("COPY", copy).replace("NAME", name))
    run(output / "apply.sh")
    wait_for_workloads(copy)
    assert versions(name) == original
    subject = kubectl("get", "rolebinding/ci", "-n", copy, "-o", "jsonpath={.subjects[0].namespace}")
    assert subject == copy
