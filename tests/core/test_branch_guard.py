"""The branch guard's tokens and texts."""

from __future__ import annotations

import pytest

from steps.core.approvals import Argo
from steps.core.branch_guard import Loss, LostBranch, advice, new_branch_token

_COMMIT = "a" * 40
_LOST = LostBranch(Loss.GONE, "https://git.example.com/backups.git", "main", _COMMIT, "0123456789abcdef")


@pytest.mark.parametrize("other", [("r2", "main", _COMMIT), ("r", "m", _COMMIT), ("r", "main", "b" * 40)])
def test_token_depends_on_repository_branch_and_commit(other: tuple[str, str, str]) -> None:
    token = new_branch_token("r", "main", _COMMIT)
    assert token == new_branch_token("r", "main", _COMMIT)
    assert token != new_branch_token(*other)


def test_advice_names_the_approval_and_the_files_of_refused_deletions() -> None:
    assert advice(_LOST, {}, None) == (
        "restore the branch at the Git host, or correct GIT_BRANCH. If the loss is intended, approve exactly "
        "this one: git-sync run --allow-new-branch 0123456789abcdef"
    )
    text = advice(_LOST, {"east": 1, "west": 67}, Argo("backup-system"))
    assert "lacks files whose deletion was refused: 1 file of east, 67 files of west. If" in text
    assert text.endswith(
        "--from workflowtemplate/git-sync -p allow-new-branch=0123456789abcdef -p branch=main"
    )


@pytest.mark.parametrize(
    ("loss", "words"), [(Loss.GONE, "no longer exists"), (Loss.REPLACED, "does not contain")]
)
def test_description_names_repository_branch_and_commit(loss: Loss, words: str) -> None:
    text = LostBranch(loss, _LOST.repository, _LOST.branch, _COMMIT, "").description
    assert text.startswith(f"branch main of https://git.example.com/backups.git {words}")
    assert _COMMIT in text
