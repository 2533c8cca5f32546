"""The tables of restore: each row has an example that it applies to, and one beside it."""

# ruff: noqa: E501 - each object is one line

from __future__ import annotations

from typing import Any

import pytest
import yaml

from steps.kubernetes.fields import written_path
from steps.kubernetes.objects import KubernetesObject, read_objects
from steps.kubernetes.restoration.decide import Restored, Skipped, decide
from steps.kubernetes.restoration.rules import CUTS, KEPT, SKIPS, Cut, Known, Option, Skip

RBAC = "rbac.authorization.k8s.io/v1"


def make(text: str) -> KubernetesObject:
    """Return an object from flow style; it gets a name unless it has one."""
    data = yaml.load(text, Loader=yaml.SafeLoader)
    data.setdefault("apiVersion", "v1")
    data.setdefault("metadata", {}).setdefault("name", "a")
    data["metadata"].setdefault("namespace", "shop")
    (one,) = read_objects(yaml.safe_dump(data).encode())
    return one


def removed(one: KubernetesObject, *options: Option) -> set[str]:
    found = decide(one, Known(), options, {})
    assert isinstance(found, Restored), found
    return set(map(written_path, found.removed))


# By the fields of the row: an object, and what is removed from it. Objects have neighbours that stay.
REMOVED: dict[str, list[tuple[str, set[str]]]] = {
    "metadata.deletionTimestamp metadata.deletionGracePeriodSeconds": [
        (
            "{kind: ConfigMap, metadata: {deletionTimestamp: x, deletionGracePeriodSeconds: 0, labels: {a: b}}}",
            {"metadata.deletionTimestamp", "metadata.deletionGracePeriodSeconds"},
        )
    ],
    "metadata.generateName": [
        ("{kind: ConfigMap, metadata: {generateName: a-, name: a-x}}", {"metadata.generateName"})
    ],
    "metadata.ownerReferences": [
        ("{kind: ConfigMap, metadata: {ownerReferences: [{name: x, uid: u}]}}", {"metadata.ownerReferences"})
    ],
    "metadata.finalizers[*]": [
        (
            "{kind: ConfigMap, metadata: {finalizers: [foregroundDeletion, example.com/mine, orphan]}}",
            {"metadata.finalizers[0]", "metadata.finalizers[2]"},
        ),
        (
            "{kind: PersistentVolumeClaim, metadata: {finalizers: [kubernetes.io/pvc-protection]}}",
            {"metadata.finalizers"},
        ),
        ("{kind: ConfigMap, metadata: {finalizers: [example.com/mine]}}", set()),
    ],
    "spec.clusterIP spec.clusterIPs": [
        (
            "{kind: Service, spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], ipFamilies: [IPv4]}}",
            {"spec.clusterIP", "spec.clusterIPs"},
        ),
        ("{kind: Service, spec: {clusterIP: None, clusterIPs: [None], ipFamilies: [IPv4]}}", set()),
        ("{kind: Service, spec: {type: ExternalName, clusterIP: ''}}", set()),
    ],
    "spec.ports[*].nodePort spec.healthCheckNodePort": [
        (
            "{kind: Service, spec: {ports: [{port: 1}, {port: 2, nodePort: 30000}], healthCheckNodePort: 3}}",
            {"spec.ports[1].nodePort", "spec.healthCheckNodePort"},
        )
    ],
    "spec.volumeName": [
        ("{kind: PersistentVolumeClaim, spec: {volumeName: pv, volumeMode: Block}}", {"spec.volumeName"})
    ],
    "metadata.annotations[pv.kubernetes.io/*]": [
        (
            (
                "{kind: PersistentVolumeClaim, metadata: {annotations: "
                "{pv.kubernetes.io/bind-completed: 'yes', pv.kubernetes.io/bound-by-controller: 'yes', a: b}}}"
            ),
            {
                "metadata.annotations[pv.kubernetes.io/bind-completed]",
                "metadata.annotations[pv.kubernetes.io/bound-by-controller]",
            },
        )
    ],
    "metadata.annotations[volume.beta.kubernetes.io/storage-provisioner] "
    "metadata.annotations[volume.kubernetes.io/storage-provisioner] "
    "metadata.annotations[volume.kubernetes.io/selected-node]": [
        (
            (
                "{kind: PersistentVolumeClaim, metadata: {annotations: "
                "{volume.kubernetes.io/selected-node: n, volume.kubernetes.io/storage-provisioner: p}}}"
            ),
            {"metadata.annotations"},
        )
    ],
    "spec.claimRef.uid spec.claimRef.resourceVersion": [
        (
            "{kind: PersistentVolume, spec: {claimRef: {name: a, namespace: b, uid: u, resourceVersion: '1'}}}",
            {"spec.claimRef.uid", "spec.claimRef.resourceVersion"},
        )
    ],
    "spec.selector metadata.labels[controller-uid] metadata.labels[batch.kubernetes.io/controller-uid] "
    "spec.template.metadata.labels[controller-uid] "
    "spec.template.metadata.labels[batch.kubernetes.io/controller-uid]": [
        (
            (
                "{kind: Job, apiVersion: batch/v1, metadata: {labels: {controller-uid: u}}, spec: {selector: "
                "{matchLabels: {batch.kubernetes.io/controller-uid: u}}, template: {metadata: {labels: "
                "{batch.kubernetes.io/controller-uid: u, controller-uid: u, job-name: a}}}}}"
            ),
            {
                "metadata.labels",
                "spec.selector",
                "spec.template.metadata.labels[batch.kubernetes.io/controller-uid]",
                "spec.template.metadata.labels.controller-uid",
            },
        ),
        (
            "{kind: Job, apiVersion: batch/v1, spec: {manualSelector: true, selector: {matchLabels: {a: b}}}}",
            set(),
        ),
    ],
    "metadata.labels[controller-uid] metadata.labels[batch.kubernetes.io/controller-uid]": [
        ("{kind: Pod, metadata: {labels: {controller-uid: u, app: a}}}", {"metadata.labels.controller-uid"})
    ],
    "spec.nodeName": [("{kind: Pod, spec: {nodeName: n, hostname: h}}", {"spec.nodeName"})],
    "spec.priority": [("{kind: Pod, spec: {priority: 0, priorityClassName: p}}", {"spec.priority"})],
    "spec.ephemeralContainers": [
        (
            "{kind: Pod, spec: {ephemeralContainers: [{name: e}], containers: [{name: c}]}}",
            {"spec.ephemeralContainers"},
        )
    ],
    "spec.volumes[*]": [
        (
            (
                "{kind: Pod, spec: {volumes: [{name: data, secret: {}}, {name: kube-api-access-x7q2z, projected: {}},"
                " {name: default-token-bcdfg, secret: {}}, {name: a-token-bcdfg, emptyDir: {}}]}}"
            ),
            {"spec.volumes[1]", "spec.volumes[2]"},
        ),
        (
            "{kind: Pod, spec: {volumes: [{name: kube-api-access-x7q2z, projected: {}}], a: 1}}",
            {"spec.volumes"},
        ),
    ],
    "spec.containers[*].volumeMounts[*] spec.initContainers[*].volumeMounts[*]": [
        (
            (
                "{kind: Pod, spec: {containers: [{name: c, volumeMounts: [{name: data, mountPath: /data},"
                " {name: kube-api-access-x7q2z, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]}]}}"
            ),
            {"spec.containers[0].volumeMounts[1]"},
        )
    ],
    "data[token] data[ca.crt] data[namespace] metadata.annotations[kubernetes.io/service-account.uid]": [
        (
            (
                "{kind: Secret, type: kubernetes.io/service-account-token, data: {token: x, ca.crt: x, namespace: x},"
                " metadata: {annotations: {kubernetes.io/service-account.name: ci, kubernetes.io/service-account.uid: u}}}"
            ),
            {"data", "metadata.annotations[kubernetes.io/service-account.uid]"},
        ),
        ("{kind: Secret, type: Opaque, data: {token: x}}", set()),
    ],
    "secrets[*] imagePullSecrets[*]": [
        (
            (
                "{kind: ServiceAccount, metadata: {name: ci}, secrets: [{name: ci-token-bcdfg}, {name: mine}],"
                " imagePullSecrets: [{name: ci-dockercfg-bcdfg}]}"
            ),
            {"secrets[0]", "imagePullSecrets"},
        ),
        ("{kind: ServiceAccount, metadata: {name: ci}, secrets: [{name: x-token-bcdfg}, {name: t}]}", set()),
    ],
    "rules": [
        (
            f"{{kind: ClusterRole, apiVersion: {RBAC}, aggregationRule: {{clusterRoleSelectors: []}}, rules: []}}",
            {"rules"},
        ),
        (f"{{kind: ClusterRole, apiVersion: {RBAC}, rules: [{{verbs: [get]}}]}}", set()),
    ],
}
_WITH = {"PersistentVolume.": (Option.KEEP_VOLUMES,)}


