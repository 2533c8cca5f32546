"""The demo bucket: three invented clusters on two days, the same bytes on every machine.

`before()` and `after()` map object keys to YAML as `kubectl get -o yaml` prints it. Values that vary come
from a hash of the object's identity, not from a clock or a random number. No secret here is real.
"""

import base64
import hashlib
import json
import re
import textwrap
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from string import Template
from typing import Any

Body = dict[str, Any]

CLUSTERS = ("production-east", "production-west", "staging")
FIRST_DAY, CHANGE_DAY = datetime(2023, 2, 6, tzinfo=UTC), datetime(2025, 7, 12, 9, 30, tzinfo=UTC)

# fmt: off
# The objects of an application named {0}, by sort. Other words are kinds.
BASE = "ServiceAccount:{0} ConfigMap:{0}-config "
WORKER = BASE + "Deployment:{0} Secret:{0}-credentials "
API = WORKER + "Service:{0} HorizontalPodAutoscaler:{0} PodDisruptionBudget:{0} "
RBAC = "ClusterRole:{0} ClusterRoleBinding:{0} "
SORTS = {
    "ns": "Namespace:{0} ServiceAccount:default ConfigMap:kube-root-ca.crt Role:ci RoleBinding:ci",
    "worker": WORKER,
    "api": API,
    "web": API + "Ingress:{0} Certificate:{0}-tls NetworkPolicy:{0}",
    "db": BASE + "StatefulSet:{0} Service:{0} Secret:{0}-credentials NetworkPolicy:{0} "
                 "PersistentVolumeClaim:data-{0}-0 PersistentVolumeClaim:data-{0}-1",
    "third-volume": "PersistentVolumeClaim:data-{0}-2",
    "job": "CronJob:{0} ServiceAccount:{0}",
    "rbac": RBAC,
    "agent": RBAC + BASE + "DaemonSet:{0}",
    "addon": RBAC + BASE + "Deployment:{0} Service:{0}",
}
# The applications of each cluster; everything after ns:<name> is in that namespace.
CORE = """ns:edge addon:ingress-nginx addon:cert-manager
    ns:kube-system addon:coredns rbac:cluster-admin rbac:system:admin rbac:system:kube-scheduler
    rbac:system:kube-controller-manager ClusterRole:view StorageClass:standard
    ClusterIssuer:letsencrypt CustomResourceDefinition:certificates.cert-manager.io
    CustomResourceDefinition:backups.platform.example.com"""
PRODUCTION = CORE + """ addon:metrics-server agent:kube-proxy agent:calico-node
    rbac:system:volume-scheduler rbac:system:controller:job-controller
    rbac:system:controller:node-controller rbac:system:controller:statefulset-controller
    rbac:system:controller:cronjob-controller rbac:system:controller:deployment-controller
    rbac:system:node-proxier ClusterRole:admin ClusterRole:edit StorageClass:fast-ssd
    CustomResourceDefinition:probes.monitoring.coreos.com
    ns:logging agent:fluent-bit
    ns:monitoring db:prometheus addon:grafana agent:node-exporter Probe:shop
    ns:storefront web:shop api:cart api:catalog api:search worker:mailer db:sessions
    ns:payments web:checkout db:ledger job:reconcile"""
