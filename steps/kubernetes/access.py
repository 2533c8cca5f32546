"""Who may do what by RBAC, as the API server decides it.

Sources: kubernetes/pkg/apis/rbac/v1/evaluation_helpers.go (rules), plugin/pkg/auth/authorizer/rbac/rbac.go
(bindings, subjects), and the aggregation of ClusterRoles. Other authorizers are not in a backup.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import chain, islice, product
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from steps.kubernetes import rbac, resources
from steps.kubernetes.data import mapping, mappings, text, texts
from steps.kubernetes.rbac import Grant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from steps.kubernetes.objects import KubernetesObject

EVERYWHERE = ""
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
_ANONYMOUS = "system:anonymous"
_ACCOUNT = "system:serviceaccount:"
_ACCOUNTS = "system:serviceaccounts"


class Subject(NamedTuple):
    """A User, Group or ServiceAccount; the name of a ServiceAccount is ``namespace/name``."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @classmethod
    def parse(cls, written: str) -> Subject:
        """Parse ``Group x``, ``ServiceAccount ns/name``, or the name of a user. Raises ValueError."""
        kind, _, name = written.partition(" ")
        kinds = {"user": "User", "group": "Group", "serviceaccount": "ServiceAccount"}
        if not (name and kind.lower() in kinds):
            kind, name = "user", written
        found = cls(kinds[kind.lower()], name.strip())
        if found.kind == "User":
            return found.normal
        if found.kind == "ServiceAccount" and "/" not in found.name:
            raise ValueError("a ServiceAccount is written as namespace/name")
        return found

    @property
    def normal(self) -> Subject:
        """The ServiceAccount, if a User has the name of one."""
        parts = self.name.removeprefix(_ACCOUNT).split(":")
        if self.kind == "User" and self.name.startswith(_ACCOUNT) and len(parts) == 2:  # noqa: PLR2004
            return Subject("ServiceAccount", "/".join(parts))
        return self

    def identities(self) -> frozenset[Subject]:
        """Return the subject with the groups that it certainly has."""
        groups = [AUTHENTICATED]
        if self.kind == "ServiceAccount":
            groups += [_ACCOUNTS, f"{_ACCOUNTS}:{self.name.partition('/')[0]}"]
        elif self.name in {_ANONYMOUS, UNAUTHENTICATED}:
            groups = [UNAUTHENTICATED]
        return frozenset({self.normal, *(Subject("Group", name) for name in groups)})


# Kind, namespace ("" for a ClusterRole) and name.
RoleKey: TypeAlias = tuple[str, str, str]


class Rule(NamedTuple):
    """A rule of a role."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...]
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """What is asked: empty fields mean any, except that ``name`` is empty for a request without a name.

    ``resource`` is as in ``pods/exec``, or a path such as ``/metrics``; ``group`` None means any.
    """

    verbs: tuple[str, ...] = ()
    resource: str = ""
    group: str | None = None

    @classmethod
    def parse(cls, verbs: tuple[str, ...], resource: str) -> Request:
        """Parse ``secrets``, ``Secret``, ``deployments.apps``, ``pods/exec`` or ``/metrics``."""
        if not resource or resource.startswith("/"):
            return cls(verbs, resource)
        plain, slash, sub = resource.partition("/")
        plain, dot, group = plain.partition(".")
        plain = resources.plural(plain)
        known: str | None = group if dot else ("" if plain in resources.CORE else None)
        return cls(verbs, f"{plain}{slash}{sub}", known)

    def part_of(self, rule: Rule) -> Rule:
        """Return the part of a rule that answers the question; a rule for some names does, too."""
        verbs = (one for one in rule.verbs if not self.verbs or one in {"*", *self.verbs})
        groups = (one for one in rule.groups if self.group is None or one in {"*", self.group})
        names: Iterable[str] = rule.resources
        urls: Iterable[str] = rule.urls
        if self.resource.startswith("/"):
            names, urls = (), (one for one in urls if url_matches(one, self.resource))
        elif self.resource:
            names, urls = (one for one in names if resource_matches(one, self.resource)), ()
        parts = (tuple(dict.fromkeys(part)) for part in (verbs, groups, names, rule.names, urls))
        return Rule(*parts)


def resource_matches(granted: str, asked: str) -> bool:
    """Whether a rule's resource covers the asked one, as in ``*``, ``pods/exec`` and ``*/scale``."""
    _, slash, sub = asked.partition("/")
    return granted in {"*", asked} or bool(slash and granted == f"*/{sub}")


def url_matches(granted: str, asked: str) -> bool:
    """Whether a rule's path covers the asked one; only stars at the end are special."""
    if granted in {"*", asked}:
        return True
    return granted.endswith("*") and asked.startswith(granted.rstrip("*"))


class Route(NamedTuple):
    """How a subject gets a permission; ``namespace`` is "" for the whole cluster."""

    subject: Subject
    namespace: str
    binding: str
    role: str

    def __str__(self) -> str:
        return f"{self.binding} → {self.role}"


class Binding(NamedTuple):
    """A RoleBinding or ClusterRoleBinding; ``namespace`` is "" for the latter."""

    name: str
    namespace: str
    role: RoleKey
    subjects: tuple[Subject, ...]


