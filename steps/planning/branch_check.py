"""Whether the branch still contains the commit that git-sync pushed last: the check of the branch guard.

The volume and the state know that commit. Without either, a run is the first one and nothing is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steps.contracts import LastPush, State
from steps.core.branch_guard import Loss, LostBranch, advice, new_branch_token
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.errors import ApproveNewBranch, FixConfiguration
from steps.runtime import logs, retry
from steps.workdir.files import read_document, write_document
from steps.workdir.state_file import read_state

if TYPE_CHECKING:
    from steps.clients.git.repository import Repository
    from steps.runtime.settings.reading import Settings
    from steps.workdir.volume import Volume


@dataclass(frozen=True)
class Checked:
    """The fetched tip, and the commit that the branch contains or the approved loss of it."""

    tip: str | None = None
    required_commit: str | None = None
    replaces: str | None = None


NOT_CHECKED = Checked()


def check_branch(settings: Settings, volume: Volume, repository: Repository, tip: str | None) -> Checked:
    """Check that the fetched branch, which is at ``tip``, contains the last pushed commit.

    Returns a newer tip if the Git host shows one on a retry. Raises ApproveNewBranch if no tip contains the
    commit and ALLOW_NEW_BRANCH does not approve the loss. A dry run only logs it.
    """
    known = last_push(settings, volume)
    if known is None:
        return Checked(tip)
    tip, is_contained = _newest_tip(repository, known.commit, tip)
    if is_contained:
        return Checked(tip, required_commit=known.commit)
    lost = LostBranch(
        loss=Loss.GONE if tip is None else Loss.REPLACED,
        repository=known.repository,
        branch=known.branch,
        commit=known.commit,
        allow_new_branch=new_branch_token(known.repository, known.branch, known.commit),
    )
    approved = lost.allow_new_branch in settings.guards.allow_new_branch
    refused = _refused_deletions(read_state(volume.state))
    error = f"{lost.description}; {advice(lost, refused, settings.sync.argo)}"
    if approved:
        message = "Continuing on another history, as approved"
        logs.warning(Operation.GIT_CLONE, message, error=lost.description)
    elif settings.sync.dry_run:
        logs.warning(Operation.GIT_CLONE, "A run would refuse to continue on another history", error=error)
    else:
        raise ApproveNewBranch(lost, error)
    return Checked(tip, replaces=known.commit)


def _newest_tip(repository: Repository, commit: str, tip: str | None) -> tuple[str | None, bool]:
    """Return the branch's tip, which is fetched, and whether it contains ``commit``.

    A replica of the Git host that lags shows an older branch for a while. So git-sync asks again.
    """
    for attempt in retry.REPLICAS.tries():
        if attempt > 1:
            before, tip = tip, repository.remote_tip()
            if tip == before:
                continue
            tip = tip and repository.fetch()
        if tip is not None and (tip == commit or repository.contains(commit)):
            return tip, True
    return tip, False


def note_push(volume: Volume, push: LastPush) -> None:
    """Record the pushed commit on the volume."""
    write_document(volume.last_push, push)


def last_push(settings: Settings, volume: Volume) -> LastPush | None:
    """Return the last push to this branch; None if none is known. The volume knows it before the state."""
    for read in (_push_of_volume, _push_of_state):
        push = read(volume)
        if push and (push.repository, push.branch) == (settings.git.repository, settings.git.branch):
            return push
    return None


def _push_of_state(volume: Volume) -> LastPush | None:
    state = read_state(volume.state)
    return state.last_push if state else None


def _push_of_volume(volume: Volume) -> LastPush | None:
    try:
        return read_document(volume.last_push, LastPush)
    except FileNotFoundError:
        return None
    except FixConfiguration as problem:
        logs.warning(Operation.DISCOVER, "Ignoring a damaged cache", error=problem.error)
        return None


def _refused_deletions(state: State | None) -> dict[str, int]:
    if state is None:
        return {}
    return {
        printable(name): cluster.deletions_refused
        for name, cluster in sorted(state.clusters.items())
        if cluster.deletions_refused
    }