DAY_ONE = {
    "production-east": PRODUCTION + """ worker:settlement CronJob:legacy-export
        ns:orders api:intake worker:packing db:ordering job:export job:recount
        ns:identity web:login ns:storefront job:sitemap""",
    "production-west": PRODUCTION,
    "staging": CORE + " ns:storefront web:shop api:cart ConfigMap:shop-flags-2024",
}
ADDED = {
    "production-east": "ns:loyalty api:points ns:payments third-volume:ledger",
    "production-west": "ns:storefront worker:returns job:returns-report",
    "staging": "ns:storefront worker:mailer",
}
DELETED = {
    "clusterbackup/production-east/payments/CronJob/legacy-export.yaml",
    "clusterbackup/staging/storefront/ConfigMap/shop-flags-2024.yaml",
}
IMAGE, SETTINGS = "spec/template/spec/containers/0/image", "data/settings.yaml"
# object -> field -> (old text, new text), or the new value.
MODIFIED: dict[str, Body] = {
    "production-east/storefront/Deployment/cart": {IMAGE: (":1.9.0", ":1.9.1")},
    "production-east/storefront/Deployment/catalog": {IMAGE: (":4.2.3", ":4.3.0")},
    "production-east/storefront/ConfigMap/cart-config": {SETTINGS: ("size: 20", "size: 40")},
    "production-east/storefront/HorizontalPodAutoscaler/shop": {"spec/maxReplicas": 24},
    "production-east/payments/StatefulSet/ledger": {"spec/replicas": 3, "status/replicas": 3},
    "production-east/payments/Role/ci": {"rules/0/verbs": ["get", "list", "watch"]},
    "production-east/kube-system/ConfigMap/coredns-config": {SETTINGS: ("info", "debug")},
    "production-west/storefront/Deployment/cart": {IMAGE: (":1.9.0", ":1.9.1")},
    "production-west/storefront/Ingress/shop": {"spec/rules/0/http/paths/0/path": "/shop"},
    "production-west/payments/CronJob/reconcile": {"spec/schedule": "*/20 4-6 * * *"},
    "production-west/logging/DaemonSet/fluent-bit": {IMAGE: (":1.5.8", ":1.5.9")},
    "production-west/_cluster/ClusterRole/view": {"rules/0/verbs": ["get", "list", "watch"]},
    "staging/storefront/Deployment/cart": {IMAGE: (":1.9.0", ":1.10.0-rc.1")},
    "staging/storefront/Deployment/shop": {IMAGE: (":1.13.6", ":1.14.0-rc.2")},
    "staging/storefront/ConfigMap/shop-config": {"data/LOG_LEVEL": "debug"},
}
# Kind, API version and fields in YAML flow style; a plain word ends at a bracket, a comma or ": ".
SHAPES = """
Object - {apiVersion: $api, kind: $kind, metadata: {name: $name, namespace: $ns, uid: $uid,
  resourceVersion: "$version", generation: $generation, creationTimestamp: $created, labels:
  {$labels}, annotations: {$annotation}}}
Pod - {metadata: {creationTimestamp: null, labels: {$labels}}, spec: {containers: [{name: $app,
  image: registry.example.com/$ns/$app:$tag, imagePullPolicy: IfNotPresent, args:
  [--cluster=$cluster, --log-format=json], env: [{name: NODE, valueFrom: {fieldRef: {apiVersion: v1,
  fieldPath: spec.nodeName}}}], envFrom: [{secretRef: {name: $app-credentials, optional: true}}],
  $serving resources: {limits: {memory: ${memory}Mi}, requests: {cpu: 100m, memory: 64Mi}},
  securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}},
  terminationMessagePath: /dev/termination-log, terminationMessagePolicy: File, volumeMounts:
  [{mountPath: /etc/$app, name: config}]}], dnsPolicy: ClusterFirst, restartPolicy: $restart,
  schedulerName: default-scheduler, securityContext: {runAsNonRoot: true, seccompProfile: {type:
  RuntimeDefault}}, serviceAccountName: $app, terminationGracePeriodSeconds: 30, volumes:
  [{configMap: {defaultMode: 420, name: $app-config, optional: true}, name: config}]}}
Namespace v1 {spec: {finalizers: [kubernetes]}, status: {phase: Active}}
ServiceAccount v1 {imagePullSecrets: [{name: registry-credentials}]}
ConfigMap v1 {data: {LOG_LEVEL: info, PROXY: "", NODES: "$n", settings.yaml: $settings}}
Secret v1 {type: Opaque, data: {username: $user, password: $password}}
PersistentVolumeClaim v1 {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage:
  20Gi}}, storageClassName: standard, volumeMode: Filesystem, volumeName: pvc-$uid}, status:
  {accessModes: [ReadWriteOnce], capacity: {storage: 20Gi}, phase: Bound}}
Service v1 {spec: {clusterIP: 10.96.$n.$octet, ports: [{port: 80, protocol: TCP, targetPort: http}],
  selector: {$labels}, sessionAffinity: None, type: ClusterIP}, status: {loadBalancer: {}}}
Deployment apps/v1 {spec: {replicas: $n, selector: {matchLabels: {$labels}}, strategy: {type:
  RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}, template: $pod}, status:
  {availableReplicas: $n, observedGeneration: $generation, readyReplicas: $n, replicas: $n,
  conditions: [{lastTransitionTime: $created, lastUpdateTime: $updated, message: ReplicaSet
  $app-$hash has successfully progressed., reason: NewReplicaSetAvailable, status: "True", type:
  Progressing}]}}
StatefulSet apps/v1 {spec: {replicas: 2, serviceName: $app, selector: {matchLabels: {$labels}},
  template: $pod, volumeClaimTemplates: [{apiVersion: v1, kind: PersistentVolumeClaim, metadata:
  {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 20Gi}}}}]},
  status: {observedGeneration: $generation, readyReplicas: 2, replicas: 2}}
DaemonSet apps/v1 {spec: {revisionHistoryLimit: 10, selector: {matchLabels: {$labels}}, template:
  $pod, updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1}}}, status:
  {desiredNumberScheduled: 9, numberAvailable: 9, numberReady: 9, observedGeneration: $generation}}
CronJob batch/v1 {spec: {concurrencyPolicy: Forbid, failedJobsHistoryLimit: 1, schedule: $n 2 * * *,
  successfulJobsHistoryLimit: 3, suspend: false, jobTemplate: {spec: {backoffLimit: 2, template:
  $pod}}}, status: {lastScheduleTime: $updated}}
Ingress networking.k8s.io/v1 {spec: {ingressClassName: nginx, rules: [{host: $host, http: {paths: [
  {backend: {service: {name: $app, port: {name: http}}}, path: /, pathType: Prefix}]}}], tls:
  [{hosts: [$host], secretName: $app-tls}]}}
NetworkPolicy networking.k8s.io/v1 {spec: {policyTypes: [Ingress], ingress: [{from: [{podSelector:
  {}}], ports: [{port: 8080, protocol: TCP}]}], podSelector: {matchLabels: {$labels}}}}
HorizontalPodAutoscaler autoscaling/v2 {status: {desiredReplicas: $n}, spec: {maxReplicas: 12,
  minReplicas: 2, metrics: [{type: Resource, resource: {name: cpu, target: {averageUtilization: 70,
  type: Utilization}}}], scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: $app}}}
PodDisruptionBudget policy/v1 {spec: {maxUnavailable: 1, selector: {matchLabels: {$labels}}},
  status: {currentHealthy: $n, disruptionsAllowed: 1, observedGeneration: $generation}}
Role rbac.authorization.k8s.io/v1 {rules: [{apiGroups: [*], resources: [$on], verbs: [$do]}]}
ClusterRole rbac.authorization.k8s.io/v1 {rules: [{apiGroups: [*], resources: [$on], verbs: [$do]}]}
RoleBinding rbac.authorization.k8s.io/v1 {roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role,
  name: $name}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: team-$ns}]}
ClusterRoleBinding rbac.authorization.k8s.io/v1 {roleRef: {kind: ClusterRole, name: $name, apiGroup:
  rbac.authorization.k8s.io}, subjects: [{$subject}]}
StorageClass storage.k8s.io/v1 {allowVolumeExpansion: true, parameters: {type: $name}, provisioner:
  csi.example.com, reclaimPolicy: Delete, volumeBindingMode: WaitForFirstConsumer}
CustomResourceDefinition apiextensions.k8s.io/v1 {spec: {group: $group, names: {kind: $title,
  listKind: ${title}List, plural: $plural, singular: $singular}, scope: Namespaced}}
Certificate cert-manager.io/v1 {spec: {dnsNames: [$host], secretName: $name, issuerRef: {group:
  cert-manager.io, kind: ClusterIssuer, name: letsencrypt}}, status: {revision: $n}}
ClusterIssuer cert-manager.io/v1 {spec: {acme: {email: ops@example.com, privateKeySecretRef: {name:
  $name}, server: https://acme.example.com, solvers: [{http01: {ingress: {class: nginx}}}]}}}
Probe monitoring.coreos.com/v1 {spec: {interval: 60s, prober: {url: prober.monitoring.svc:9115},
  targets: {staticConfig: {static: [https://shop.$cluster.example.com/healthz]}}}}
Backup platform.example.com/v1 {spec: {schedule: $n 3 * * *, retention: {daily: 7, weekly: 5},
  source: {namespaces: [$ns], selector: {matchLabels: {$labels}}}, template: $pod}}
"""
PROBE = "{failureThreshold: 3, httpGet: {path: /healthz, port: http}, periodSeconds: 10}"
SERVING = f"""ports: [{{containerPort: 8080, name: http, protocol: TCP}}],
  livenessProbe: {PROBE}, readinessProbe: {PROBE},"""
