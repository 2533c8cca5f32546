"""The Git server has a will of its own: hooks, limits, locks, lies, redirects."""

from __future__ import annotations

import shutil
from contextlib import suppress
from subprocess import CalledProcessError
from typing import TYPE_CHECKING, NamedTuple

import trustme

from tests.soak.family import Counts, Family, shuffled
from tests.soak.git_world import Served, judged, served
from tests.support.gitserver import http_git_server, https_git_server
from tests.support.repositories import git, sha

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.soak.world import Place
    from tests.support.gitserver import GitServer, Loss

_REFUSE_NEW = (
    'git diff-tree -r --name-only "$old" "$new" | grep -q "^clusterbackup/.*/new/" && exit 1; exit 0'
)

_LOSSES: tuple[Loss, ...] = ("cut", "reset")

# What hooks say, that servers in trouble say too.
_MISLEADING = (
    "internal server error",
    "503 Service Unavailable",
    "connection reset by peer",
    "cannot lock ref refs/heads/main",
    "failed to update ref",
    "stale info",
    "fetch first",
    "timeout",
)


class _Case(NamedTuple):
    """What is wrong, with what exit code a run may end, and how many commits there are in the end."""

    wrong: Callable[[Served], None]
    exits: set[int]
    commits: int | None = 2


def _hook(name: str, script: str) -> Callable[[Served], None]:
    return lambda ours: _install(ours.world.repository, name, script)


def _install(repository: Path, name: str, script: str) -> None:
    hook = repository / "hooks" / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)


def _config(name: str, value: str) -> Callable[[Served], None]:
    return lambda ours: _configure(ours, name, value)


def _configure(ours: Served, name: str, value: str) -> None:
    git(ours.world.repository, "config", name, value)


def _locked(ours: Served) -> None:
    (ours.world.repository / "refs/heads/main.lock").touch()


def _damaged(ours: Served) -> None:
    """The newest commit's tree is missing."""
    tree = git(ours.world.repository, "rev-parse", "main^{tree}").decode().strip()
    object_ = ours.world.repository / "objects" / tree[:2] / tree[2:]
    object_.rename(object_.with_suffix(".missing"))


def _keeps_base(times: int) -> Callable[[Served], None]:
    """Say ok, and leave the branch where it was."""
    return lambda ours: _keep(ours, sha(ours.world.repository), times)


def _keeps_older(times: int) -> Callable[[Served], None]:
    """Say ok, and put the branch back to what it was before it was what it was."""

    def wrong(ours: Served) -> None:
        older = ours.world.somebody_commits({"README.md": b"theirs\n"})
        ours.world.somebody_commits({"README.md": b"theirs again\n"})
        _keep(ours, older, times)

    return wrong


def _keep(ours: Served, commit: str, times: int) -> None:
    count = f'echo >> "$0.count"; [ "$(wc -l < "$0.count")" -le {times} ] || exit 0'
    _install(ours.world.repository, "post-receive", f"{count}\ngit update-ref refs/heads/main {commit}")


def _loses(how: Loss, times: int) -> Callable[[Served], None]:
    """So many pushes land, or are refused since one has, and nobody hears of it."""
    return lambda ours: ours.server.lose_response(times, how=how)


def _redirects_in_circles(ours: Served) -> None:
    ours.server.redirect_to = f"http://{ours.wire.endpoint}"


def _redirects_to_a_file(ours: Served) -> None:
    ours.server.redirect_to = "file:///tmp"


def _trusts_another(ours: Served) -> None:
    """Another authority vouches for the server than the one that is trusted."""
    file = ours.world.repository.with_name("another-ca.pem")
    trustme.CA().cert_pem.write_to_path(str(file))
    ours.world.sync = ours.world.sync.with_settings(GIT_CA_FILE=str(file))


def _trusts_the_machines(ours: Served) -> None:
    """Nobody whom this machine trusts vouches for the server."""
    ours.world.sync = ours.world.sync.with_settings(GIT_CA_FILE="")


def _over_tls(root: Path, token: str) -> AbstractContextManager[GitServer]:
    return https_git_server(root, trustme.CA(), token)


