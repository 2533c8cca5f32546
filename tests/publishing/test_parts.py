"""Publishing in parts: hosts that refuse some changes of a push."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.hooks import By, Words, pushes, refuse, refuse_author, reset, wait_for_pushes
from tests.support.refused import FORBIDDEN, GOOD, SECRET, TOKEN, cluster, refused, without
from tests.support.repositories import contents, fsck, git, install_hook, message, sha
from tests.support.steps import FIRST, KEY, prepare, publish, result

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

pytestmark = pytest.mark.usefixtures("synced")

LARGE = b"x" * 20_000


# -- what a host refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize("words", [Words.NOTHING, Words.GITHUB, Words.GITHUB_BLOB, Words.PLAIN])
def test_refused_content_is_named_and_everything_else_is_published(
    words: Words, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT, words)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    outcome = sync()
    assert outcome.exit == 10
    assert contents(repository) == FIRST | GOOD
    assert refused(sync) == [SECRET]
    assert pushes(repository) == 3 if words else pushes(repository) <= 12
    fsck(repository)
    (line,) = [line for line in outcome.of("git_push", "error") if line["message"].startswith("The Git host")]
    assert line["message"] == "The Git host refused west/shop/ConfigMap/a.yaml"
    assert "pre-receive hook declined" in line["error"]
    assert outcome.complete["exit_code"] == 10


@pytest.mark.parametrize(
    ("hook", "bad"),
    [
        ((By.PATH, Words.NOTHING), {FORBIDDEN: b"x"}),
        ((By.PATH, Words.GITEA), {FORBIDDEN: b"x", "clusterbackup/east/forbidden/b.yaml": b"x"}),
        ((By.NEW_PATH, Words.GITLAB_NAME), {FORBIDDEN: b"x"}),
        ((By.SIZE, Words.NOTHING), {SECRET: LARGE}),
        ((By.SIZE, Words.GITLAB_SIZE), {SECRET: LARGE, KEY: LARGE}),
        ((By.CONTENT, Words.NOTHING), {f"clusterbackup/west/shop/{n}.yaml": TOKEN for n in range(4)}),
        ((By.CONTENT, Words.GITHUB), {f"clusterbackup/west/shop/{n}.yaml": TOKEN for n in range(12)}),
    ],
)
def test_refused_objects_of_every_kind_are_found(
    hook: tuple[By, Words], bad: dict[str, bytes], sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, *hook)
    bucket.put_many(GOOD | bad)
    outcomes = [sync().exit]
    assert pushes(repository) <= 40
    while outcomes[-1] == 40 or any(c["changes_deferred"] for c in sync.state["last_run"]["clusters"]):
        outcomes.append(sync().exit)
        assert len(outcomes) < 6
    assert outcomes[-1] == 10
    assert contents(repository) == {**FIRST, **without(GOOD, *bad)}
    assert refused(sync) == sorted(bad)


def test_refused_objects_over_http(over_http: Sync, bucket: Bucket, repository: Path) -> None:
    refuse(repository, By.CONTENT, Words.GITHUB)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    assert over_http().exit == 10
    assert contents(repository) == FIRST | GOOD
    assert refused(over_http) == [SECRET]
    assert over_http.state["last_run"]["push_attempts"] == 3


def test_limit_on_the_files_of_a_push_refuses_no_object(sync: Sync, bucket: Bucket, repository: Path) -> None:
    refuse(repository, By.COUNT)
    some = {f"clusterbackup/east/shop/{n}.yaml": b"new" for n in range(20)}
    bucket.put_many(some)
    assert sync().exit == 0
    assert contents(repository) == FIRST | some
    assert sync.state["last_run"]["refused_by_host"] == []


def test_limit_on_the_size_of_a_push_refuses_no_object(sync: Sync, bucket: Bucket, repository: Path) -> None:
    git(repository, "config", "receive.maxInputSize", "60000")
    noise = {f"clusterbackup/east/shop/{n}.yaml": random.Random(n).randbytes(25_000) for n in range(4)}
    bucket.put_many(noise)
    assert sync().exit == 0
    assert contents(repository) == FIRST | noise


# -- what a run with refused objects leaves --------------------------------------------------------


def test_modified_object_that_is_refused_keeps_its_old_content(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT, Words.GITHUB)
    bucket.put_many(GOOD | {KEY: TOKEN})
    assert sync().exit == 10
    assert contents(repository) == FIRST | without(GOOD, KEY)
    east = cluster(sync, "east")
    assert (east["files"], east["added"], east["modified"], east["accepted"]) == (26, 20, 0, 25)
    assert (east["refused_by_host"], east["changes_deferred"], east["status"]) == (1, 0, "ok")


def test_commits_of_parts_describe_what_git_has_after_each(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    bucket.delete("clusterbackup/west/object-5.yaml")
    base = sha(repository)
    sync()
    commits = git(repository, "rev-list", "--reverse", f"{base}..main").decode().split()
    assert len(commits) > 1
    for commit in commits:
        text = message(repository, commit)
        after = contents(repository, commit)
        counts = {
            name: sum(key.startswith(f"clusterbackup/{name}/") for key in after)
            for name in ("east", "north", "west")
        }
        listed = dict(re.findall(r"^- (\w+): (\d+) files$", text, re.MULTILINE))
        assert {name: int(count) for name, count in listed.items()} == counts
        assert f"\nTotal files: {len(after)}\n" in text
        changed = git(repository, "diff-tree", "-r", "--name-status", "--no-commit-id", commit).decode()
        new, modified, deleted = (changed.count(f"{letter}\t") for letter in "AMD")
        assert f"\nChanges: {new} new, {modified} modified, {deleted} deleted\n" in text
        assert text.startswith("Automated backup sync - ")
        assert len(re.findall(r"^Git-Sync-Listed: ", text, re.MULTILINE)) == 3
        assert text.count("Git-Sync-Run: ") == 1
    last = sync.state["last_run"]
    assert last["commit"] == sha(repository)
    assert sum(c["added"] for c in last["clusters"]) == 40
    assert sum(kind["added"] for kind in last["changes"]["namespaces"].values()) == 40


def test_state_metrics_and_pages_show_refused_objects(sync: Sync, bucket: Bucket, repository: Path) -> None:
    refuse(repository, By.CONTENT, Words.GITHUB)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    sync()
    (one,) = sync.state["refused_by_host"]
    assert one["path"] == SECRET.removeprefix("clusterbackup/")
    assert (one["change"], one["since"]) == ("A", sync.state["last_run"]["started_at"])
    assert one["host_message"].startswith("- Push cannot contain secrets; locations:; - commit: ")
    west = sync.state["clusters"]["west"]
    assert (west["refused_by_host"], west["files"]) == (1, 6)
    assert west["last_success_at"] < sync.state["clusters"]["east"]["last_success_at"]
    page = (sync.work_dir / "report.md").read_text()
    assert "1 change refused by the Git host" in page
    assert "west/shop/ConfigMap/a.yaml" in page
    assert "Push cannot contain secrets" in page


# -- deletions -------------------------------------------------------------------------------------


def test_deletions_are_published_beside_refused_objects(sync: Sync, bucket: Bucket, repository: Path) -> None:
    refuse(repository, By.CONTENT)
    gone = "clusterbackup/west/object-5.yaml"
    bucket.put_many(GOOD | {SECRET: TOKEN})
    bucket.delete(gone)
    assert sync().exit == 10
    assert contents(repository) == without(FIRST, gone) | GOOD


def test_refused_deletion_keeps_the_file(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put(FORBIDDEN, b"x")
    assert sync().exit == 0
    refuse(repository, By.PATH, Words.GITEA)
    bucket.delete(FORBIDDEN)
    bucket.put_many(GOOD)
    for _ in range(2):
        assert sync().exit == 10
        assert contents(repository) == FIRST | GOOD | {FORBIDDEN: b"x"}
        assert refused(sync) == [FORBIDDEN]
        assert cluster(sync, "west")["files"] == 7
        assert cluster(sync, "west")["deleted"] == 0
    bucket.put(FORBIDDEN, b"x")
    assert sync().exit == 0
    assert sync.state["refused_by_host"] == []


@pytest.mark.parametrize("words", [Words.NOTHING, Words.GITHUB])
def test_file_and_directory_change_places_beside_a_refused_object(
    words: Words, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many({"clusterbackup/east/a": b"file", "clusterbackup/east/b/c": b"below"})
    assert sync().exit == 0
    refuse(repository, By.CONTENT, words)
    bucket.delete("clusterbackup/east/a")
    bucket.delete("clusterbackup/east/b/c")
    new = GOOD | {"clusterbackup/east/a/x": b"below", "clusterbackup/east/b": b"file"}
    bucket.put_many(new | {SECRET: TOKEN})
    assert sync().exit == 10
    assert contents(repository) == FIRST | new
    assert refused(sync) == [SECRET]


def test_file_in_a_directory_waits_for_the_deletion_of_the_file_in_its_place(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    """The search pushes "a-token" and "a/x" first, without the deletion of "a"."""
    bucket.put("clusterbackup/east/a", b"file")
    assert sync().exit == 0
    refuse(repository, By.CONTENT)
    bucket.delete("clusterbackup/east/a")
    bucket.put_many({"clusterbackup/east/a-token": TOKEN, "clusterbackup/east/a/x": b"below"})
    assert sync().exit == 10
    assert contents(repository) == FIRST | {"clusterbackup/east/a/x": b"below"}
    assert refused(sync) == ["clusterbackup/east/a-token"]


def test_file_waits_for_a_refused_deletion_in_its_place(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put("clusterbackup/west/forbidden/a", b"file")
    assert sync().exit == 0
    refuse(repository, By.PATH, Words.GITEA)
    bucket.delete("clusterbackup/west/forbidden/a")
    bucket.put_many(GOOD | {"clusterbackup/west/forbidden/a/x": b"below"})
    for _ in range(2):
        assert sync().exit == 10
        assert contents(repository) == FIRST | GOOD | {"clusterbackup/west/forbidden/a": b"file"}
        assert "clusterbackup/west/forbidden/a" in refused(sync)


# -- refusals that are not about content -----------------------------------------------------------


@pytest.mark.parametrize("objects", [{KEY: b"2"}, GOOD])
def test_refused_author_ends_the_search_after_three_pushes(
    objects: dict[str, bytes], sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse_author(repository, "git-sync@localhost")
    bucket.put_many(objects)
    outcome = sync(GIT_EMAIL="git-sync@localhost")
    assert outcome.exit == 40
    assert "Committer's email 'git-sync@localhost' does not follow the pattern" in outcome.errors
    assert pushes(repository) <= 3
    assert contents(repository) == FIRST
    assert sync.state["refused_by_host"] == []


@pytest.mark.parametrize("words", [Words.NOTHING, Words.PLAIN])
def test_host_that_refuses_everything_ends_the_search_after_three_pushes(
    words: Words, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.ANY, words)
    bucket.put_many(GOOD)
    assert sync().exit == 40
    assert pushes(repository) == 3
    assert sync.state["last_run"]["push_attempts"] == 3
    assert sync.state["refused_by_host"] == []


def test_only_change_is_refused_if_the_host_says_that_its_content_is_the_cause(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT, Words.GITHUB)
    bucket.put(SECRET, TOKEN)
    assert sync().exit == 10
    assert refused(sync) == [SECRET]
    assert pushes(repository) == 1
    assert sync().exit == 10
    assert pushes(repository) == 1


def test_only_change_is_not_refused_if_the_host_does_not_say_why(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT)
    bucket.put(SECRET, TOKEN)
    assert sync().exit == 40
    bucket.put(KEY, b"2")
    assert sync().exit == 10
    assert contents(repository) == FIRST | {KEY: b"2"}
    assert refused(sync) == [SECRET]


def test_cluster_full_of_refused_objects_does_not_stop_the_other_clusters(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    """The search cannot find all of them in one run; the others are published in every run."""
    refuse(repository, By.CONTENT)
    bucket.put_many({f"clusterbackup/middle/{number}.yaml": b"ghp_%d" % number for number in range(60)})
    others = ("alpha", "east", "north", "zulu")
    expected = dict(FIRST)
    for content in (b"1", b"2"):
        changed = {f"clusterbackup/{cluster}/new.yaml": content for cluster in others}
        bucket.put_many(changed)
        outcomes = [sync().exit]
        while outcomes[-1] == 40:  # the single change that was pushed to find the cause was a refused one
            outcomes.append(sync().exit)
        assert outcomes[-1] == 10
        assert len(outcomes) < 8
        expected |= changed
        assert contents(repository) == expected


def test_refusal_that_quotes_a_passing_word_does_not_stop_the_other_objects(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT, Words.PASSING)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    outcome = sync()
    assert outcome.exit == 10
    assert contents(repository) == FIRST | GOOD
    assert "for now; the next run tries again" in outcome.of("git_push", "warning")[-1]["message"]
    assert refused(sync) == []
    reset(repository)
    assert sync().exit == 0
    assert contents(repository) == FIRST | GOOD | {SECRET: TOKEN}


def test_hook_that_refuses_everything_for_now_exits_30(sync: Sync, bucket: Bucket, repository: Path) -> None:
    refuse(repository, By.ANY, Words.PASSING)
    bucket.put_many(GOOD)
    assert sync(RETRY_ATTEMPTS="1").exit == 30
    assert contents(repository) == FIRST


# -- kills, other pushes, and faults during the search ---------------------------------------------


@pytest.mark.parametrize("after", range(1, 6))
def test_run_killed_during_the_search_is_completed_by_the_next_one(
    after: int, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT, kill_after=after)
    good = GOOD | {f"{SECRET}-{number}": b"1" for number in range(8)}  # the search takes six pushes or more
    bucket.put_many(good | {SECRET: TOKEN})
    prepare(sync, "a")
    with sync.start("publish", "--run-id", "a") as process:
        process.communicate()
    assert process.returncode == -9
    wait_for_pushes(repository)
    refuse(repository, By.CONTENT, Words.GITHUB)
    assert publish(sync, "a").exit == 10
    made = git(repository, "log", "--format=%(trailers:key=Git-Sync-Run,valueonly)", "main").decode().split()
    published = result(sync, "a")
    assert published["commit"] == sha(repository)
    now = contents(repository)
    assert sum(c["files"] for c in published["clusters"]) == len(now)
    assert sum(c["added"] for c in published["clusters"]) == len(now) - len(FIRST)
    assert made.count("a") >= 1
    assert sync().exit == 10
    assert contents(repository) == FIRST | good
    assert refused(sync) == [SECRET]
    fsck(repository)


def test_branch_that_moves_during_the_search_defers_the_rest(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT, move_after=3)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    outcome = sync()
    assert outcome.exit == 10
    assert "branch main has moved; the next run publishes the rest" in outcome.errors
    assert cluster(sync, "west")["changes_deferred"] + cluster(sync, "north")["changes_deferred"] > 0
    refuse(repository, By.CONTENT, Words.GITHUB)
    assert sync().exit == 10
    assert contents(repository) == FIRST | GOOD | {"theirs": b"theirs\n"}
    assert refused(sync) == [SECRET]


def test_branch_that_moves_before_the_first_accepted_part_is_planned_again(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT, move_after=1)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    outcome = sync()
    assert outcome.exit == 10
    assert contents(repository) == FIRST | GOOD | {"theirs": b"theirs\n"}
    assert refused(sync) == [SECRET]


def test_search_that_ends_with_another_fault_defers_the_rest(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    refuse(repository, By.CONTENT, break_after=3)
    bucket.put_many(GOOD | {SECRET: TOKEN})
    outcome = sync()
    assert outcome.exit == 10
    assert "the next run publishes the rest" in outcome.errors
    refuse(repository, By.CONTENT, Words.GITHUB)
    git(repository, "config", "--unset", "transfer.hideRefs")
    assert sync().exit == 10
    assert contents(repository) == FIRST | GOOD


def test_host_message_contains_no_secret(sync: Sync, bucket: Bucket, repository: Path) -> None:
    secret = sync.settings["MINIO_SECRET_KEY"]
    install_hook(
        repository,
        "pre-receive",
        f"#!/bin/sh\necho 'Push cannot contain secrets: {secret} {'x' * 2000}'\nexit 1\n",
    )
    bucket.put(SECRET, TOKEN)
    outcome = sync()
    assert outcome.exit == 10
    assert secret not in outcome.text
    (one,) = sync.state["refused_by_host"]
    assert len(one["host_message"]) <= 1000
    for path in sync.work_dir.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