SHAPE = {k: (v, text) for k, v, text in re.findall(r"(?m)^(\w+) (\S+) (\{.*(?:\n  .*)*)", SHAPES)}
RESOURCES = ("events", "jobs", "endpoints", "deployments", "configmaps", "pods")
NO_GENERATION = ("v1", "rbac.authorization.k8s.io/v1", "autoscaling/v2", "storage.k8s.io/v1")
CLUSTER_SCOPED = re.compile(r"Namespace|StorageClass|CustomResourceDefinition|Cluster.*")
PLATFORM = ("kube-system", "edge", "logging", "monitoring")
COMPONENT = "logging:\n  format: json\n  level: info\nmetrics:\n  bindAddress: 0.0.0.0:9153\n"
APPLICATION = (
    "pool:\n  size: 20  # per pod\n  timeout: 5s\ngreeting:\n  de: Grüß Gott, schön, Sie zu sehen\n"
    "  fr: Déjà de retour ?\n  ja: おかえりなさい\n  pl: Dzień dobry, miło cię widzieć\n"
)
# Text that YAML does not read as a string, and text that is not a plain scalar.
AMBIGUOUS = re.compile(r"(?i)[-+]?\d*\.?\d*(e\d+)?|true|false|yes|no|on|off|y|n|null|~|\d+-.*Z")
SPECIAL = re.compile(r"[\s?:,\[\]{}#&*!|>'\"%@`]|- |.*(: | #)|.*[: ]$")