@pytest.mark.parametrize("row", CUTS, ids=lambda row: row.written)
def test_each_cut_removes_its_fields_and_no_others(row: Cut) -> None:
    for text, expected in REMOVED[row.written]:
        assert removed(make(text), *_WITH.get(row.kinds[0], ())) == expected, text


@pytest.mark.parametrize("row", [row for row in CUTS if row.unless], ids=lambda row: row.written)
def test_an_option_cancels_a_cut(row: Cut) -> None:
    assert row.unless is not None
    assert removed(make(REMOVED[row.written][0][0]), row.unless) == set()


def test_every_example_belongs_to_a_row() -> None:
    assert REMOVED.keys() == {row.written for row in CUTS}


KEPT_EXAMPLES = {
    "metadata.finalizers": "{kind: ConfigMap, metadata: {finalizers: [example.com/mine]}}",
    "spec.clusterIP: None": "{kind: Service, spec: {clusterIP: None}}",
    "spec.ipFamilies": "{kind: Service, spec: {ipFamilies: [IPv6, IPv4], ipFamilyPolicy: RequireDualStack}}",
    "spec.sessionAffinity": "{kind: Service, spec: {sessionAffinity: ClientIP}}",
    "spec.volumeMode": "{kind: PersistentVolumeClaim, spec: {volumeMode: Block}}",
    "spec.dataSource": "{kind: PersistentVolumeClaim, spec: {dataSource: {name: snapshot}}}",
    "spec.**.serviceAccountName": "{kind: Pod, spec: {serviceAccountName: ci, serviceAccount: ci}}",
    "spec.**.securityContext": "{kind: Job, apiVersion: batch/v1, spec: {template: {spec: {securityContext: "
    "{runAsUser: 1}, containers: [{name: a, securityContext: {privileged: false}}]}}}}",
    "spec.**.restartPolicy": "{kind: Job, apiVersion: batch/v1, spec: {template: {spec: {restartPolicy: Never}}}}",
    "**.caBundle": "{kind: ValidatingWebhookConfiguration, apiVersion: admissionregistration.k8s.io/v1, "
    "webhooks: [{clientConfig: {caBundle: eA==}}]}",
}


