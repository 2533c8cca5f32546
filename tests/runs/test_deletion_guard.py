"""Deletions: what the guards refuse and allow, from the bucket to Git."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.support.bucket import new_bucket
from tests.support.first_sync import first_sync
from tests.support.repositories import commit_files, contents, message, sha

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.s3 import S3Server
    from tests.support.sync import CommandResult, Sync

OBJECTS = {
    f"clusterbackup/{cluster}/default/object-{number:02}.yaml": b"%d\n" % number
    for cluster in ("east", "west")
    for number in range(20)
}
WEST = "clusterbackup/west/"


@pytest.fixture(autouse=True)
def synced(sync: Sync) -> None:
    """Commit the objects of the bucket to Git."""
    first_sync(sync, OBJECTS)


def empty(bucket: Bucket, prefix: str = WEST) -> None:
    for key in bucket.keys(prefix):
        bucket.delete(key)


def approval(result: CommandResult) -> list[str]:
    """Return the options of the command that the refusal prints."""
    found = re.search(r"git-sync run (--allow-delete .*)$", result.of("detect_changes", "error")[0]["error"])
    assert found
    return shlex.split(found[1])


def vanish_to_a_marker(bucket: Bucket) -> None:
    empty(bucket)
    bucket.put("clusterbackup/west/", b"")
    bucket.put("clusterbackup/west/default/", b"")


def vanish_to_quarantined_keys(bucket: Bucket) -> None:
    empty(bucket)
    bucket.put("clusterbackup/west/.git/config", b"[core]")
    bucket.put("clusterbackup/west/default/.gitignore", b"*")


def vanish_to_delete_markers(bucket: Bucket) -> None:
    bucket.enable_versioning()
    empty(bucket)


@pytest.mark.parametrize(
    "vanish", [empty, vanish_to_a_marker, vanish_to_quarantined_keys, vanish_to_delete_markers]
)
def test_vanished_cluster_stays_in_git_until_its_deletions_are_approved(
    vanish: object, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    assert callable(vanish)
    vanish(bucket)
    bucket.put("clusterbackup/east/new.yaml", b"new")
    result = sync()
    assert result.exit == 20
    assert contents(repository) == OBJECTS | {"clusterbackup/east/new.yaml": b"new"}
    assert "Git-Sync-Refused: west cluster_vanished" in message(repository)
    assert sync("run", *approval(result)).exit == 0
    assert not [path for path in contents(repository) if path.startswith(WEST)]
    assert re.search(r"Git-Sync-Allowed-Deletion: west [0-9a-f]{16}", message(repository))


def test_approval_of_one_set_of_deletions_allows_no_other_set(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    empty(bucket)
    options = approval(sync())
    bucket.put("clusterbackup/west/default/object-00.yaml", b"0\n")
    result = sync("run", *options)
    assert result.exit == 20
    assert contents(repository) == OBJECTS
    assert "matches no refused deletion" in result.text


def test_kept_cluster_is_no_problem_and_is_logged_once(sync: Sync, bucket: Bucket) -> None:
    empty(bucket)
    for _ in range(2):
        result = sync(CLUSTER_VANISHED="keep")
        assert result.exit == 0
        assert [line["message"] for line in result.lines if "west" in line["message"]] == [
            "west: 0 objects in the bucket, 0 fetched",
            "west kept: the bucket no longer contains it, and CLUSTER_VANISHED is keep",
        ]
        (west,) = [cluster for cluster in sync.state["last_run"]["clusters"] if cluster["name"] == "west"]
        assert (west["status"], west["files"]) == ("kept", 20)
        known = sync.state["clusters"]["west"]
        assert (known["missing"], known["kept"], known["newest_object_at"]) == (False, True, None)
    assert "1 cluster kept" in (sync.work_dir / "report.md").read_text()
    bucket.put_many({key: body for key, body in OBJECTS.items() if key.startswith(WEST)})
    assert sync().exit == 0
    assert sync.state["clusters"]["west"]["kept"] is False


def test_approval_does_not_allow_the_loss_of_the_same_paths_with_other_content(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    empty(bucket)
    approved = approval(sync())
    assert sync("run", *approved).exit == 0
    again = {key: b"another cluster" for key in OBJECTS if key.startswith(WEST)}
    bucket.put_many(again)
    assert sync("run", *approved).exit == 0
    empty(bucket)
    assert sync("run", *approved).exit == 20
    assert contents(repository, prefix=WEST) == again


@pytest.mark.parametrize(("policy", "code", "kept"), [("refuse", 20, 20), ("keep", 0, 20), ("delete", 0, 0)])
def test_cluster_vanished_setting_refuses_keeps_or_deletes_the_files(
    *, policy: str, code: int, kept: int, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    empty(bucket)
    assert sync(CLUSTER_VANISHED=policy).exit == code
    assert sum(path.startswith(WEST) for path in contents(repository)) == kept


@pytest.mark.parametrize(("policy", "code", "kept"), [("refuse", 20, 20), ("keep", 0, 20), ("delete", 0, 0)])
@pytest.mark.parametrize("options", [("--clusters", "west"), ("--namespaces", "default")])
def test_filtered_run_without_objects_does_not_treat_the_bucket_as_empty(
    *,
    options: tuple[str, str],
    policy: str,
    code: int,
    kept: int,
    sync: Sync,
    bucket: Bucket,
    repository: Path,
) -> None:
    empty(bucket)
    assert sync("run", *options, CLUSTER_VANISHED=policy).exit == code
    assert sum(path.startswith(WEST) for path in contents(repository)) == kept


def test_vanished_namespace_is_a_mass_deletion_not_a_vanished_cluster(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    extra = {f"clusterbackup/west/other/{number}": b"x" for number in range(20)}
    bucket.put_many(extra)
    assert sync().exit == 0
    empty(bucket, "clusterbackup/west/other/")
    assert sync("run", "--namespaces", "other", CLUSTER_VANISHED="delete").exit == 20
    assert contents(repository) == OBJECTS | extra


@pytest.mark.parametrize(
    ("policy", "code", "fate"), [("report", 0, "deleted"), ("refuse", 20, None), ("keep", 0, "kept")]
)
def test_namespace_vanished_setting_reports_refuses_or_keeps_the_files(
    *, policy: str, code: int, fate: str | None, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    payments = {f"clusterbackup/west/payments/{number}": b"x" for number in range(5)}
    # In byte order, other paths of the cluster are before, between and after those of the namespace.
    bucket.put_many(payments | {f"clusterbackup/west/payments{c}x/{n}": b"x" for c in "-z" for n in range(9)})
    assert sync().exit == 0
    empty(bucket, "clusterbackup/west/payments/")
    bucket.delete("clusterbackup/west/paymentszx/3")
    result = sync(NAMESPACE_VANISHED=policy)
    assert result.exit == code
    assert (contents(repository).keys() >= payments.keys()) == (policy != "report")
    assert ("clusterbackup/west/paymentszx/3" in contents(repository)) == (policy == "refuse")
    report = (sync.work_dir / "report.md").read_text()
    if fate:
        assert f"west: namespace payments disappeared: 5 files {fate}" in result.text
        assert f"Namespace payments of west disappeared: 5 files {fate}." in report
    else:
        assert "NAMESPACE_VANISHED is refuse" in result.errors
        assert sync("run", *approval(result), NAMESPACE_VANISHED=policy).exit == 0
        assert not contents(repository).keys() & payments.keys()
    result = sync(NAMESPACE_VANISHED=policy)
    assert result.exit == 0
    assert ("namespace payments" in result.text) == (policy == "keep")


def test_namespace_with_one_object_left_has_not_vanished(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({f"clusterbackup/west/payments/{number}": b"x" for number in range(6)})
    assert sync().exit == 0
    empty(bucket, "clusterbackup/west/payments/")
    bucket.put("clusterbackup/west/payments/3", b"x")
    result = sync(NAMESPACE_VANISHED="refuse")
    assert result.exit == 0
    assert "disappeared" not in result.text


@pytest.mark.parametrize(("policy", "code", "kept"), [("refuse", 20, 4), ("keep", 0, 4), ("delete", 0, 0)])
def test_vanished_cluster_guard_applies_when_only_excluded_objects_are_left(
    policy: str, code: int, kept: int, *, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many({f"clusterbackup/small/{number}.yaml": b"x" for number in range(4)})
    bucket.put("clusterbackup/small/dump.log", b"x")
    assert sync("run", "--exclude", "*.log").exit == 0
    empty(bucket, "clusterbackup/small/")
    bucket.put("clusterbackup/small/dump.log", b"x")
    assert sync("run", "--exclude", "*.log", CLUSTER_VANISHED=policy).exit == code
    assert sum(path.startswith("clusterbackup/small/") for path in contents(repository)) == kept


def test_one_command_approves_several_refusals(sync: Sync, bucket: Bucket, repository: Path) -> None:
    for key in [*bucket.keys(WEST)[:10], *bucket.keys("clusterbackup/east/")[:10]]:
        bucket.delete(key)
    result = sync()
    (line,) = [
        line for line in result.of("detect_changes", "warning") if "all refused deletions" in line["message"]
    ]
    options = shlex.split(line["message"].partition("git-sync run ")[2])
    assert sync("run", *options).exit == 0
    assert len(contents(repository)) == 20


def test_allow_delete_without_a_matching_token_approves_nothing(sync: Sync) -> None:
    assert sync("run", "--allow-delete", "west").exit == 40
    result = sync("run", "--allow-delete", "wset:0123456789abcdef")
    assert result.exit == 0
    assert "matches no refused deletion" in result.text


@pytest.mark.parametrize("options", [("--namespaces", "default"), ("--exclude", "*.txt")])
@pytest.mark.parametrize("marker", [False, True])
def test_empty_bucket_is_refused_in_a_filtered_run(
    options: tuple[str, str], marker: bool, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    empty(bucket, "")
    if marker:
        bucket.put("clusterbackup/west/", b"")
    assert sync("run", *options, CLUSTER_VANISHED="delete").exit == 20
    assert contents(repository) == OBJECTS


@pytest.mark.parametrize("policy", ["refuse", "keep", "delete"])
def test_empty_prefix_deletes_nothing_with_every_cluster_vanished_setting(
    policy: str, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    tip = sha(repository)
    empty(bucket, "")
    bucket.put("wrong/place", b"x")
    result = sync(CLUSTER_VANISHED=policy)
    assert result.exit == 20
    assert sha(repository) == tip
    assert "its prefixes: wrong/" in result.text


def test_wrong_bucket_deletes_nothing(sync: Sync, s3: S3Server, repository: Path) -> None:
    other = new_bucket(s3)
    other.put("clusterbackup-v2/east/a.yaml", b"a")
    assert sync(MINIO_BUCKET=other.name).exit == 20
    assert contents(repository) == OBJECTS


def test_mass_deletion_is_refused_and_other_changes_are_committed(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    for number in range(6):
        bucket.delete(f"clusterbackup/west/default/object-{number:02}.yaml")
    bucket.put("clusterbackup/west/default/object-19.yaml", b"changed")
    result = sync()
    assert result.exit == 20
    assert contents(repository) == OBJECTS | {"clusterbackup/west/default/object-19.yaml": b"changed"}
    assert "- west: 20 files" in message(repository)
    assert "Changes: 0 new, 1 modified, 0 deleted" in message(repository)
    assert sync.state["last_run"]["outcome"] == "refused"
    assert sync("run", *approval(result)).exit == 0
    assert len([path for path in contents(repository) if path.startswith(WEST)]) == 14


@pytest.mark.parametrize(
    ("deleted", "settings", "code"),
    [
        (5, {}, 0),
        (6, {}, 20),
        (6, {"MAX_DELETE_PERCENT": "30"}, 0),
        (6, {"MAX_DELETE_COUNT": "6"}, 0),
        (1, {"MAX_DELETE_COUNT": "0", "MAX_DELETE_PERCENT": "0"}, 20),
    ],
)
def test_mass_deletion_exceeds_count_and_percentage(
    deleted: int, settings: dict[str, str], code: int, sync: Sync, bucket: Bucket
) -> None:
    for number in range(deleted):
        bucket.delete(f"clusterbackup/west/default/object-{number:02}.yaml")
    assert sync(**settings).exit == code


def test_a_file_becomes_a_directory_and_back(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put("clusterbackup/west/thing", b"file")
    assert sync().exit == 0
    bucket.delete("clusterbackup/west/thing")
    bucket.put_many({"clusterbackup/west/thing/a": b"a", "clusterbackup/west/thing-x": b"x"})
    assert sync().exit == 0
    assert contents(repository) == OBJECTS | {
        "clusterbackup/west/thing/a": b"a",
        "clusterbackup/west/thing-x": b"x",
    }
    bucket.delete("clusterbackup/west/thing/a")
    bucket.put("clusterbackup/west/thing", b"file again")
    assert sync().exit == 0
    assert contents(repository)["clusterbackup/west/thing"] == b"file again"


def test_path_with_a_refused_deletion_is_not_replaced(sync: Sync, bucket: Bucket, repository: Path) -> None:
    strict = {"MAX_DELETE_COUNT": "0", "MAX_DELETE_PERCENT": "0"}
    bucket.put_many({"clusterbackup/west/file": b"file", "clusterbackup/west/dir/a": b"a"})
    assert sync().exit == 0
    for key in ("file", "dir/a"):
        bucket.delete(f"clusterbackup/west/{key}")
    bucket.put_many({"clusterbackup/west/file/inside": b"1", "clusterbackup/west/dir": b"2"})
    result = sync(**strict)
    assert result.exit == 20
    assert contents(repository) == OBJECTS | {
        "clusterbackup/west/file": b"file",
        "clusterbackup/west/dir/a": b"a",
    }
    assert result.complete["clusters_processed"] == 2
    (west,) = [cluster for cluster in sync.state["last_run"]["clusters"] if cluster["name"] == "west"]
    assert west["quarantined"] == {"path_conflict": 2}
    assert sync("run", *approval(result), **strict).exit == 0
    assert contents(repository) == OBJECTS | {
        "clusterbackup/west/file/inside": b"1",
        "clusterbackup/west/dir": b"2",
    }


def test_path_conflict_is_not_reported_as_an_edit_by_others(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put("clusterbackup/west/default/object-00.yaml/inside", b"x")
    assert sync().exit == 0
    commit_files(repository, {"README.md": b"theirs"})
    assert not sync().of("git_commit", "error")


def test_key_that_is_both_file_and_directory_keeps_the_children(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many({f"clusterbackup/west/{key}": b"x" for key in ("a", "a-x", "a.x", "a/b")})
    result = sync()
    assert result.exit == 0
    assert contents(repository) == OBJECTS | {
        f"clusterbackup/west/{key}": b"x" for key in ("a-x", "a.x", "a/b")
    }
    assert "path_conflict" in result.text


def test_bad_keys_are_quarantined_and_good_keys_are_committed(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bad = {
        "clusterbackup/west/.git/hooks/post-checkout": "git_directory",
        "clusterbackup/west/x/GIT~1/config": "git_directory",
        "clusterbackup/west/default/.gitattributes": "git_file",
        "clusterbackup/west/../../etc/passwd": "dot_segment",
        "clusterbackup/west//double": "empty_segment",
        "clusterbackup/west/back\\slash": "backslash",
        "clusterbackup/west/line\nfeed": "control_character",
        "clusterbackup/west/right\u202eleft": "bidi_control",
        "clusterbackup/west/" + "n" * 256: "segment_too_long",
        "clusterbackup/west/large": "too_large",
    }
    bucket.put_many(dict.fromkeys(bad, b"bad") | {"clusterbackup/west/large": b"x" * 101})
    bucket.put_many({"clusterbackup/stray.yaml": b"stray", "clusterbackup/.git/x": b"x"})
    bucket.put("clusterbackup/west/good.yaml", b"good")
    result = sync(MAX_OBJECT_BYTES="100")
    assert result.exit == 0
    assert contents(repository) == OBJECTS | {"clusterbackup/west/good.yaml": b"good"}
    last = sync.state["last_run"]
    (west,) = [cluster for cluster in last["clusters"] if cluster["name"] == "west"]
    expected: dict[str, int] = {}
    for reason in bad.values():
        expected[reason] = expected.get(reason, 0) + 1
    assert west["quarantined"] == expected
    assert last["quarantined"] == {"no_cluster": 1, "git_directory": 1}
    assert [line for line in result.lines if line["level"] == "warning"]


def test_quarantined_key_keeps_its_file_in_git(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put("clusterbackup/west/default/object-00.yaml", b"x" * 101)
    assert sync(MAX_OBJECT_BYTES="100").exit == 0
    assert contents(repository) == OBJECTS


def test_cluster_whose_directory_is_a_file_in_git_fails_alone(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    commit_files(repository, {"clusterbackup/north": b"a file"})
    bucket.put("clusterbackup/north/a.yaml", b"a")
    result = sync()
    assert result.exit == 10
    assert contents(repository) == OBJECTS | {"clusterbackup/north": b"a file"}
    assert "Git has a file at clusterbackup/north" in result.errors


def test_git_path_that_is_a_file_in_git_exits_40(sync: Sync, repository: Path) -> None:
    commit_files(repository, {"backups": b"a file"})
    result = sync(GIT_PATH="backups/live")
    assert result.exit == 40
    assert contents(repository) == OBJECTS | {"backups": b"a file"}


# -- filters --------------------------------------------------------------------------------------


def test_excluded_files_are_neither_written_nor_deleted(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many(
        {f"clusterbackup/{c}/{n}/new.yaml": b"new" for c in ("east", "west") for n in ("default", "kube")}
    )
    empty(bucket, "clusterbackup/east/")
    before = sync.state["last_success"]
    assert (
        sync(
            "run", "--clusters", "w*,!*-test", "--namespaces", "!kube", "--exclude", "**/object-0[0-4].yaml"
        ).exit
        == 0
    )
    assert contents(repository) == OBJECTS | {"clusterbackup/west/default/new.yaml": b"new"}
    assert sync.state["last_success"] == before, "a filtered run does not count as a success of all clusters"


def test_excluded_file_is_kept_when_a_directory_has_its_path(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put("clusterbackup/west/thing", b"file")
    sync()
    bucket.delete("clusterbackup/west/thing")
    bucket.put("clusterbackup/west/thing/inside", b"x")
    assert sync("run", "--exclude", "west/thing\n!west/thing/").exit == 0
    assert contents(repository)["clusterbackup/west/thing"] == b"file"


def test_repeated_option_adds_its_values(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many({f"clusterbackup/{cluster}/new.yaml": b"new" for cluster in ("east", "north", "west")})
    assert sync("run", "--clusters", "east", "--clusters", "west").exit == 0
    assert len(contents(repository)) == len(OBJECTS) + 2


def test_filters_that_exclude_every_object_are_logged(sync: Sync) -> None:
    result = sync("run", "--namespaces", "no-such-namespace")
    assert result.exit == 0
    assert "exclude every object of every cluster" in result.text


def test_clusters_option_that_matches_no_cluster_exits_40(sync: Sync) -> None:
    result = sync("run", "--clusters", "production-*")
    assert result.exit == 40
    assert "': east, west" in result.errors


# -- dry run --------------------------------------------------------------------------------------


def test_dry_run_prints_the_plan_and_changes_nothing(sync: Sync, bucket: Bucket, repository: Path) -> None:
    tip, state = sha(repository), sync.state
    bucket.put("clusterbackup/east/new.yaml", b"new")
    bucket.delete("clusterbackup/east/default/object-00.yaml")
    empty(bucket)
    result = sync("run", "--dry-run")
    assert result.exit == 0
    planned = {line["message"] for line in result.of("detect_changes") if "path" in line["data"]}
    refused = {f"deletion refused {key.removeprefix('clusterbackup/')}" for key in OBJECTS if "/west/" in key}
    assert planned == {"new east/new.yaml", "deleted east/default/object-00.yaml"} | refused
    assert "Refused to delete 20 files of west" in result.text
    assert sha(repository) == tip
    assert sync.state == state
