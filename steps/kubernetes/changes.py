"""Compare objects by identity, not by file: documents may move within a file and between files."""

from __future__ import annotations

from collections import defaultdict, deque
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from steps.core.git_objects import Change
from steps.kubernetes import rbac
from steps.kubernetes.places import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from steps.kubernetes.categories import Category
    from steps.kubernetes.facts import Access, Facts
    from steps.kubernetes.objects import Identity


class Level(IntEnum):
    """How much a modification matters. METADATA: labels and annotations only."""

    FORMATTING = 0
    VOLATILE = 1
    METADATA = 2
    SUBSTANCE = 3


class Located(NamedTuple):
    """An object's version in a file of a cluster."""

    path: str
    facts: Facts


class ObjectChange(NamedTuple):
    """A new, modified or deleted object; ``path`` is its file after the change, if it has one."""

    path: str
    before: Facts | None
    after: Facts | None

    @property
    def facts(self) -> Facts:
        """The newer version."""
        newer = self.after or self.before
        assert newer is not None  # noqa: S101 - no change has neither
        return newer

    @property
    def identity(self) -> Identity:
        return self.facts.identity

    @property
    def change(self) -> Change:
        if self.before is None:
            return Change.ADDED
        return Change.DELETED if self.after is None else Change.MODIFIED

    @property
    def level(self) -> Level:
        """How much the change matters. An object that controllers create and delete is volatile."""
        if self.facts.is_volatile:
            return Level.VOLATILE
        if self.before is None or self.after is None or self.before.body != self.after.body:
            return Level.SUBSTANCE
        if self.before.rights != self.after.rights:  # also if RULES_FILE drops these fields
            return Level.SUBSTANCE
        return Level.VOLATILE if self.before.substance == self.after.substance else Level.METADATA


def compare(before: Iterable[Located], after: Iterable[Located]) -> list[ObjectChange]:
    """Compare all objects of a cluster's changed files; objects without a difference are left out.

    An object that is in several files is compared within each file first.
    """
    groups: defaultdict[tuple[Identity, str], tuple[list[Located], list[Located]]]
    groups = defaultdict(lambda: ([], []))
    for side, located in ((0, before), (1, after)):
        for one in located:
            # A document that is not an object has no identity but its file; an object without a namespace
            # gets one where it is applied, of which the directory is a hint.
            place = one.path if not one.facts.identity.kind else ""
            if not place and not one.facts.identity.namespace:
                place = place_of(one.path.encode(errors="replace")).namespace
            groups[one.facts.identity, place][side].append(one)
    return [change for old, new in groups.values() for change in _pairs(old, new)]


# Versions of one object are paired if they are equal in the same file, equal, in the same file, or in order.
_KEYS: tuple[Callable[[Located], object], ...] = (
    lambda one: (one.facts.digest, one.path),
    lambda one: one.facts.digest,
    lambda one: one.path,
    lambda _: None,
)


def _pairs(old: list[Located], new: list[Located]) -> Iterator[ObjectChange]:
    for key in _KEYS:
        waiting: defaultdict[object, deque[Located]] = defaultdict(deque)
        for one in old:
            waiting[key(one)].append(one)
        rest = []
        for after in new:
            if not (same := waiting[key(after)]):
                rest.append(after)
            elif (before := same.popleft()).facts.digest != after.facts.digest:
                yield ObjectChange(after.path, before.facts, after.facts)
        old, new = [one for same in waiting.values() for one in same], rest
    yield from (ObjectChange(one.path, one.facts, None) for one in old)
    yield from (ObjectChange(one.path, None, one.facts) for one in new)


class Image(NamedTuple):
    """A container whose image changed; ``before`` or ``after`` is empty if there is none."""

    container: str
    before: str
    after: str


