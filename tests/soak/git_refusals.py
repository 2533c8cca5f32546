"""The Git server has hooks, limits, locks, false answers or redirects."""

from __future__ import annotations

import shutil
from contextlib import suppress
from subprocess import CalledProcessError
from typing import TYPE_CHECKING, NamedTuple

import trustme

from tests.soak.family import Counts, Family, shuffled
from tests.soak.git_world import Served, served, verify_recovery
from tests.support.gitserver import http_git_server, https_git_server
from tests.support.repositories import git, sha

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.soak.world import Place
    from tests.support.gitserver import GitServer, Loss

_LOSSES: tuple[Loss, ...] = ("cut", "reset")

# Messages of hooks that are also messages of failing servers.
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
    """A fault, the exit codes that a run may end with, and the number of commits at the end."""

    inject: Callable[[Served], None]
    exits: set[int]
    commits: int | None = 2


def _hook(name: str, script: str) -> Callable[[Served], None]:
    return lambda setup: _install(setup.world.repository, name, script)


def _install(repository: Path, name: str, script: str) -> None:
    hook = repository / "hooks" / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)


def _config(name: str, value: str) -> Callable[[Served], None]:
    return lambda setup: _configure(setup, name, value)


def _configure(setup: Served, name: str, value: str) -> None:
    git(setup.world.repository, "config", name, value)


def _locked(setup: Served) -> None:
    (setup.world.repository / "refs/heads/main.lock").touch()


def _damaged(setup: Served) -> None:
    """Remove the tree of the newest commit."""
    tree = git(setup.world.repository, "rev-parse", "main^{tree}").decode().strip()
    object_ = setup.world.repository / "objects" / tree[:2] / tree[2:]
    object_.rename(object_.with_suffix(".missing"))


def _resets_to_base(times: int) -> Callable[[Served], None]:
    """Report success, and reset the branch to its commit before the push."""
    return lambda setup: _reset_after_push(setup, sha(setup.world.repository), times)


def _resets_to_older(times: int) -> Callable[[Served], None]:
    """Report success, and reset the branch to an older commit."""

    def inject(setup: Served) -> None:
        older = setup.world.commit_as_other_user({"README.md": b"theirs\n"})
        setup.world.commit_as_other_user({"README.md": b"theirs again\n"})
        _reset_after_push(setup, older, times)

    return inject


def _reset_after_push(setup: Served, commit: str, times: int) -> None:
    count = f'echo >> "$0.count"; [ "$(wc -l < "$0.count")" -le {times} ] || exit 0'
    _install(setup.world.repository, "post-receive", f"{count}\ngit update-ref refs/heads/main {commit}")


def _loses(how: Loss, times: int) -> Callable[[Served], None]:
    """Drop the responses of this many pushes, so that the client does not learn their result."""
    return lambda setup: setup.server.lose_response(times, how=how)


def _redirects_in_circles(setup: Served) -> None:
    setup.server.redirect_to = f"http://{setup.proxy.endpoint}"


def _redirects_to_a_file(setup: Served) -> None:
    setup.server.redirect_to = "file:///tmp"


def _trusts_another(setup: Served) -> None:
    """Trust another CA than the one that issued the certificate of the server."""
    file = setup.world.repository.with_name("another-ca.pem")
    trustme.CA().cert_pem.write_to_path(str(file))
    setup.world.sync = setup.world.sync.with_settings(GIT_CA_FILE=str(file))


def _trusts_the_machines(setup: Served) -> None:
    """Trust only the CAs of this machine, which did not issue the certificate."""
    setup.world.sync = setup.world.sync.with_settings(GIT_CA_FILE="")


def _over_tls(root: Path, token: str) -> AbstractContextManager[GitServer]:
    return https_git_server(root, trustme.CA(), token)


_CASES: dict[str, _Case] = {
    **{f"{hook}-always": _Case(_hook(hook, "exit 1"), {40}) for hook in ("pre-receive", "update")},
    "pre-receive-killed": _Case(_hook("pre-receive", "kill -9 $$"), {40}),
    # git-receive-pack dies without a message.
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
    **{f"resets-to-base-{n}": _Case(_resets_to_base(n), {0} if n < 5 else {30}) for n in (1, 2, 3, 4, 99)},
    **{
        f"resets-to-older-{n}": _Case(_resets_to_older(n), {0} if n < 5 else {30}, None)
        for n in (1, 2, 3, 4, 99)
    },
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
    inject, exits, commits = _CASES[case]
    with served(place, case, serve=_over_tls if case.startswith("https-") else http_git_server) as setup:
        inject(setup)
        result = setup.world.sync(RETRY_ATTEMPTS="1")  # publish must find out itself what was pushed
        _repair(setup)
        if commits is None:
            setup.world.oracle.rewritten()
        setup.world.oracle.check()
        return verify_recovery(setup.world, result, exits, triggered=1, commits=commits)


def _repair(setup: Served) -> None:
    repository = setup.world.repository
    shutil.rmtree(repository / "hooks", ignore_errors=True)
    for name in ("receive.maxInputSize", "transfer.hideRefs"):
        with suppress(CalledProcessError):
            git(repository, "config", "--unset", name)
    setup.server.redirect_to = None
    setup.world.sync = setup.world.sync.with_settings(GIT_CA_FILE=str(setup.server.ca_file or ""))
    (repository / "refs/heads/main.lock").unlink(missing_ok=True)
    for missing in repository.glob("objects/??/*.missing"):
        missing.rename(missing.with_suffix(""))


FAMILY = Family(
    "git-refusals", "The Git server has hooks, limits, locks or false answers", _cases, _run, quick=2
)
