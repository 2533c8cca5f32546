"""git-sync installed in a separate namespace, from the published manifests."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.e2e.site import Site, argo, kubectl
from tests.support.bucket import Bucket
from tests.support.repositories import contents, git, log, message
from workflows.__main__ import MANIFESTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NEVER = "0 0 1 1 *"
_DONE = {"Succeeded", "Failed", "Error"}
_TIMEOUT_SECONDS = 600

Document = dict[str, Any]


@dataclass(frozen=True)
class Node:
    """One node of a workflow, usually a pod."""

    id: str
    template: str
    type: str
    phase: str
    exit: int | None
    message: str
    started: str
    finished: str
    name: str
    label: str  # the input parameter `shard`: the label of a download's shard


@dataclass(frozen=True)
class Run:
    """A snapshot of a workflow."""

    document: Document

    @property
    def name(self) -> str:
        name: str = self.document["metadata"]["name"]
        return name

    @property
    def phase(self) -> str:
        return str(self.document.get("status", {}).get("phase", ""))

    @cached_property
    def nodes(self) -> list[Node]:
        """The nodes in the order of their start."""
        found = [
            Node(
                id=node["id"],
                template=node.get("templateName", ""),
                type=node["type"],
                phase=node["phase"],
                exit=int(code) if (code := node.get("outputs", {}).get("exitCode")) else None,
                message=node.get("message", ""),
                started=node.get("startedAt") or "",
                finished=node.get("finishedAt") or "",
                name=node["displayName"],
                label=next(
                    (
                        parameter.get("value", "")
                        for parameter in node.get("inputs", {}).get("parameters", [])
                        if parameter["name"] == "shard"
                    ),
                    "",
                ),
            )
            for node in self.document.get("status", {}).get("nodes", {}).values()
        ]
        return sorted(found, key=lambda node: (node.started, node.name))

    def pods(self, template: str) -> list[Node]:
        """Return the pods of a step, with one pod per attempt."""
        return [node for node in self.nodes if node.type == "Pod" and node.template == template]

    def exits(self, template: str) -> list[int | None]:
        """Return the exit codes of the attempts of a step."""
        return [node.exit for node in self.pods(template)]


@dataclass
class Installation:
    """A namespace with git-sync in it, a bucket and a repository."""

    site: Site
    directory: Path
    overlay: str = "central"
    components: Sequence[str] = ()
    settings: dict[str, str] = field(default_factory=dict)
    namespace: str = field(default_factory=lambda: f"e2e-{secrets.token_hex(4)}")

    @cached_property
    def bucket(self) -> Bucket:
        """The bucket with the backups, created at the first use."""
        bucket = Bucket(self.site.s3, f"backups-{self.namespace}")
        bucket.request("PUT")
        return bucket

    @cached_property
    def artifacts(self) -> Bucket:
        """The bucket with Argo's artifacts of this namespace."""
        bucket = Bucket(self.site.s3, f"artifacts-{self.namespace}")
        bucket.request("PUT")
        return bucket

    def faults(self, *rules: Mapping[str, object]) -> None:
        """Use the fault proxy for the bucket; call it before `install`."""
        self._create_namespace()
        script = Path(__file__).with_name("fault_proxy.py").read_text()
        config = {"kind": "ConfigMap", "metadata": {"name": "faults"}, "data": {"fault_proxy.py": script}}
        security = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        pod = {
            "kind": "Pod",
            "metadata": {"name": "faults"},
            "spec": {
                "containers": [
                    {
                        "name": "proxy",
                        "image": self.site.image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["python3", "/script/fault_proxy.py"],
                        "env": [
                            {"name": "UPSTREAM", "value": self.site.s3_from_pods},
                            {"name": "RULES", "value": json.dumps(rules)},
                        ],
                        "securityContext": security,
                        "volumeMounts": [{"name": "script", "mountPath": "/script"}],
                        "readinessProbe": {"tcpSocket": {"port": 9000}, "periodSeconds": 1},
                    }
                ],
                "volumes": [{"name": "script", "configMap": {"name": "faults"}}],
                "terminationGracePeriodSeconds": 0,
            },
        }
        self.apply(config, pod)
        kubectl("-n", self.namespace, "wait", "pod/faults", "--for=condition=Ready", "--timeout=120s")
        address = kubectl("-n", self.namespace, "get", "pod", "faults", "-o", "jsonpath={.status.podIP}")
        self.settings["MINIO_ENDPOINT"] = f"{address}:9000"

    def _create_namespace(self) -> None:
        label = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.apply({"kind": "Namespace", "metadata": {"name": self.namespace, "labels": label}})

    def install(self, **settings: str) -> None:
        """Install as docs/install.md describes; without a schedule setting no schedule fires."""
        self.site.create_repository(self.namespace)
        defaults = {
            "IMAGE": self.site.image,
            "VOLUME_SIZE": "1Gi",
            "SYNC_SCHEDULE": NEVER,
            "VERIFY_SCHEDULE": NEVER,
            "MINIO_ENDPOINT": self.site.s3_from_pods,
            "MINIO_BUCKET": self.bucket.name,
            "MINIO_USE_SSL": "false",
            "GIT_REPOSITORY": f"{self.site.git_from_pods}/{self.namespace}.git",
            "GIT_ALLOW_HTTP": str(self.site.git_from_pods.startswith("http:")).lower(),
        }
        self.configure(**(defaults | self.settings | settings))
        self._secret(
            "git-sync-minio", **{"access-key": "minio-reader", "secret-key": self.site.s3.secret_key}
        )
        self._secret("git-sync-secrets", **{"git-token": self.site.git_token})
        if self.overlay != "cronjob":
            self._keep_artifacts()

    def configure(self, **settings: str) -> None:
        """Edit settings.yaml of the overlay and apply it."""
        self.settings |= settings
        overlay = self.directory / "overlay"
        overlay.mkdir(exist_ok=True)
        source = MANIFESTS / "overlays" / self.overlay
        text = (source / "settings.yaml").read_text()
        for name, value in self.settings.items():
            line = f"  {name}: {json.dumps(value)}".replace("\\", "\\\\")
            text, found = re.subn(rf"^  {name}: .*$", line, text, flags=re.MULTILINE)
            assert found == 1, name
        (overlay / "settings.yaml").write_text(text)
        kustomization = (source / "kustomization.yaml").read_text()
        kustomization = kustomization.replace("namespace: backup-system", f"namespace: {self.namespace}")
        added = "".join(f"- ../../components/{name}\n" for name in self.components)
        kustomization = kustomization.replace("components:\n", f"components:\n{added}")
        relative = os.path.relpath(MANIFESTS, overlay)  # kustomize does not accept absolute paths
        (overlay / "kustomization.yaml").write_text(kustomization.replace("../..", relative))
        kubectl("apply", "-k", str(overlay))

    def _secret(self, name: str, **data: str) -> None:
        self.apply({"kind": "Secret", "metadata": {"name": name}, "stringData": data})

    def _keep_artifacts(self) -> None:
        """Configure a separate artifact repository for the namespace."""
        self._secret("artifacts", key="argo-artifacts", secret=self.site.s3.secret_key)
        repository = {
            "archiveLogs": False,
            "s3": {
                "bucket": self.artifacts.name,
                "endpoint": self.site.s3_from_pods,
                "insecure": True,
                "accessKeySecret": {"name": "artifacts", "key": "key"},
                "secretKeySecret": {"name": "artifacts", "key": "secret"},
            },
        }
        self.apply(
            {
                "kind": "ConfigMap",
                "metadata": {
                    "name": "artifact-repositories",
                    "annotations": {"workflows.argoproj.io/default-artifact-repository": "default"},
                },
                "data": {"default": json.dumps(repository)},
            }
        )

    def apply(self, *documents: Document) -> None:
        """Apply objects of the core API to the namespace."""
        for document in documents:
            place = [] if document["kind"] == "Namespace" else ["-n", self.namespace]
            kubectl("apply", *place, "-f", "-", stdin=json.dumps({"apiVersion": "v1", **document}))

    # -- runs -------------------------------------------------------------------------------------

    def submit(self, **parameters: str) -> str:
        """Run `argo submit --from workflowtemplate/git-sync -p …`; return the name of the workflow."""
        given = [
            word for name, value in parameters.items() for word in ("-p", f"{name.replace('_', '-')}={value}")
        ]
        return argo(
            *("submit", "-n", self.namespace, "--from", "workflowtemplate/git-sync", "-o", "name", *given)
        ).strip()

    def sync(self, **parameters: str) -> Run:
        """Submit a workflow and wait for its end."""
        return self.wait(self.submit(**parameters))

    def run(self, name: str) -> Run:
        """Return the current state of a workflow."""
        return Run(json.loads(kubectl("-n", self.namespace, "get", "workflow", name, "-o", "json")))

    def wait(self, name: str, timeout_seconds: int = _TIMEOUT_SECONDS) -> Run:
        """Return the workflow after its end."""
        return self.until(name, lambda run: run.phase in _DONE and self._is_settled(run), timeout_seconds)

    @staticmethod
    def _is_settled(run: Run) -> bool:
        labels: dict[str, str] = run.document["metadata"].get("labels", {})
        return labels.get("workflows.argoproj.io/completed") == "true"

    def until(self, name: str, condition: Any, timeout_seconds: int = _TIMEOUT_SECONDS) -> Run:
        """Return the workflow as soon as it fulfils the condition."""
        deadline = time.monotonic() + timeout_seconds
        while not condition(run := self.run(name)):
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} is {run.phase}:\n{self.describe(run)}")
            time.sleep(1)
        return run

    def describe(self, run: Run) -> str:
        """Return nodes and logs for an error message."""
        nodes = "\n".join(f"{n.type} {n.name}: {n.phase} {n.exit} {n.message}" for n in run.nodes)
        return f"{nodes}\n{self.log_text(run)}"

    def log_text(self, run: Run) -> str:
        """Return the logs of the main containers as `kubectl logs` prints them, with executor lines."""
        return kubectl(
            *("-n", self.namespace, "logs", "--container=main", "--tail=-1", "--max-log-requests=100"),
            f"--selector=workflows.argoproj.io/workflow={run.name}",
        )

    def log(self, run: Run, operation: str) -> list[Document]:
        """Return git-sync's log lines of one operation."""
        lines = [json.loads(line) for line in self.log_text(run).splitlines() if line.startswith("{")]
        return [line for line in lines if line["operation"] == operation]

    def fetched(self, run: Run) -> int:
        """Return the number of objects that the run has fetched."""
        return sum(line["data"]["fetched"] for line in self.log(run, "download") if "fetched" in line["data"])

    # -- results ----------------------------------------------------------------------------------

    def repository(self) -> Path:
        """Return a new bare clone of the repository."""
        where = urlsplit(self.site.git)
        url = where._replace(netloc=f"e2e:{self.site.git_token}@{where.netloc}").geturl()
        clone = self.directory / f"clone-{secrets.token_hex(4)}.git"
        git(self.directory, "clone", "--quiet", "--mirror", f"{url}/{self.namespace}.git", str(clone))
        return clone

    def contents(self, branch: str = "main") -> dict[str, bytes]:
        """Return every file of a branch."""
        return contents(self.repository(), branch)

    def objects(self) -> dict[str, bytes]:
        """Return every object of the bucket."""
        return {key: self.bucket.minio.get_object(self.bucket.name, key).data for key in self.bucket.keys()}  # noqa: SIM118 - Bucket is not a mapping

    def commits(self, branch: str = "main") -> int:
        """Return the number of commits of a branch."""
        return len(log(self.repository(), branch))

    def message(self, branch: str = "main") -> str:
        """Return the message of the newest commit."""
        return message(self.repository(), branch)

    def claims(self, run: Run) -> list[str]:
        """Return the volumes of the run that still exist."""
        found = json.loads(kubectl("-n", self.namespace, "get", "pvc", "-o", "json"))["items"]
        owners = [(owner["name"], claim) for claim in found for owner in claim["metadata"]["ownerReferences"]]
        return [claim["metadata"]["name"] for owner, claim in owners if owner == run.name]

    def state(self) -> Document:
        """Return sync-metadata.json, which the report step stores for the next run."""
        (key,) = [key for key in self.artifacts.keys() if key.endswith("/sync-metadata.json")]  # noqa: SIM118
        state = json.loads(self.artifacts.minio.get_object(self.artifacts.name, key).data)
        assert isinstance(state, dict)
        return state

    def remove(self) -> None:
        """Delete the namespace, without waiting."""
        kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false")