def pick(low: int, high: int, *words: str) -> int:
    return low + int(hashlib.sha256("/".join(words).encode()).hexdigest(), 16) % (high - low + 1)


def shaped(kind: str, values: Body) -> Body:
    def quoted(word: re.Match[str]) -> str:
        literal = re.fullmatch(r'".*"|\d+|true|false|null', word[0].strip())
        return word[0] if literal else json.dumps(" ".join(word[0].split()))

    text = Template(SHAPE[kind][1]).substitute(values)
    return dict(json.loads(re.sub(r'"[^"]*"|[^\s{}\[\],":]([^{}\[\],":]|:(?!\s))*', quoted, text)))


def schema(example: object) -> Body:
    if isinstance(example, dict):
        return {"properties": {k: schema(v) for k, v in example.items()}, "type": "object"}
    if isinstance(example, list):
        return {"items": schema(example[0]), "type": "array"}
    return {"type": {bool: "boolean", int: "integer"}.get(type(example), "string")}


def manifest(path: str, namespace: str, app: str, changes: Body, born: datetime | None) -> Body:
    cluster, folder, kind, name = path.split("/")
    api = SHAPE[kind][0]
    age = pick(0, 600_000, cluster, namespace) + pick(1, 400_000, app) * (app != namespace)
    created = (born or FIRST_DAY + timedelta(minutes=age)) + timedelta(seconds=pick(0, 30, path))
    updated = CHANGE_DAY if changes else created + timedelta(seconds=pick(30, 90, path))
    generation = 1 if born else pick(1, 9, path) + bool(changes)
    plural, _, group = name.partition(".")
    values: Body = {
        "api": api, "kind": kind, "name": name, "ns": namespace, "app": app, "cluster": cluster,
        "created": f"{created:%Y-%m-%dT%H:%M:%SZ}", "updated": f"{updated:%Y-%m-%dT%H:%M:%SZ}",
        "uid": uuid.UUID(int=pick(0, 2**128 - 1, path), version=4), "generation": generation,
        "version": int((updated - FIRST_DAY).total_seconds()) * 7 + pick(0, 6, path),
        "hash": f"{pick(16**9, 16**10 - 1, path, str(generation)):x}",
        "labels": f"app.kubernetes.io/name: {app}, app.kubernetes.io/part-of: {namespace}",
        "annotation": f"argocd.argoproj.io/tracking-id: {namespace}:{kind}:{namespace}/{name}"
            + f', deployment.kubernetes.io/revision: "{generation}"' * (kind == "Deployment"),
        "tag": f"{pick(1, 4, app)}.{pick(0, 19, app, 'minor')}.{pick(0, 9, app, 'patch')}",
        "n": pick(2, 6, cluster, app), "octet": pick(2, 250, path), "memory": 128 * pick(1, 8, app),
        "serving": "" if kind == "CronJob" else SERVING, "host": f"{app}.{cluster}.example.com",
        "restart": "OnFailure" if kind == "CronJob" else "Always",
        "on": "*" if "admin" in app else ", ".join(RESOURCES[pick(0, 4, app):]),
        "do": "*" if "admin" in app else "get, list, patch, watch",
        "subject": f"kind: ServiceAccount, name: {app}, namespace: {namespace}",
        "user": base64.b64encode(f"demo-{app}".encode()).decode(),
        "password": base64.b64encode(f"invented-for-the-demo/{path}".encode()).decode(),
        "settings": json.dumps(COMPONENT if namespace in PLATFORM else APPLICATION),
        "group": group, "plural": plural, "singular": plural[:-1], "title": plural[:-1].title(),
    }
    if ":" in app:
        values["labels"] = "kubernetes.io/bootstrapping: rbac-defaults"
        values["annotation"] = 'rbac.authorization.kubernetes.io/autoupdate: "true"'
        values["subject"] = f"kind: User, name: {app}, apiGroup: rbac.authorization.k8s.io"
    values["pod"] = json.dumps(shaped("Pod", values))
    body = shaped("Object", values) | shaped(kind, values)
    for field in ["generation"] * (api in NO_GENERATION) + ["namespace"] * (folder == "_cluster"):
        del body["metadata"][field]
    if kind == "CustomResourceDefinition":
        openapi = schema({"apiVersion": "", "kind": ""} | shaped(values["title"], values))
        body["spec"]["versions"] = [{"name": v, "schema": {"openAPIV3Schema": openapi},
            "served": True, "storage": v == "v1"} for v in ("v1", "v1beta1")]
    if name == "kube-root-ca.crt":
        pem = textwrap.fill(base64.b64encode(f"{cluster}, invented. ".encode() * 24).decode(), 64)
        body["data"] = {"ca.crt": f"-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----"}
    for field, value in changes.items():
        *parents, leaf = field.split("/")
        node: Any = body
        for step in parents:
            node = node[int(step) if isinstance(node, list) else step]
        node[leaf] = node[leaf].replace(*value) if isinstance(value, tuple) else value
    return body


