"""The trailer about a commit's modified files: it has a true number, or it is absent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.core import limits
from steps.publishing import isolated
from tests.support.hooks import By, refuse
from tests.support.repositories import bare_repository, commit_files, fsck, git, install_hook, message, sha
from tests.support.steps import prepare, publish, publish_again, result

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

A, B = (f"clusterbackup/east/shop/Pod/{name}.yaml" for name in "ab")


@pytest.fixture
def quick_inspection() -> None:
    """Start the process: these tests are about it."""


def pod(image: str, version: int = 1) -> bytes:
    metadata = f"{{name: a, resourceVersion: '{version}'}}"
    return f"kind: Pod\nmetadata: {metadata}\nspec: {{containers: [{{name: a, image: {image}}}]}}\n".encode()


def trailer(repository: Path, revision: str = "main") -> str:
    """Return the value of the trailer as git parses it, "" if it is absent."""
    wanted = "--format=%(trailers:key=Git-Sync-Substance,valueonly)"
    return git(repository, "log", "-1", wanted, revision).decode().strip()


@pytest.fixture(autouse=True)
def _pods(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({A: pod("x:1"), B: pod("y:1")})
    assert sync().exit == 0


def test_commit_says_how_many_modified_files_changed_in_substance(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    assert trailer(repository) == ""
    bucket.put_many({A: pod("x:2"), B: pod("y:1", version=2)})
    outcome = sync()
    assert outcome.exit == 0
    assert trailer(repository) == "1 of 2"
    assert message(repository).count("Git-Sync-Run: ") == 1
    assert [line["data"]["git_commit"] for line in outcome.of("git_commit", "info")] == [sha(repository)]
    assert sync.state["last_run"]["changes"]["modified_files"]["volatile"] == 1
    fsck(repository)
    assert sync().exit == 0


def test_first_commit_inspects_fewer_files_than_others_and_names_the_rest(
    sync: Sync, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INSPECTED_FIRST_FILES", 2)
    role = "clusterbackup/east/shop/Role/a.yaml"
    bucket.put_many({A: pod("x:1"), B: pod("y:1"), role: b"kind: Role\n"})
    first = sync.with_settings(GIT_REPOSITORY=f"file://{bare_repository(tmp_path / 'new.git')}")
    first = first.elsewhere(tmp_path / "new")
    assert first().exit == 0
    changes = first.state["last_run"]["changes"]
    assert changes["inspected"] == 2
    assert [one["path"] for one in changes["not_inspected"]] == ["east/shop/Pod/b.yaml"]
    bucket.put_many({A: pod("x:2"), B: pod("y:2"), role: b"kind: Role\nrules: []\n"})
    assert first().exit == 0
    assert first.state["last_run"]["changes"]["inspected"] == 3


def test_commit_counts_modified_files_by_the_rules_of_the_run(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("- kinds: [Pod]\n  drop: [spec]\n")
    bucket.put_many({A: pod("x:2"), B: pod("y:1", version=2)})
    assert sync.with_settings(RULES_FILE=str(rules))().exit == 0
    assert trailer(repository) == "0 of 2"


def test_commit_with_a_modified_file_that_is_not_inspected_has_no_trailer(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many({A: pod("x:2"), B: b"kind: Pod\nkind: Pod\n"})
    assert sync().exit == 0
    assert trailer(repository) == ""
    assert len(sync.state["last_run"]["changes"]["images"]) == 1


def test_commit_has_no_trailer_if_the_inspection_fails(
    sync: Sync, bucket: Bucket, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "_PROGRAM", "import os; os.abort()")
    bucket.put(A, pod("x:2"))
    assert sync().exit == 0
    assert trailer(repository) == ""


@pytest.mark.parametrize("fails_first", [True, False])
def test_repeated_publish_does_not_inspect_again(
    fails_first: bool, sync: Sync, bucket: Bucket, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(A, pod("x:2"))
    prepare(sync, "a")
    install_hook(repository, "pre-receive", "#!/bin/sh\nexit 1\n")
    with monkeypatch.context() as first:
        if fails_first:
            first.setattr(isolated, "_PROGRAM", "import os; os.abort()")
        assert publish(sync, "a").exit == 40
    install_hook(repository, "pre-receive", "#!/bin/sh\n")
    if not fails_first:
        monkeypatch.setattr(isolated, "_PROGRAM", "import os; os.abort()")
    assert publish(sync, "a").exit == 0
    assert trailer(repository) == ("" if fails_first else "1 of 1")
    assert len(result(sync, "a")["changes"]["images"]) == (not fails_first)


def test_publish_that_is_repeated_after_its_push_reports_the_same_changes(sync: Sync, bucket: Bucket) -> None:
    bucket.put(A, pod("x:2"))
    prepare(sync, "a")
    publish(sync, "a")
    first = result(sync, "a")["changes"]
    assert publish_again(sync, "a").exit == 0
    assert result(sync, "a")["changes"] == first


def test_commit_that_is_planned_again_counts_the_files_that_it_modifies(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many({A: pod("x:2"), B: pod("y:1", version=2)})
    prepare(sync, "a")
    commit_files(repository, {B: pod("y:1", version=2)})
    assert publish(sync, "a").exit == 0
    assert trailer(repository) == "1 of 1"


def test_parts_of_a_refused_commit_have_no_trailer(sync: Sync, bucket: Bucket, repository: Path) -> None:
    refuse(repository, By.PATH)
    base = sha(repository)
    bucket.put_many({A: pod("x:2"), B: pod("y:2"), "clusterbackup/east/forbidden/a.yaml": b"x"})
    assert sync().exit == 10
    commits = git(repository, "rev-list", f"{base}..main").decode().split()
    assert commits
    assert {trailer(repository, commit) for commit in commits} == {""}
    assert len(sync.state["last_run"]["changes"]["images"]) == 2