def images(change: ObjectChange) -> Iterator[Image]:
    """Yield the containers whose image changed; of a new object, all of them; of a deleted one, none."""
    if change.after is None:
        return
    old = {one.place: one for one in change.before.containers} if change.before else {}
    new = {one.place: one for one in change.after.containers}
    for place in sorted(old.keys() | new.keys()):
        before = old[place].image if place in old else ""
        after = new[place].image if place in new else ""
        if before != after:
            yield Image((new.get(place) or old[place]).name, before, after)


class Permissions(NamedTuple):
    """What a change grants and revokes, as people write it.

    Sensitive grants give access to other identities.
    """

    granted: tuple[str, ...]
    revoked: tuple[str, ...]
    is_sensitive: bool


# Roles by namespace and name, as in ("", "ClusterRole/admin").
Roles = dict[tuple[str, str], "frozenset[rbac.Grant]"]


def roles_of(versions: Iterable[Facts]) -> Roles:
    """Return the grants of the roles among these objects."""
    return {
        (one.identity.namespace, f"{one.identity.kind}/{one.identity.name}"): one.grants
        for one in versions
        if rbac.is_role(one.identity)
    }


def permissions(change: ObjectChange, roles: Roles) -> Permissions:
    """Return what the change grants and revokes. A binding grants what its role grants, if it is known."""
    old, new = _Rights.of(change.before), _Rights.of(change.after)
    granted, revoked = rbac.describe(new.grants - old.grants), rbac.describe(old.grants - new.grants)
    if old.has_more or new.has_more:
        what = "subjects of a binding" if change.facts.binding else "grants of a role"
        granted.append(f"and more: only {rbac.MAX_GRANTS:,} {what} are compared")
    is_sensitive = rbac.any_sensitive(new.grants - old.grants) or bool(new.access - old.access)
    for role, subject in sorted(new.bound - old.bound):
        granted.append(f"{role} to {subject}")
        is_sensitive |= rbac.is_administrator(role)
    for role in sorted({role for role, _ in new.bound - old.bound}):
        namespace = change.identity.namespace if role.startswith("Role/") else ""
        granting = roles.get((namespace, role), frozenset())
        granted += [f"{role} grants {line}" for line in rbac.describe(granting)]
        is_sensitive |= rbac.any_sensitive(granting)
    revoked += [f"{role} to {subject}" for role, subject in sorted(old.bound - new.bound)]
    granted += sorted(access.what for access in new.access - old.access)
    revoked += sorted(access.what for access in old.access - new.access)
    return Permissions(tuple(granted), tuple(revoked), is_sensitive)


class _Rights(NamedTuple):
    grants: frozenset[rbac.Grant] = frozenset()
    has_more: bool = False
    bound: frozenset[tuple[str, str]] = frozenset()
    access: frozenset[Access] = frozenset()

    @classmethod
    def of(cls, facts: Facts | None) -> _Rights:
        if facts is None:
            return cls()
        binding = facts.binding
        bound = frozenset((binding.role, subject) for subject in binding.subjects) if binding else frozenset()
        has_more = facts.has_more_grants or (binding is not None and binding.has_more)
        return cls(facts.grants, has_more, bound, facts.access)


class SecretKeys(NamedTuple):
    """The names of a Secret's values that a change adds, removes or changes."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def secret_keys(change: ObjectChange) -> SecretKeys:
    """Return which values of a Secret changed."""
    old = change.before.secret_keys if change.before else {}
    new = change.after.secret_keys if change.after else {}
    both = old.keys() & new.keys()
    return SecretKeys(
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted(old.keys() - new.keys())),
        tuple(sorted(key for key in both if old[key] != new[key])),
    )


def category(change: ObjectChange) -> Category | None:
    """Return why the change is security-relevant; None if it is not.

    Pods that get access to their node, and identities of a cloud, matter in any kind.
    """
    if (found := change.facts.category) is not None:
        return found
    old, new = _Rights.of(change.before), _Rights.of(change.after)
    return min((access.category for access in old.access ^ new.access), default=None)
