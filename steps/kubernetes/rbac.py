"""What RBAC objects grant: the verbs and resources of a role, the role and the subjects of a binding."""

from __future__ import annotations

from hashlib import sha256
from itertools import islice, product
from typing import TYPE_CHECKING, Any, NamedTuple

from steps.kubernetes.data import mapping, mappings, text, texts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from steps.kubernetes.objects import Identity

# OpenShift serves the same kinds in another group, too.
_GROUPS = frozenset({"rbac.authorization.k8s.io", "authorization.openshift.io"})
ROLES = frozenset({"Role", "ClusterRole"})
BINDINGS = frozenset({"RoleBinding", "ClusterRoleBinding"})

# Per object. Rules multiply: a few lines can grant billions of verb and resource pairs.
MAX_GRANTS = 5000

_MAX_TEXT_CHARACTERS = 100

# A subject with these verbs can obtain more permissions (kubernetes.io, "RBAC Good Practices").
_ESCALATING_VERBS = frozenset({"*", "escalate", "bind", "impersonate"})
# Reading Secrets, or creating pods and their tokens, gives access to other identities.
_SENSITIVE_RESOURCES = frozenset(
    {
        "*",
        "secrets",
        "serviceaccounts/token",
        "pods/exec",
        "nodes/proxy",
        "certificatesigningrequests/approval",
    }
)


class Grant(NamedTuple):
    """A verb for a resource of a group, as in ``get``, ``apps``, ``deployments``; or for a URL."""

    verb: str
    group: str
    resource: str
    names: str = ""

    @property
    def scope(self) -> str:
        """The resource as people write it, as in ``apps/deployments (web)``."""
        scope = f"{self.group}/{self.resource}" if self.group else self.resource
        return f"{scope} ({self.names})" if self.names else scope

    @property
    def is_sensitive(self) -> bool:
        """Whether the grant gives access to other identities, or to everything."""
        return self.verb in _ESCALATING_VERBS or self.resource in _SENSITIVE_RESOURCES


class Binding(NamedTuple):
    """A role, as in ``ClusterRole/admin``, and its subjects, as in ``ServiceAccount ci/deployer``.

    ``has_more``: only the first MAX_GRANTS subjects are here.
    """

    role: str
    subjects: frozenset[str]
    has_more: bool = False


def is_role(identity: Identity) -> bool:
    """Whether the object is a role."""
    return identity.kind in ROLES and identity.group in _GROUPS


def is_binding(identity: Identity) -> bool:
    """Whether the object binds a role to subjects."""
    return identity.kind in BINDINGS and identity.group in _GROUPS


def grants_of(role: Any) -> tuple[frozenset[Grant], bool]:
    """Return up to MAX_GRANTS grants of a role, and whether there are more.

    An aggregated role gets its rules from other roles: each selector is a grant, too.
    """
    found = list(islice(_grants(mapping(role)), MAX_GRANTS + 1))
    return frozenset(found[:MAX_GRANTS]), len(found) > MAX_GRANTS


def _grants(role: dict[str, Any]) -> Iterator[Grant]:
    selectors = mappings(mapping(role.get("aggregationRule")).get("clusterRoleSelectors"))
    for selector in selectors:
        labels = mapping(selector.get("matchLabels"))
        rest = ["expressions"] if selector.get("matchExpressions") else []
        wanted = ", ".join([*sorted(f"{key}={value}" for key, value in labels.items()), *rest])
        yield Grant("aggregate", "", _truncate(f"roles with {wanted}"))
    for rule in mappings(role.get("rules")):
        groups, resources, verbs, urls = (
            [_truncate(one) for one in texts(rule.get(name))]
            for name in ("apiGroups", "resources", "verbs", "nonResourceURLs")
        )
        names = _truncate(", ".join(sorted(texts(rule.get("resourceNames")))))
        pairs = product(verbs, groups or [""], resources)
        yield from (Grant(verb, group, resource, names) for verb, group, resource in pairs)
        yield from (Grant(verb, "", url) for verb, url in product(verbs, urls))


def binding_of(binding: Any) -> Binding:
    """Return the role and the subjects of a binding."""
    fields = mapping(binding)
    role = mapping(fields.get("roleRef"))
    subjects = mappings(fields.get("subjects"))
    return Binding(
        _truncate(f"{text(role.get('kind'))}/{text(role.get('name'))}"),
        frozenset(map(_subject, subjects[:MAX_GRANTS])),
        len(subjects) > MAX_GRANTS,
    )


def _subject(subject: dict[str, Any]) -> str:
    name = "/".join(filter(None, (text(subject.get("namespace")), text(subject.get("name")))))
    return _truncate(f"{text(subject.get('kind'))} {name}")


def is_administrator(role: str) -> bool:
    """Whether a role, as in ``ClusterRole/admin``, may change (nearly) everything."""
    return role in {"ClusterRole/cluster-admin", "ClusterRole/admin", "ClusterRole/edit"}


def describe(grants: Collection[Grant]) -> list[str]:
    """Describe grants by verbs and resources, sensitive ones first, as in ``get, list secrets``."""
    verbs: dict[str, list[str]] = {}
    for grant in sorted(grants):
        verbs.setdefault(grant.scope, []).append(grant.verb)
    sensitive = {grant.scope for grant in grants if grant.is_sensitive}
    scopes: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
    for scope, allowed in verbs.items():
        scopes.setdefault((scope not in sensitive, tuple(allowed)), []).append(scope)
    return [f"{', '.join(allowed)} {', '.join(named)}" for (_, allowed), named in sorted(scopes.items())]


def any_sensitive(grants: Iterable[Grant]) -> bool:
    """Whether one of the grants is sensitive."""
    return any(grant.is_sensitive for grant in grants)


def _truncate(written: str) -> str:
    """Truncate a text; different texts stay different."""
    if len(written) <= _MAX_TEXT_CHARACTERS:
        return written
    whole = sha256(written.encode(errors="backslashreplace")).hexdigest()
    return f"{written[:_MAX_TEXT_CHARACTERS]}… (sha256 {whole[:12]})"