def scalar(value: object, pad: str) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if "\n" in value:
        return "|\n" + textwrap.indent(value.rstrip("\n"), pad + "  ")
    if AMBIGUOUS.fullmatch(value):
        return f'"{value}"'
    return "'" + value.replace("'", "''") + "'" if SPECIAL.match(value) else value


def lines(node: Body | list[Any], pad: str = "") -> Iterator[str]:
    """Yield YAML as kubectl formats it: sorted keys, and lists indented like their key."""
    for key, value in sorted(node.items()) if isinstance(node, dict) else [("", v) for v in node]:
        head = f"{pad}{key}:" if key else f"{pad}-"
        if not value or not isinstance(value, dict | list):
            yield f"{head} {scalar(value, pad)}"
        elif key:
            yield head
            yield from lines(value, pad if isinstance(value, list) else pad + "  ")
        else:
            first, *rest = lines(value, pad + "  ")
            yield from [f"{head} {first.lstrip()}", *rest]


def objects(inventory: dict[str, str], modified: Body, born: datetime | None) -> dict[str, bytes]:
    found, namespace = {}, ""
    for cluster, words in inventory.items():
        for sort, app in (word.split(":", 1) for word in words.split()):
            namespace = app if sort == "ns" else namespace
            for entry in SORTS.get(sort, sort + ":{0}").format(app).split():
                kind, name = entry.split(":", 1)
                folder = "_cluster" if CLUSTER_SCOPED.fullmatch(kind) else namespace
                path = f"{cluster}/{folder}/{kind}/{name}"
                body = manifest(path, namespace, app, modified.get(path, {}), born)
                found[f"clusterbackup/{path}.yaml"] = "\n".join([*lines(body), ""]).encode()
    return found


def before() -> dict[str, bytes]:
    return objects(DAY_ONE, {}, None)


def after() -> dict[str, bytes]:
    kept = {k: text for k, text in objects(DAY_ONE, MODIFIED, None).items() if k not in DELETED}
    return objects(ADDED, {}, CHANGE_DAY) | kept  # a namespace in both inventories is the older one
