"""The branch guard: a branch that has lost the last pushed commit is not continued without an approval.

A host's rename of the branch, a deletion or a forced push of another history would otherwise look like
the first run. That run would also make every deletion that the deletion guard had refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from steps.core.approvals import TOKEN_CHARACTERS, Origin, approval_command
from steps.core.wording import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from steps.core.approvals import Argo


class Loss(StrEnum):
    """What happened to the branch."""

    GONE = "gone"
    REPLACED = "replaced"


@dataclass(frozen=True)
class LostBranch:
    """A branch without the last commit that git-sync pushed to it.

    ``allow_new_branch`` is the token that approves the loss of exactly this commit.
    """

    loss: Loss
    repository: str
    branch: str
    commit: str
    allow_new_branch: str

    @property
    def description(self) -> str:
        """What happened: the one text for the log, the report and the health check."""
        where = f"branch {self.branch} of {self.repository}"
        if self.loss is Loss.GONE:
            return f"{where} no longer exists; the last commit pushed to it is {self.commit}"
        return f"{where} does not contain {self.commit}, the last commit pushed to it"


def new_branch_token(repository: str, branch: str, commit: str) -> str:
    """Return the token that approves the loss of this commit on this branch, and of no other commit."""
    text = "\0".join((repository, branch, commit))
    return hashlib.sha256(text.encode()).hexdigest()[:TOKEN_CHARACTERS]


def advice(lost: LostBranch, refused_deletions: Mapping[str, int], argo: Argo | None) -> str:
    """Return what to do. ``refused_deletions`` are the numbers of refused deletions by printable cluster.

    The files of these deletions exist only in the lost commit.
    """
    files = ", ".join(f"{plural(number, 'file')} of {name}" for name, number in refused_deletions.items())
    kept = f". A new history lacks files whose deletion was refused: {files}" if files else ""
    origin = Origin(argo, lost.branch)
    return (
        f"restore the branch at the Git host, or correct GIT_BRANCH{kept}. If the loss is intended, approve "
        f"exactly this one: {approval_command([lost.allow_new_branch], origin, 'allow-new-branch')}"
    )
