"""access: who may do what in a cluster at a time, and what changed since another time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steps.core.exit_codes import Exit
from steps.core.keys import printable, printable_path
from steps.core.operations import Operation
from steps.core.wording import plural
from steps.errors import FixCommandLine
from steps.history.session import Place, print_lines, session
from steps.history.snapshot import cluster_rows, find_commit, read_files, require_cluster
from steps.history.versions import may_contain, objects_of
from steps.kubernetes import rbac
from steps.kubernetes.access import Access, Request, Subject
from steps.kubernetes.objects import Unreadable
from steps.kubernetes.selection import namespace_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from steps.history.session import Session, View
    from steps.kubernetes.access import Grants, Route

# Every RBAC object names one of these groups.
_GROUPS = (b"rbac.authorization.k8s.io", b"authorization.openshift.io")

NOT_KNOWN = (
    "the members of groups, and who may log in",
    "other authorizers: webhooks, the Node authorizer, ABAC",
    "members of the group system:masters, who may do everything",
)


@dataclass
class Found:
    """The access of a cluster at a commit; ``not_read`` are files that may contain RBAC objects."""

    view: View
    access: Access = field(default_factory=Access)
    not_read: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_incomplete(self) -> bool:
        """Whether the backup lacks RBAC objects, as far as it shows: there can be more grants."""
        return bool(self.not_read) or self.access.is_empty or bool(self.access.missing_roles())


def access(  # noqa: PLR0913 - one argument per option
    environ: Mapping[str, str],
    *,
    cluster: str,
    at: str | None,
    since: str | None,
    verb: tuple[str, ...],
    resource: str | None,
    subject: str | None,
    namespace: tuple[str, ...],
    how: str,
    repo: Path | None,
    branch: str | None,
    path: str | None,
) -> Exit:
    """Print who may do what; exit 10 if a role is missing, or a file that may have one cannot be read."""
    request = Request.parse(verb, resource or "")
    try:
        who = Subject.parse(subject) if subject else None
    except ValueError as problem:
        raise FixCommandLine(
            Operation.GIT_DIFF, "Failed to read --subject", f"{printable(subject or '')!r}: {problem}"
        ) from problem
    with session(environ, Place(repo, branch, path)) as opened:
        views = _views(opened, cluster, at, since)
        found = [_read(opened, view, cluster) for view in views]
        if not any(one.access.knows(request.resource) for one in found):
            raise FixCommandLine(
                Operation.GIT_DIFF,
                "Failed to read --resource",
                f"{printable(resource or '')!r}: no rule names this resource; "
                "write its plural name, as in secrets or deployments.apps",
            )
        grants = [one.access.grants(request, who, namespace) for one in found]
        printed = as_json if how == "json" else text
        print_lines(printed(cluster, found, grants))
    return Exit.PARTIAL if any(one.is_incomplete for one in found) else Exit.OK


def _views(opened: Session, cluster: str, at: str | None, since: str | None) -> list[View]:
    """Return the cluster at the time, and before it at ``since``, if it is given."""
    moments = [opened.moment("--at", at)]
    if since is not None:
        moments.insert(0, opened.moment("--since", since, start_of_day=True))
    commits = [find_commit(opened.source, moment) for moment in moments]
    objects = opened.source.with_trees([commit.oid for commit in commits])
    views = [opened.view(commit, objects, moment) for commit, moment in zip(commits, moments, strict=True)]
    for view in views:
        require_cluster(cluster, view.clusters, view.commit.oid)
    return views


def _read(opened: Session, view: View, cluster: str) -> Found:
    """Read the RBAC objects of a cluster, wherever they are."""
    found = Found(view)
    rows = cluster_rows(view.objects, view.commit.oid, opened.source.path, cluster)
    for file in read_files(opened.source, view.objects, rows):
        if not (file.reason or may_contain(file.content, _GROUPS)):
            continue
        try:
            for one in objects_of(file):
                found.access.add(one, namespace_of(one.identity, file.path))
        except Unreadable as problem:
            found.not_read.append((printable_path(file.path.partition(b"/")[2]), str(problem)))
    return found


def text(cluster: str, found: list[Found], grants: list[Grants]) -> Iterator[str]:
    """Yield lines of plain text."""
    *_, now = found
    yield now.view.clusters[cluster].statement
    yield from (f"warning: {warning}" for warning in now.view.clusters[cluster].warnings)
    if len(found) == 1:
        yield from _lines(grants[0]) if grants[0] else [_no_match(now.access)]
    else:
        yield f"changes since {found[0].view.clusters[cluster].statement}"
        gained, lost = _changed(*grants)
        yield from (f"gained: {line}" for line in _lines(gained))
        yield from (f"lost: {line}" for line in _lines(lost))
        if not (gained or lost):
            yield "no grant gained or lost"
    if now.access.is_empty:
        yield "warning: the backup has no RBAC objects; nothing is known"
    yield from (f"warning: {printable(one)}: the backup lacks the role" for one in _missing_roles(found))
    for one in found:
        yield from (f"warning: {path} is not read: {reason}" for path, reason in one.not_read)
    yield f"not known from a backup: {'; '.join(NOT_KNOWN)}"


def _no_match(known: Access) -> str:
    """Return the answer without a grant. Bindings whose role is missing can grant anything."""
    answer = "no grant matches by the roles in the backup"
    if count := len(known.missing_roles()):
        return (
            f"{answer}; {plural(count, 'binding')} {'names' if count == 1 else 'name'} a role that it lacks"
        )
    return answer


def _missing_roles(found: list[Found]) -> list[str]:
    return list(dict.fromkeys(each for one in found for each in one.access.missing_roles()))


def _changed(before: Grants, after: Grants) -> tuple[Grants, Grants]:
    """Return what routes gained and lost."""
    gained = {route: held - before.get(route, set()) for route, held in after.items()}
    lost = {route: held - after.get(route, set()) for route, held in before.items()}
    return ({route: held for route, held in one.items() if held} for one in (gained, lost))  # type: ignore[return-value]


def _lines(grants: Grants) -> Iterator[str]:
    for route in sorted(grants):
        where = f"in {route.namespace}" if route.namespace else "in all namespaces"
        what = "; ".join(rbac.describe(grants[route]))
        yield printable(f"{route.subject}: {what} {where} ({route})", 2000)


def as_json(cluster: str, found: list[Found], grants: list[Grants]) -> Iterator[str]:
    """Yield one JSON document."""
    *_, now = found
    document: dict[str, object] = {**now.view.clusters[cluster].document()}
    if len(found) == 1:
        document["grants"] = _documents(grants[0])
    else:
        gained, lost = _changed(*grants)
        document["since"] = found[0].view.clusters[cluster].document()
        document |= {"gained": _documents(gained), "lost": _documents(lost)}
    document["missing_roles"] = _missing_roles(found)
    document["not_read"] = [{"path": path, "reason": why} for one in found for path, why in one.not_read]
    document["not_known"] = list(NOT_KNOWN)
    yield json.dumps(document, indent=2)


def _documents(grants: Grants) -> list[dict[str, object]]:
    return [_document(route, grants) for route in sorted(grants)]


def _document(route: Route, grants: Grants) -> dict[str, object]:
    return {
        "subject": {"kind": route.subject.kind, "name": route.subject.name},
        "namespace": route.namespace or None,
        "permissions": rbac.describe(grants[route]),
        "binding": route.binding,
        "role": route.role,
    }
