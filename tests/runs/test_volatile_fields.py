"""VOLATILE_FIELDS=strip, from the bucket to Git."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.repositories import contents, message, sha

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

KEY = "clusterbackup/east/shop/pod-{}.yaml"
EVENT_KEY = "clusterbackup/east/shop/event-{}.yaml"


def pod(name: str, version: int, image: str = "nginx:1") -> bytes:
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  resourceVersion: '{version}'\n"
        f"spec:\n  containers:\n  - image: {image}\nstatus:\n  phase: Running {version}\n"
    ).encode()


def stripped(name: str, image: str = "nginx:1") -> bytes:
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n  - image: {image}\n"
    ).encode()


def event(name: str) -> bytes:
    return f"apiVersion: v1\nkind: Event\nmetadata:\n  name: {name}\n".encode()


@pytest.fixture
def strip(sync: Sync, bucket: Bucket) -> Sync:
    """A sync with VOLATILE_FIELDS=strip; the bucket has ten pods, two events and a text."""
    bucket.put_many({KEY.format(n): pod(f"p{n}", 1) for n in range(10)})
    bucket.put_many({EVENT_KEY.format(n): event(f"e{n}") for n in range(2)})
    bucket.put("clusterbackup/east/notes.txt", b"kind: [text\n")
    return sync.with_settings(VOLATILE_FIELDS="strip")


EXPECTED = {KEY.format(n): stripped(f"p{n}") for n in range(10)} | {
    "clusterbackup/east/notes.txt": b"kind: [text\n"
}


def fetched(result: object) -> int:
    (downloaded,) = result.of("download", "info")  # type: ignore[attr-defined]
    return int(downloaded["data"]["fetched"])


def test_volatile_fields_and_omitted_objects_are_not_written(strip: Sync, repository: Path) -> None:
    result = strip()
    assert result.exit == 0
    assert contents(repository) == EXPECTED
    (downloaded,) = result.of("download", "info")
    figures = {name: downloaded["data"][name] for name in ("rewritten", "kept_exactly", "omitted")}
    assert figures == {"rewritten": 10, "kept_exactly": 1, "omitted": 2}
    (cluster,) = strip.state["last_run"]["clusters"]
    assert {name: cluster[name] for name in figures} == figures
    assert (cluster["accepted"], cluster["files"]) == (11, 11)
    assert strip.state["counters"]["objects_rewritten"] == 10
    assert strip.state["counters"]["bytes_cut"] == 500
    assert (
        downloaded["message"]
        == "east: 13 objects in the bucket, 13 fetched, 10 rewritten with 500 bytes less"
    )
    assert downloaded["data"]["cut_bytes"] == sum(
        len(pod(f"p{n}", 1)) - len(stripped(f"p{n}")) for n in range(10)
    )


def test_change_of_volatile_fields_only_makes_no_commit(
    strip: Sync, bucket: Bucket, repository: Path
) -> None:
    assert strip().exit == 0
    before = sha(repository)
    bucket.put_many({KEY.format(n): pod(f"p{n}", 2) for n in range(10)})
    bucket.put(EVENT_KEY.format(9), event("new"))
    result = strip()
    assert (result.exit, fetched(result)) == (0, 11)
    assert sha(repository) == before
    assert fetched(strip()) == 0


def test_run_without_changes_fetches_nothing_and_neither_do_omitted_objects(
    strip: Sync, repository: Path
) -> None:
    assert fetched(strip()) == 13
    before = sha(repository)
    assert fetched(strip()) == 0
    assert sha(repository) == before


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_lost_caches_give_the_same_blobs(strip: Sync, mode: str, repository: Path) -> None:
    assert strip().exit == 0
    before = sha(repository)
    shutil.rmtree(strip.work_dir / ".git-sync")
    result = strip(SYNC_MODE=mode)
    assert (result.exit, fetched(result)) == (0, 13)
    assert sha(repository) == before


def test_full_mode_compares_with_what_is_written(strip: Sync, repository: Path) -> None:
    assert strip().exit == 0
    before = sha(repository)
    result = strip(SYNC_MODE="full")
    assert (result.exit, fetched(result)) == (0, 13)
    assert not result.of("download", "warning")
    assert sha(repository) == before


def test_change_of_the_policy_rewrites_the_files_in_one_commit(
    strip: Sync, sync: Sync, repository: Path
) -> None:
    assert sync().exit == 0
    assert contents(repository)[KEY.format(3)] == pod("p3", 1)
    assert "Git-Sync-Rules" not in message(repository)
    result = strip()  # two of two events are deleted, and no guard is asked
    assert result.exit == 0
    assert contents(repository) == EXPECTED
    assert "Changes: 0 new, 10 modified, 2 deleted" in message(repository)
    assert "\nGit-Sync-Rules: " in message(repository)
    assert sync().exit == 0
    assert contents(repository)[KEY.format(3)] == pod("p3", 1)


def test_dry_run_says_how_much_a_change_of_the_policy_rewrites(
    strip: Sync, sync: Sync, repository: Path
) -> None:
    assert sync().exit == 0
    before = sha(repository)
    result = strip("run", "--dry-run")
    messages = [entry["message"] for entry in result.of("detect_changes", "info")]
    assert "east: 0 new, 10 modified, 2 deleted" in messages
    assert result.of("download", "info")[0]["data"]["cut_bytes"] == 500
    assert sha(repository) == before


def test_other_rules_ignore_the_cache(strip: Sync, repository: Path, tmp_path: Path) -> None:
    assert strip().exit == 0
    rules = tmp_path / "rules.yaml"
    rules.write_text("- kinds: [Pod]\n  keep: [status]\n- kinds: [Event]\n  omit: false\n")
    ruled = strip.with_settings(RULES_FILE=str(rules))
    assert ruled().exit == 0
    assert b"status:\n  phase: Running 1\n" in contents(repository)[KEY.format(0)]
    assert EVENT_KEY.format(0) in contents(repository)
    before = sha(repository)
    assert fetched(ruled()) == 0
    assert sha(repository) == before


def test_cluster_of_omitted_objects_does_not_count_as_vanished(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({EVENT_KEY.format(n): event(f"e{n}") for n in range(9)})
    assert sync().exit == 0
    bucket.delete(EVENT_KEY.format(0))
    assert sync.with_settings(VOLATILE_FIELDS="strip")().exit == 20
    (east,) = sync.state["last_run"]["clusters"]
    assert (east["decision"], east["deletions_refused"]) == ("emptied_by_policy", 9)


def test_omitted_objects_leave_the_guard_to_the_other_deletions(
    strip: Sync, bucket: Bucket, sync: Sync, repository: Path
) -> None:
    assert sync().exit == 0
    for n in range(8):
        bucket.delete(KEY.format(n))
    result = strip()
    assert result.exit == 20
    assert EVENT_KEY.format(0) not in contents(repository)
    assert KEY.format(0) in contents(repository)


def test_download_only_mode_strips_as_well(strip: Sync) -> None:
    only = strip.with_settings(GIT_REPOSITORY="")
    assert only().exit == 0
    root = only.work_dir / "clusterbackup"
    files = {f"clusterbackup/{path.relative_to(root)}" for path in root.rglob("*") if path.is_file()}
    assert files == EXPECTED.keys()
    assert (root / "east/shop/pod-1.yaml").read_bytes() == stripped("p1")
    assert fetched(only()) == 0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("- kinds: [Pod]\n  drops: [status]\n", "rule 1 (line 1): unknown key 'drops'"),
        ("- kinds: [Pod]\n  drop: [status]\n- kinds: [Pod]\n  drop: [metadata.name]\n", "rule 2 (line 3): "),
        ("- kinds: [Pod]\n  kinds: [Pod]\n", "line 2"),
    ],
)
def test_wrong_rules_end_the_run_before_any_request(
    strip: Sync, tmp_path: Path, text: str, error: str
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(text)
    result = strip.with_settings(RULES_FILE=str(rules), MINIO_ENDPOINT="127.0.0.1:1")()
    assert result.exit == 40
    (entry,) = result.of("configuration", "error")
    assert error in entry["error"]
    assert json.dumps(str(rules))[1:-1] in entry["error"]


def test_two_installations_with_other_rules_are_named(
    strip: Sync, sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    other = sync.elsewhere(tmp_path / "other")
    assert strip().exit == 0
    assert not strip().of("git_clone", "warning")
    assert other().exit == 0
    bucket.put(KEY.format(0), pod("p0", 5, "nginx:2"))
    (warning,) = strip().of("git_clone", "warning")
    assert warning["message"] == "Another installation writes the same files with other rules"
    assert KEY.format(1).removeprefix("clusterbackup/") in warning["data"]["paths"]
    assert warning["data"]["other_rules"] == ""
