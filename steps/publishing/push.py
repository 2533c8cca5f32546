"""Pushing a commit, and asking the remote afterwards where the branch is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steps.clients.git.errors import PushRefusedForNow
from steps.core.operations import Operation
from steps.errors import SyncError, TryAgain
from steps.runtime import logs, retry

if TYPE_CHECKING:
    from steps.clients.git.repository import Repository
    from steps.contracts import Run


@dataclass
class PushCount:
    """How often git push has run. The caller owns it, so that an error or a signal does not lose it."""

    attempts: int = 0


def push(  # noqa: PLR0913 - what to push, where to, and how patiently
    repository: Repository,
    run: Run,
    oid: str,
    base: str | None,
    count: PushCount,
    *,
    retries_refusals: bool = True,
) -> str | None:
    """Push until the branch is no longer at ``base``, and return its new commit: ``oid``, or another one.

    git's exit status does not decide: a push that failed may have landed, and a server may report success
    and drop the ref. So the remote is asked after each push. Raises the SyncError of the last push if the
    branch stays at ``base``. ``retries_refusals``: push again if the host has refused the push for now.
    """
    problem: SyncError | None = None
    for _ in retry.PUSHES.tries():
        count.attempts += 1
        with logs.timed() as elapsed:
            problem = _attempt(repository, oid, base)
            tip = repository.remote_tip()
        if tip == oid:
            logs.info(
                Operation.GIT_PUSH,
                f"Pushed {oid[:12]} to {run.branch}",
                took=elapsed(),
                git_commit=oid,
                branch=run.branch,
                attempts=count.attempts,
            )
        if tip != base:
            return tip
        if not problem.transient or (isinstance(problem, PushRefusedForNow) and not retries_refusals):
            break
        logs.warning(Operation.GIT_PUSH, "The push did not reach the branch; retrying", error=problem.error)
    assert problem is not None  # noqa: S101 - there is at least one attempt
    raise problem


def _attempt(repository: Repository, oid: str, base: str | None) -> SyncError:
    """Push once, and return the error to raise if the branch has not moved."""
    try:
        repository.push(oid, base)
    except SyncError as problem:
        return problem
    return TryAgain(
        Operation.GIT_PUSH,
        "Failed to push to repository",
        "the server reported success but did not update the branch",
    )


def log_moved_branch(run: Run, tip: str | None) -> None:
    """Log that another push came first."""
    if tip is None:
        message = f"Branch {run.branch} no longer exists; planning again without it"
    else:
        message = f"Branch {run.branch} has moved; planning again on {tip[:12]}"
    logs.warning(Operation.GIT_PUSH, message, branch=run.branch, tip=tip)