_CASES: dict[str, _Case] = {
    **{f"{hook}-always": _Case(_hook(hook, "exit 1"), {40}) for hook in ("pre-receive", "update")},
    **{f"{hook}-once": _Case(_hook(hook, 'rm "$0"; exit 1'), {40}) for hook in ("pre-receive", "update")},
    "pre-receive-paths": _Case(_hook("pre-receive", f"read old new ref; {_REFUSE_NEW}"), {40}),
    "update-paths": _Case(_hook("update", f'old="$2" new="$3"; {_REFUSE_NEW}'), {40}),
    "pre-receive-killed": _Case(_hook("pre-receive", "kill -9 $$"), {40}),
    # The server dies of it, and says nothing.
    "transaction": _Case(_hook("reference-transaction", '[ "$1" != prepared ]'), {30}),
    "post-receive-fails": _Case(_hook("post-receive", "exit 1"), {0}),
    **{
        f"words-{n}": _Case(_hook("pre-receive", f"echo '{w}'; exit 1"), {40})
        for n, w in enumerate(_MISLEADING)
    },
    **{
        f"remote-{n}": _Case(_hook("pre-receive", f"echo '{w}' >&2; exit 1"), {40})
        for n, w in enumerate(_MISLEADING)
    },
    "too-large": _Case(_config("receive.maxInputSize", "64"), {40}),
    "fsck": _Case(_config("receive.fsckObjects", "true"), {0}),
    "no-rewinding": _Case(_config("receive.denyNonFastForwards", "true"), {0}),
    "no-deletions": _Case(_config("receive.denyDeletes", "true"), {0}),
    "kept-packs": _Case(_config("receive.unpackLimit", "1"), {0}),
    "hidden": _Case(_config("transfer.hideRefs", "refs/heads/main"), {40}),
    "no-filter": _Case(_config("uploadpack.allowFilter", "false"), {0}),
    "locked": _Case(_locked, {30}),
    "damaged": _Case(_damaged, {40}),
    **{f"keeps-base-{n}": _Case(_keeps_base(n), {0} if n < 5 else {30}) for n in (1, 2, 3, 4, 99)},
    **{f"keeps-older-{n}": _Case(_keeps_older(n), {0} if n < 5 else {30}, None) for n in (1, 2, 3, 4, 99)},
    **{f"lost-{how}-{n}": _Case(_loses(how, n), {0}) for how in _LOSSES for n in range(1, 7)},
    "redirect-loop": _Case(_redirects_in_circles, {40}),
    "redirect-file": _Case(_redirects_to_a_file, {40}),
    "https-trusted": _Case(lambda _: None, {0}),
    "https-another-ca": _Case(_trusts_another, {40}),
    "https-no-ca": _Case(_trusts_the_machines, {40}),
}


def _cases(seed: int) -> Iterator[str]:
    return shuffled(list(_CASES), seed)


def _run(place: Place, case: str) -> Counts:
    wrong, exits, commits = _CASES[case]
    with served(place, case, serve=_over_tls if case.startswith("https-") else http_git_server) as ours:
        wrong(ours)
        result = ours.world.sync(RETRY_ATTEMPTS="1")  # publish itself has to find out what landed
        _mend(ours)
        if commits is None:
            ours.world.oracle.rewritten()
        ours.world.oracle.check()
        return judged(ours.world, result, exits, struck=1, commits=commits)


def _mend(ours: Served) -> None:
    repository = ours.world.repository
    shutil.rmtree(repository / "hooks", ignore_errors=True)
    for name in ("receive.maxInputSize", "transfer.hideRefs"):
        with suppress(CalledProcessError):
            git(repository, "config", "--unset", name)
    ours.server.redirect_to = None
    ours.world.sync = ours.world.sync.with_settings(GIT_CA_FILE=str(ours.server.ca_file or ""))
    (repository / "refs/heads/main.lock").unlink(missing_ok=True)
    for missing in repository.glob("objects/??/*.missing"):
        missing.rename(missing.with_suffix(""))


FAMILY = Family("git-refusals", "The Git server has hooks, limits, locks, or lies", _cases, _run, quick=2)