@pytest.mark.parametrize("row", KEPT, ids=lambda row: row.field)
def test_fields_that_other_tools_remove_are_kept(row: Any) -> None:
    assert removed(make(KEPT_EXAMPLES[row.field])) == set()


# By the first kind and what the row says: objects that are skipped, and objects beside them that are not.
SKIPPED: dict[tuple[str, str], tuple[list[str], list[str]]] = {
    ("*", "redacted values"): (
        [
            f"{{kind: Secret, data: {{password: 'redacted:{'0123456789abcdef' * 2}'}}}}",
            f"{{kind: Database, apiVersion: example.com/v1, spec: {{users: [{{key: 'redacted:{'a' * 32}'}}]}}}}",
        ],
        [
            "{kind: Secret, data: {password: 'redacted:x'}}",
            f"{{kind: Secret, data: {{password: '{'a' * 32}'}}}}",
        ],
    ),
    ("Event.", ""): (
        ["{kind: Event}", "{kind: Lease, apiVersion: coordination.k8s.io/v1}"],
        ["{kind: Event, apiVersion: argoproj.io/v1}", "{kind: Lease, apiVersion: example.com/v1}"],
    ),
    ("Node.", ""): (
        ["{kind: Node}", "{kind: CSINode, apiVersion: storage.k8s.io/v1}"],
        ["{kind: Node, apiVersion: longhorn.io/v1}"],
    ),
    ("VolumeAttachment.storage.k8s.io", ""): (
        ["{kind: VolumeAttachment, apiVersion: storage.k8s.io/v1}"],
        [],
    ),
    ("ControllerRevision.apps", ""): (["{kind: ControllerRevision, apiVersion: apps/v1}"], []),
    ("IPAddress.networking.k8s.io", ""): (
        ["{kind: IPAddress, apiVersion: networking.k8s.io/v1}"],
        ["{kind: IPAddress, apiVersion: metallb.io/v1}"],
    ),
    ("ServiceCIDR.networking.k8s.io", "named `kubernetes`"): (
        ["{kind: ServiceCIDR, apiVersion: networking.k8s.io/v1, metadata: {name: kubernetes}}"],
        ["{kind: ServiceCIDR, apiVersion: networking.k8s.io/v1, metadata: {name: more}}"],
    ),
    ("*Review.authentication.k8s.io", ""): (
        [
            "{kind: PodMetrics, apiVersion: metrics.k8s.io/v1beta1}",
            "{kind: TokenReview, apiVersion: authentication.k8s.io/v1}",
            "{kind: SubjectAccessReview, apiVersion: authorization.k8s.io/v1}",
            "{kind: ComponentStatus}",
        ],
        ["{kind: Review, apiVersion: example.com/v1}"],
    ),
    ("CertificateSigningRequest.certificates.k8s.io", ""): (
        ["{kind: CertificateSigningRequest, apiVersion: certificates.k8s.io/v1}"],
        [],
    ),
    ("StorageVersion.internal.apiserver.k8s.io", ""): (
        ["{kind: StorageVersion, apiVersion: internal.apiserver.k8s.io/v1alpha1}"],
        [],
    ),
    ("Service.", "`default/kubernetes`"): (
        [
            "{kind: Service, metadata: {name: kubernetes, namespace: default}}",
            "{kind: Endpoints, metadata: {name: kubernetes, namespace: default}}",
        ],
        ["{kind: Service, metadata: {name: kubernetes}}"],
    ),
    ("Endpoints.", "of a Service with a selector"): (
        [
            "{kind: Endpoints, metadata: {name: selected}}",
            (
                "{kind: EndpointSlice, apiVersion: discovery.k8s.io/v1, metadata: {name: selected-x,"
                " labels: {kubernetes.io/service-name: selected}}}"
            ),
            (
                "{kind: EndpointSlice, apiVersion: discovery.k8s.io/v1, metadata: {labels: "
                "{endpointslice.kubernetes.io/managed-by: endpointslicemirroring-controller.k8s.io}}}"
            ),
        ],
        [
            "{kind: Endpoints, metadata: {name: external}}",
            "{kind: Endpoints, metadata: {name: selected, namespace: other}}",
            (
                "{kind: EndpointSlice, apiVersion: discovery.k8s.io/v1, metadata: {name: e,"
                " labels: {kubernetes.io/service-name: external}}}"
            ),
        ],
    ),
    ("ConfigMap.", "`kube-root-ca.crt`, `openshift-service-ca.crt`"): (
        ["{kind: ConfigMap, metadata: {name: kube-root-ca.crt}}"],
        ["{kind: ConfigMap, metadata: {name: root-ca.crt}}"],
    ),
    (
        "ConfigMap.",
        (
            "`kube-system/extension-apiserver-authentication`, "
            "`kube-system/kube-apiserver-legacy-service-account-token-tracking`"
        ),
    ): (
        ["{kind: ConfigMap, metadata: {name: extension-apiserver-authentication, namespace: kube-system}}"],
        ["{kind: ConfigMap, metadata: {name: extension-apiserver-authentication}}"],
    ),
    ("Secret.", "generated tokens"): (
        [
            (
                "{kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: ci-token-x7q2z,"
                " annotations: {kubernetes.io/service-account.name: ci}}}"
            ),
            (
                "{kind: Secret, type: kubernetes.io/dockercfg, metadata: {name: ci-dockercfg-x7q2z,"
                " annotations: {openshift.io/token-secret.name: ci-token-bcdfg}}}"
            ),
        ],
        [
            (
                "{kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: ci-token,"
                " annotations: {kubernetes.io/service-account.name: ci}}}"
            ),
            "{kind: Secret, type: Opaque, metadata: {name: t}}",
            "{kind: Secret, metadata: {name: ci-token-x7q2z}}",
        ],
    ),
    ("Pod.", "mirror pods"): (
        ["{kind: Pod, metadata: {annotations: {kubernetes.io/config.mirror: x}}}"],
        ["{kind: Pod}"],
    ),
    ("Pod.", "finished"): (
        [
            "{kind: Pod, status: {phase: Succeeded}}",
            "{kind: Pod, status: {phase: Failed}}",
            "{kind: Job, apiVersion: batch/v1, status: {conditions: [{type: Complete, status: 'True'}]}}",
            "{kind: Job, apiVersion: batch/v1, status: {conditions: [{type: Failed, status: 'True'}]}}",
        ],
        [
            "{kind: Pod, status: {phase: Running}}",
            "{kind: Job, apiVersion: batch/v1, status: {conditions: [{type: Suspended, status: 'True'}]}}",
            "{kind: Job, apiVersion: batch/v1}",
        ],
    ),
    ("PersistentVolume.", ""): (["{kind: PersistentVolume}"], []),
    ("*.rbac.authorization.k8s.io", "label `kubernetes.io/bootstrapping`"): (
        [
            (
                f"{{kind: ClusterRole, apiVersion: {RBAC}, metadata: {{labels: "
                "{kubernetes.io/bootstrapping: rbac-defaults}}}"
            )
        ],
        [f"{{kind: ClusterRole, apiVersion: {RBAC}, metadata: {{name: 'system:mine'}}}}"],
    ),
    ("PriorityClass.scheduling.k8s.io", "named `system-*`"): (
        ["{kind: PriorityClass, apiVersion: scheduling.k8s.io/v1, metadata: {name: system-node-critical}}"],
        ["{kind: PriorityClass, apiVersion: scheduling.k8s.io/v1, metadata: {name: high}}"],
    ),
    ("APIService.apiregistration.k8s.io", "label `kube-aggregator.kubernetes.io/automanaged`"): (
        [
            (
                "{kind: APIService, apiVersion: apiregistration.k8s.io/v1, metadata: {labels: "
                "{kube-aggregator.kubernetes.io/automanaged: onstart}}}"
            )
        ],
        ["{kind: APIService, apiVersion: apiregistration.k8s.io/v1}"],
    ),
    (
        "FlowSchema.flowcontrol.apiserver.k8s.io",
        "annotation `apf.kubernetes.io/autoupdate-spec: true`",
    ): (
        [
            (
                "{kind: FlowSchema, apiVersion: flowcontrol.apiserver.k8s.io/v1, metadata: {annotations: "
                "{apf.kubernetes.io/autoupdate-spec: 'true'}}}"
            )
        ],
        ["{kind: FlowSchema, apiVersion: flowcontrol.apiserver.k8s.io/v1}"],
    ),
    ("*", "with a controller in `ownerReferences`"): (
        [
            "{kind: ReplicaSet, apiVersion: apps/v1, metadata: {ownerReferences: [{name: x, controller: true}]}}"
        ],
        ["{kind: ReplicaSet, apiVersion: apps/v1, metadata: {ownerReferences: [{name: x}]}}"],
    ),
}
KNOWN = Known({("shop", "selected")})


