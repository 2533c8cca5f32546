"""The resources of the API server, as rules name them: in the plural, without their group.

Source: `kubectl api-resources` of Kubernetes 1.31, with the resources that rules name but no object has
(users, tokenreviews, …), and those of OpenShift.
"""

from __future__ import annotations

# Resources whose names without a group mean the core API, as in kubectl.
CORE = frozenset(
    [
        "bindings",
        "componentstatuses",
        "configmaps",
        "endpoints",
        "events",
        "limitranges",
        "namespaces",
        "nodes",
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "podtemplates",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "serviceaccounts",
        "services",
    ]
)
_OTHERS = frozenset(
    [
        "apiservices",
        "certificatesigningrequests",
        "clusterrolebindings",
        "clusterroles",
        "clustertrustbundles",
        "controllerrevisions",
        "cronjobs",
        "csidrivers",
        "csinodes",
        "csistoragecapacities",
        "customresourcedefinitions",
        "daemonsets",
        "deployments",
        "endpointslices",
        "flowschemas",
        "horizontalpodautoscalers",
        "ingressclasses",
        "ingresses",
        "ipaddresses",
        "jobs",
        "leases",
        "localsubjectaccessreviews",
        "mutatingadmissionpolicies",
        "mutatingwebhookconfigurations",
        "networkpolicies",
        "poddisruptionbudgets",
        "podsecuritypolicies",
        "priorityclasses",
        "prioritylevelconfigurations",
        "replicasets",
        "rolebindings",
        "roles",
        "runtimeclasses",
        "selfsubjectaccessreviews",
        "selfsubjectreviews",
        "selfsubjectrulesreviews",
        "servicecidrs",
        "signers",
        "statefulsets",
        "storageclasses",
        "subjectaccessreviews",
        "tokenreviews",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
        "volumeattachments",
        "groups",
        "uids",
        "userextras",
        "users",
        "buildconfigs",
        "builds",
        "deploymentconfigs",
        "identities",
        "imagestreams",
        "oauthclients",
        "projects",
        "routes",
        "securitycontextconstraints",
        "templates",
    ]
)
_PLURALS = CORE | _OTHERS

_SUBRESOURCES = frozenset(
    [
        "approval",
        "attach",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "exec",
        "finalize",
        "finalizers",
        "log",
        "portforward",
        "proxy",
        "resize",
        "scale",
        "status",
        "token",
    ]
)

_SHORT = {
    "cm": "configmaps",
    "cs": "componentstatuses",
    "ep": "endpoints",
    "ev": "events",
    "po": "pods",
    "limits": "limitranges",
    "no": "nodes",
    "ns": "namespaces",
    "pvc": "persistentvolumeclaims",
    "pv": "persistentvolumes",
    "quota": "resourcequotas",
    "rc": "replicationcontrollers",
    "sa": "serviceaccounts",
    "svc": "services",
    "cj": "cronjobs",
    "csr": "certificatesigningrequests",
    "crd": "customresourcedefinitions",
    "crds": "customresourcedefinitions",
    "deploy": "deployments",
    "ds": "daemonsets",
    "hpa": "horizontalpodautoscalers",
    "ing": "ingresses",
    "netpol": "networkpolicies",
    "pc": "priorityclasses",
    "pdb": "poddisruptionbudgets",
    "psp": "podsecuritypolicies",
    "rs": "replicasets",
    "sc": "storageclasses",
    "sts": "statefulsets",
    "bc": "buildconfigs",
    "dc": "deploymentconfigs",
    "is": "imagestreams",
    "scc": "securitycontextconstraints",
}


def plural(written: str) -> str:
    """Return the name that rules use for a resource; kinds and short names are as in kubectl."""
    name = written.lower()
    return name if name in _PLURALS else _SHORT.get(name) or _OF_SINGULAR.get(name, name)


def is_known(resource: str) -> bool:
    """Whether Kubernetes or OpenShift has a resource, as in ``pods`` or ``pods/exec``."""
    name, _, sub = resource.partition("/")
    return name in {*_PLURALS, "*"} and (not sub or sub in _SUBRESOURCES)


def _singular(name: str) -> str:
    if name.endswith("ies"):
        return f"{name.removesuffix('ies')}y"
    return name.removesuffix("es" if name.endswith(("sses", "uses")) else "s")


_OF_SINGULAR = {_singular(name): name for name in sorted(_PLURALS)}
