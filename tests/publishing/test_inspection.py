"""Inspecting changed files: what is fetched and compared, and what happens when that fails."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from steps.clients.git.repository import Repository
from steps.core import limits
from steps.core.git_objects import EMPTY_TREE
from steps.errors import TryAgain
from steps.publishing import isolated
from steps.publishing.inspection import inspect_changes, inspect_published
from steps.publishing.isolated import Budget
from steps.runtime import logs
from steps.runtime.logs import LogFormat, LogLevel
from steps.runtime.settings.reading import read
from tests.support.repositories import (
    bare_repository,
    commit_files,
    git,
    tree,
)
from tests.support.sync import CommandResult, Sync

if TYPE_CHECKING:
    from pathlib import Path

    from steps.kubernetes.change_summary import ChangeSummary
    from tests.support.bucket import Bucket


POD = b"kind: Pod\n"
# libyaml takes a second for it, and it needs 14 MiB.
SLOW = b"[" + b"[]," * 174_000 + b"]"


@pytest.fixture
def quick_inspection() -> None:
    """Start the process: these tests are about it."""


def inspect_files(
    sync: Sync, tmp_path: Path, files: dict[str, bytes], budget: Budget | None = None
) -> ChangeSummary:
    scratch = tmp_path / "scratch.git"
    with Repository(read(sync.settings).git, scratch, tmp_path / "gitconfig") as repository:
        return inspect_changes(repository, "x/", commit_files(scratch, dict(files)), budget=budget)


@pytest.fixture(autouse=True)
def _json_log() -> None:
    logs.set_up(LogLevel.INFO, LogFormat.JSON, list)


def test_inspection_is_partial_on_a_server_without_old_blobs(bucket: Bucket, tmp_path: Path) -> None:
    """Over file:// a server without partial clone sends all objects, so either outcome is right."""
    repository = bare_repository(tmp_path / "old.git", partial_clone=False)
    sync = Sync.between(bucket, repository, tmp_path / "workspace")
    bucket.put(
        "clusterbackup/east/shop/Pod/a.yaml", b"kind: Pod\nspec: {containers: [{name: a, image: b}]}\n"
    )
    assert sync().exit == 0
    bucket.put(
        "clusterbackup/east/shop/Pod/a.yaml", b"kind: Pod\nspec: {containers: [{name: a, image: c}]}\n"
    )
    assert sync().exit == 0
    changes = sync.state["last_run"]["changes"]
    assert changes["kinds"]["Pod"]["modified"] == 1
    assert len(changes["images"]) == changes["inspected"] == 1 - len(changes["not_inspected"])


