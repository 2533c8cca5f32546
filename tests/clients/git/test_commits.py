"""Reading commits within the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps.clients.git import commits
from steps.clients.git.commits import Commit, readable
from steps.clients.git.objects import Objects
from steps.clients.git.process import Git
from steps.core.limits import COMMIT_BYTES, COMMITS_BYTES
from tests.support.repositories import commit_files, git, git_environment, log

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MESSAGE = """Automated backup sync

Git-Sync-Run: r1
Git-Sync-Listed: east 2025-07-12T22:06:58Z
Git-Sync-Listed: west 2025-07-12T22:06:58Z
"""


def objects_of(repository: Path) -> Objects:
    found = Objects()
    found._git = Git(repository, git_environment(), [])
    return found


def test_commits_have_emails_and_the_trailers_of_the_requested_clusters(repository: Path) -> None:
    commit_files(repository, {"a": b"1"}, message=MESSAGE)
    commit_files(repository, {"a": b"2"}, message="by a person")
    newest, oldest = objects_of(repository).commits(log(repository), ["west", "north"])
    assert newest.readable
    assert newest.emails == {"someone@example.com"}
    assert newest.trailers.run_id is None
    assert (oldest.trailers.run_id, set(oldest.trailers.listed)) == ("r1", {"west"})


def test_commit_over_the_limit_has_no_trailers(repository: Path) -> None:
    commit_files(repository, {"a": b"1"}, message=MESSAGE)
    commit_files(repository, {"a": b"2"}, message="x" * COMMIT_BYTES + MESSAGE)
    newest, oldest = objects_of(repository).commits(log(repository), ["east"])
    assert newest == Commit(log(repository)[0])
    assert oldest.trailers.run_id == "r1"


def test_commit_with_a_huge_author_is_not_read(repository: Path) -> None:
    commit_files(repository, {"a": b"1"})
    raw = git(repository, "cat-file", "commit", "main").replace(b"Someone Else", b"x" * COMMIT_BYTES)
    oid = git(repository, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=raw)
    assert objects_of(repository).commits([oid.decode().strip()]) == [Commit(oid.decode().strip())]


def test_commits_beyond_the_budget_of_a_step_are_not_read(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        commit_files(repository, {"a": b"%d" % number}, message=MESSAGE)
    size = len(git(repository, "cat-file", "commit", "main~1"))
    monkeypatch.setattr(commits, "COMMITS_BYTES", 2 * size + 10)
    found = objects_of(repository).commits(log(repository))
    assert [commit.readable for commit in found] == [True, True, False]


def test_readable_commits_are_read_in_batches_within_the_limits() -> None:
    sizes = {str(number): COMMIT_BYTES // 3 for number in range(1000)}
    batches = list(readable(sizes))
    assert {len(batch) for batch in batches[:-1]} == {3}
    assert sum(map(len, batches)) == COMMITS_BYTES // (COMMIT_BYTES // 3)
    assert list(readable({"a": COMMIT_BYTES + 1})) == []