@pytest.mark.parametrize("row", SKIPS, ids=lambda row: f"{row.kinds[0]} {row.what}")
def test_each_skip_has_its_objects_and_no_others(row: Skip) -> None:
    skipped, written = SKIPPED[row.kinds[0], row.what]
    for text in skipped:
        found = decide(make(text), KNOWN, (), {})
        assert found == Skipped(row.why, row.is_lost), text
        if row.unless:
            assert isinstance(decide(make(text), KNOWN, [row.unless], {}), Restored), text
    for text in written:
        assert isinstance(decide(make(text), KNOWN, (), {}), Restored), text


def test_every_skipped_example_belongs_to_a_row() -> None:
    assert SKIPPED.keys() == {(row.kinds[0], row.what) for row in SKIPS}


def test_an_owned_object_loses_its_owners() -> None:
    text = (
        "{kind: ReplicaSet, apiVersion: apps/v1, metadata: {ownerReferences: [{uid: u, controller: true}]}}"
    )
    assert removed(make(text), Option.INCLUDE_OWNED) == {"metadata.ownerReferences"}


def test_keep_volumes_keeps_the_name_of_the_volume_and_unbinds_the_claim() -> None:
    claim = make(
        "{kind: PersistentVolumeClaim, spec: {volumeName: pv}, metadata: {annotations: "
        "{pv.kubernetes.io/bind-completed: 'yes'}}}"
    )
    assert removed(claim, Option.KEEP_VOLUMES) == {"metadata.annotations"}


def test_a_short_name_of_a_secret_is_no_special_case() -> None:
    """kubectl-neat fails on names of fewer than 6 characters."""
    for name in ("a", "ab", "token", "a-token-"):
        text = f"{{kind: Secret, type: kubernetes.io/service-account-token, metadata: {{name: {name}}}}}"
        assert isinstance(decide(make(text), Known(), (), {}), Restored)