def test_inspection_skips_links_and_executables(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put("clusterbackup/east/shop/Pod/a.yaml", b"kind: Pod\n")
    commit_files(
        repository,
        {
            "clusterbackup/east/shop/Pod/a.yaml": ("120000", b"/etc/passwd"),
            "clusterbackup/east/shop/Pod/gone.yaml": ("100755", b"kind: Pod\n"),
        },
    )
    outcome = sync()
    assert outcome.exit == 0
    assert outcome.of("git_diff") == []
    changes = sync.state["last_run"]["changes"]
    assert changes["kinds"] == {"Pod": {"added": 0, "modified": 1, "deleted": 1, "volatile": 0}}
    reasons = {one["path"]: one["reason"] for one in changes["not_inspected"]}
    paths = ("east/shop/Pod/a.yaml", "east/shop/Pod/gone.yaml")
    assert reasons == dict.fromkeys(paths, "a link, a submodule or an executable file")


def test_inspection_is_empty_if_git_fails(
    sync: Sync, bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put("clusterbackup/east/shop/Pod/a.yaml", b"kind: Pod\n")
    assert sync().exit == 0
    with Repository(read(sync.settings).git, tmp_path / "scratch.git", tmp_path / "gitconfig") as repository:
        found = inspect_published(repository, "clusterbackup/", "0" * 40, EMPTY_TREE, budget=Budget())
    assert isinstance(found, str)
    assert "bad object" in found
    assert "Failed to inspect the changes" in capsys.readouterr().out


def test_inspection_is_empty_after_an_unexpected_error(
    sync: Sync, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Repository(read(sync.settings).git, tmp_path / "scratch.git", tmp_path / "gitconfig") as repository:
        found = inspect_published(repository, "clusterbackup/", "no process takes \0", "", budget=Budget())
    assert found == "git-sync failed to inspect it (ValueError)"
    outcome = CommandResult(0, capsys.readouterr().out).of("git_diff", "warning")
    assert [(line["message"], line["error"]) for line in outcome] == [
        ("Failed to inspect all changes", "ValueError")
    ]


def test_inspection_names_unreadable_files_and_stops_at_its_deadline(sync: Sync, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch.git"
    with Repository(read(sync.settings).git, scratch, tmp_path / "gitconfig") as repository:
        pods = [f"kind: Pod\nspec: {{containers: [{{name: a, image: {i}}}]}}\n".encode() for i in "bc"]
        _, oid = (
            commit_files(
                scratch, {"x/east/shop/Pod/a.yaml": pod, "x/east/shop/Pod/b.yaml": b"%TAG !a! b\n---\n" + pod}
            )
            for pod in pods
        )
        found = inspect_changes(repository, "x/", oid)
        assert [(one.before, one.after) for one in found.images] == [("b", "c")]
        (other,) = found.not_inspected
        assert (other.path, other.reason) == ("east/shop/Pod/b.yaml", "contains a YAML directive")
        with pytest.raises(TryAgain, match="the inspection took too long"):
            inspect_changes(repository, "x/", oid, budget=Budget(seconds=0))


def test_file_that_takes_too_long_does_not_hide_the_others(
    sync: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INSPECTED_FILE_SECONDS", 0.3)
    found = inspect_files(sync, tmp_path, {"x/e/bad.yaml": SLOW, "x/e/good.yaml": POD, "x/e/z.yaml": POD})
    assert [(one.path, one.reason) for one in found.not_inspected] == [
        ("e/bad.yaml", "takes more than 0.3 s to read")
    ]
    assert found.inspected == 2


def test_file_that_needs_too_much_memory_does_not_hide_the_others(sync: Sync, tmp_path: Path) -> None:
    budget = Budget(memory_bytes=40 * 2**20)
    found = inspect_files(sync, tmp_path, {"x/e/bad.yaml": SLOW, "x/e/good.yaml": POD}, budget)
    (bad,) = found.not_inspected
    assert bad.path == "e/bad.yaml"
    assert bad.reason in {
        "git-sync failed to read it (MemoryError)",
        "the process that inspects files failed (exit status 1)",
    }
    assert found.inspected == 1


def test_run_succeeds_if_the_inspection_crashes(
    sync: Sync, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "_PROGRAM", "import os\nos.abort()\n")
    bucket.put("clusterbackup/east/shop/Role/a.yaml", b"kind: Pod\n")
    outcome = sync()
    assert outcome.exit == 0
    (warning,) = outcome.of("git_diff", "warning")
    assert warning["error"] == "the process that inspects files was killed (SIGABRT)"
    changes = sync.state["last_run"]["changes"]
    assert [one["reason"] for one in changes["not_inspected"]] == [warning["error"]]
    assert [one["path"] for one in changes["security_changes"]] == ["east/shop/Role/a.yaml"]


@pytest.mark.parametrize(
    "budget", [Budget(total_bytes=60), Budget(files=1), Budget(facts=1)], ids=["bytes", "files", "facts"]
)
def test_inspection_stops_at_each_limit(budget: Budget, sync: Sync, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch.git"
    with Repository(read(sync.settings).git, scratch, tmp_path / "gitconfig") as repository:
        pod = b"kind: Pod\nspec: {containers: [{name: a, image: %d}]}\n"
        files = {f"x/east/shop/Pod/{n}.yaml": pod % n for n in range(5)}
        oid = commit_files(scratch, files)
        assert inspect_changes(repository, "x/", oid, budget=budget).inspected == 1


def test_many_changes_of_one_cluster_leave_room_for_another(sync: Sync, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch.git"
    with Repository(read(sync.settings).git, scratch, tmp_path / "gitconfig") as repository:
        files = {f"x/aa/shop/Role/{n}.yaml": b"kind: Role" for n in range(300)} | {
            "x/bb/a.yaml": b"kind: Pod"
        }
        oid = commit_files(scratch, files)
        found = inspect_changes(repository, "x/", oid, budget=Budget(files=200))
    assert found.inspected == 200
    assert found.kinds["Pod"].added == 1


def test_large_files_of_one_cluster_are_read_after_small_ones_of_another(sync: Sync, tmp_path: Path) -> None:
    image = b"- {name: a%d, image: b}\n"
    pod = b"kind: Pod\nspec:\n  containers:\n"
    large = pod + b"".join(b"  " + image % n for n in range(500)) + b"#" * 100_000
    files = {f"x/aa/{n}.yaml": large for n in range(3)}
    files = {name: content + b"# %d" % n for n, (name, content) in enumerate(files.items())}
    files |= {f"x/bb/{n}.yaml": pod + b"  " + image % n for n in range(20)}
    found = inspect_files(sync, tmp_path, files, Budget(facts=200))
    assert found.inspected == 21
    assert {one.path.partition("/")[0] for one in found.not_inspected} <= {"aa"}


def test_files_of_one_cluster_that_end_the_process_do_not_hide_another_cluster(
    sync: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INSPECTED_FILE_SECONDS", 0.3)
    files = {f"x/aa/{n}.yaml": SLOW + b"# %d" % n for n in range(7)}
    files |= {f"x/bb/{n}.yaml": POD + b"#" * 200_000 * n for n in range(3)}
    found = inspect_files(sync, tmp_path, files)
    reasons = Counter(one.reason for one in found.not_inspected if one.path.startswith("aa"))
    assert reasons["takes more than 0.3 s to read"] == 2
    assert found.kinds["Pod"].added == 3


def test_file_that_ends_the_process_near_the_deadline_keeps_what_was_read(
    sync: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INSPECTED_FILE_SECONDS", 0.3)
    monkeypatch.setattr(isolated, "_FILES_LEFT", 100)
    files = {f"x/{name}/a.yaml": SLOW + name.encode() for name in ("bb", "cc", "dd")} | {"x/aa/pod.yaml": POD}
    found = inspect_files(sync, tmp_path, files)
    assert found.kinds["Pod"].added == 1
    assert found.inspected == 1


def test_inspection_fetches_old_versions_of_inspected_files_only(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    paths = [f"clusterbackup/east/shop/Pod/{n:02}.yaml" for n in range(11)]
    commit_files(repository, {path: f"kind: Pod\n# {path}\n".encode() for path in paths})
    old = {path: entry.sha for path, entry in tree(repository).items()}
    bucket.put_many({path: f"kind: Pod\n# {path} ".encode() + b"x" * 500_000 for path in paths[1:]})
    bucket.put(paths[0], b"kind: Pod\n#" + b"x" * 600_000)
    assert sync().exit == 0
    listed = git(sync.work_dir / ".git", "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    fetched = {path for path, oid in old.items() if oid in listed.decode().split()}
    changes = sync.state["last_run"]["changes"]
    assert len(fetched) == changes["inspected"] == 10
    assert paths[0] not in fetched
    assert [one["reason"] for one in changes["not_inspected"]] == ["larger than 512 KiB"]