@dataclass
class Access:
    """The RBAC objects of a cluster."""

    roles: dict[RoleKey, list[Rule]] = field(default_factory=dict)
    bindings: list[Binding] = field(default_factory=list)
    _labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    _selectors: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, one: KubernetesObject, namespace: str) -> None:
        """Add a role or a binding; ``namespace`` is that of the object. Other objects are ignored."""
        identity, data = one.identity, mapping(one.data)
        if rbac.is_role(identity):
            place = "" if identity.kind == "ClusterRole" else namespace
            self.roles[identity.kind, place, identity.name] = list(map(_rule, mappings(data.get("rules"))))
            if identity.kind == "ClusterRole":
                self._labels[identity.name] = mapping(mapping(data.get("metadata")).get("labels"))
                selectors = mappings(mapping(data.get("aggregationRule")).get("clusterRoleSelectors"))
                if selectors:
                    self._selectors[identity.name] = selectors
        elif rbac.is_binding(identity):
            place = "" if identity.kind == "ClusterRoleBinding" else namespace
            shown = _shown((identity.kind, place, identity.name))
            role = mapping(data.get("roleRef"))
            kind, name = text(role.get("kind")), text(role.get("name"))
            key = (kind, place if kind == "Role" else "", name)
            subjects = filter(None, (_subject(each, place) for each in mappings(data.get("subjects"))))
            self.bindings.append(Binding(shown, place, key, tuple(subjects)))

    @property
    def is_empty(self) -> bool:
        """Whether the backup has no RBAC objects."""
        return not (self.roles or self.bindings)

    def knows(self, resource: str) -> bool:
        """Whether a resource exists, as far as Kubernetes and the rules say. A path always does."""
        return (
            not resource
            or resource.startswith("/")
            or resources.is_known(resource)
            or any(resource in rule.resources for rules in self.roles.values() for rule in rules)
        )

    def rules_of(self, role: RoleKey) -> list[Rule]:
        """Return the rules of a role; of an aggregated one also those of the roles that it selects."""
        found = list(self.roles.get(role, ()))
        for selector in self._selectors.get(role[2], ()) if role[0] == "ClusterRole" else ():
            for name, labels in self._labels.items():
                if name != role[2] and _selects(selector, labels):
                    found += self.roles["ClusterRole", "", name]
        return list(dict.fromkeys(found))

    def missing_roles(self) -> list[str]:
        """Return the bindings whose role is not in the backup: what they grant is not known."""
        missing = (one for one in self.bindings if one.role not in self.roles)
        return sorted(f"{one.name} → {_shown(one.role)}" for one in missing)

    def grants(self, request: Request, subject: Subject | None, namespaces: Iterable[str] = ()) -> Grants:
        """Return the grants that answer a request, of one subject with its certain groups, or of all.

        At most rbac.MAX_GRANTS of each role: rules multiply.
        """
        found: defaultdict[Route, set[Grant]] = defaultdict(set)
        wanted = subject.identities() if subject else None
        places = frozenset(namespaces)
        known: dict[tuple[RoleKey, bool], frozenset[Grant]] = {}
        for binding in self.bindings:
            if places and binding.namespace and binding.namespace not in places:
                continue
            subjects = [one for one in binding.subjects if wanted is None or one in wanted]
            key = binding.role, bool(binding.namespace)
            if subjects and key not in known:
                rules = (request.part_of(rule) for rule in self.rules_of(binding.role))
                # A RoleBinding grants nothing outside of its namespace, such as paths.
                parts = (rule._replace(urls=()) if binding.namespace else rule for rule in rules)
                known[key] = frozenset(islice(chain.from_iterable(map(_grants, parts)), rbac.MAX_GRANTS))
            for one in subjects if known.get(key) else ():
                found[Route(one, binding.namespace, binding.name, _shown(binding.role))] |= known[key]
        return dict(found)

    def allows(self, who: Iterable[Subject], question: Question) -> bool:
        """Whether the API server's RBAC authorizer allows this to a user with these identities."""
        identities = frozenset(who)
        for binding in self.bindings:
            if binding.namespace and binding.namespace != question.namespace:
                continue
            if identities.isdisjoint(binding.subjects):
                continue
            if any(_allows(rule, question) for rule in self.rules_of(binding.role)):
                return True
        return False


class Question(NamedTuple):
    """One request to the API server; ``resource`` is a path if it begins with a slash.

    ``namespace`` is "" for a resource without one, for all namespaces, and for a path.
    """

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""


def _grants(rule: Rule) -> Iterator[Grant]:
    names = ", ".join(sorted(rule.names))
    yield from (Grant(*one, names) for one in product(rule.verbs, rule.groups, rule.resources))
    yield from (Grant(verb, "", url) for verb, url in product(rule.verbs, rule.urls))


Grants: TypeAlias = dict[Route, set[Grant]]


def _allows(rule: Rule, asked: Question) -> bool:
    if {"*", asked.verb}.isdisjoint(rule.verbs):
        return False
    if asked.resource.startswith("/"):
        return any(url_matches(url, asked.resource) for url in rule.urls)
    return (
        not {"*", asked.group}.isdisjoint(rule.groups)
        and any(resource_matches(one, asked.resource) for one in rule.resources)
        and (not rule.names or asked.name in rule.names)
    )


def _rule(rule: dict[str, Any]) -> Rule:
    names = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
    return Rule(*(tuple(texts(rule.get(name))) for name in names))


def _subject(subject: dict[str, Any], namespace: str) -> Subject | None:
    kind, name = text(subject.get("kind")), text(subject.get("name"))
    if kind == "ServiceAccount":
        place = text(subject.get("namespace")) or namespace
        return Subject(kind, f"{place}/{name}") if place else None
    return Subject(kind, name).normal if kind in {"User", "Group"} else None


def _shown(role: RoleKey) -> str:
    kind, namespace, name = role
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _selects(selector: dict[str, Any], labels: dict[str, Any]) -> bool:
    if any(labels.get(key) != value for key, value in mapping(selector.get("matchLabels")).items()):
        return False
    return all(_meets(one, labels) for one in mappings(selector.get("matchExpressions")))


def _meets(expression: dict[str, Any], labels: dict[str, Any]) -> bool:
    key, values = text(expression.get("key")), texts(expression.get("values"))
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False
