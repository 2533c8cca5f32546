"""A cluster at a commit: when it was listed, and what its files contain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.errors import FixConfiguration
from steps.history import snapshot
from steps.history.moments import Moment, parse_moment
from steps.history.snapshot import (
    IRREGULAR,
    Schedule,
    cluster_rows,
    clusters_of,
    find_commit,
    read_files,
    require_cluster,
    snapshots,
)
from steps.history.source import LocalSource
from steps.kubernetes.objects import MAX_BYTES, TOO_LARGE
from tests.support.backups import Backups, instant
from tests.support.repositories import commit_files, commit_literally

if TYPE_CHECKING:
    from pathlib import Path

NOW = instant("2025-07-20T00:00:00Z")
HOURLY = Schedule("0 * * * *", "UTC")


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    found = Backups.at(tmp_path / "backups.git")
    found.sync("2025-07-10T22:06:58Z", {"east/shop/a.yaml": b"a: 1\n", "west/b.yaml": b"b: 1\n"})
    found.sync("2025-07-11T22:06:58Z", {"east/shop/a.yaml": b"a: 2\n"}, failed=["west"])
    return found


def source(backups: Backups) -> LocalSource:
    return LocalSource(backups.directory, "clusterbackup/")


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("2025-07-10T22:06:58Z", 0),
        ("2025-07-10", 0),
        ("2025-07-11T22:06:57Z", 0),
        ("2025-07-11", 1),
        ("1d", 1),
    ],
)
def test_commit_is_the_newest_at_or_before_the_time(text: str, index: int, backups: Backups) -> None:
    found = find_commit(source(backups), parse_moment("--at", text, NOW, "UTC"))
    assert found.oid == backups.commits[index]


AUTHOR = b"author x <x@x> 5 +0000\n"
UNDATED = [
    AUTHOR + b"committer x <x@x> notadate\n",
    AUTHOR + b"committer x <x@x> -5 +0000\n",
    AUTHOR + b"committer x <x@x> 99999999999999 +0000\n",
    AUTHOR + b"committer x <x@x> 10000000000000000000 +0000\n",
    AUTHOR + b"committer x <x@x> \0005 +0000\n",
    AUTHOR + "committer x <x@x> ٣ +0000\n".encode(),
    AUTHOR,
    AUTHOR + b"committer x <x@x> 5 +0000\nencoding IBM037\n",
]


@pytest.mark.parametrize("headers", UNDATED)
def test_commit_without_a_valid_time_is_skipped(headers: bytes, backups: Backups) -> None:
    commit_literally(backups.directory, headers)
    assert find_commit(source(backups), Moment("now", NOW)).oid == backups.commits[1]


@pytest.mark.parametrize("headers", UNDATED)
def test_commit_without_a_valid_time_is_found_by_its_id(headers: bytes, backups: Backups) -> None:
    oid = commit_literally(backups.directory, headers)
    commit = find_commit(source(backups), Moment(oid[:9], commit=oid[:9]))
    found = snapshots(source(backups), commit, ["east"], None, HOURLY)["east"]
    assert (found.committed_at, found.warnings) == (None, ("east: the commit has no valid time",))
    assert found.document()["committed_at"] is None


@pytest.mark.parametrize(
    "headers",
    [
        AUTHOR
        + b"committer x <x@x> 5 +0000\ngpgsig a\n committer y <y> x +0000\nmergetag object 0\n\xff\xfe \n",
        b"committer x <x@x> 5 +99999999\n",
        AUTHOR + b"committer \xff\xfe <x@x> 5 +0000\nencoding no-such-encoding\n",
    ],
)
def test_malformed_commit_with_a_valid_time_has_this_time(headers: bytes, backups: Backups) -> None:
    commit_literally(backups.directory, headers, b"\xff\0\n")
    assert next(source(backups).commits()).committed_at == 5


@pytest.mark.parametrize("schedule", [HOURLY, Schedule(None, "UTC")])
@pytest.mark.parametrize("year", ["0001", "9999"])
def test_trailer_at_the_end_of_the_calendar_is_ignored(
    year: str, schedule: Schedule, backups: Backups
) -> None:
    message = f"pushed\n\nGit-Sync-Listed: east {year}-12-31T23:59:59Z\n"
    commit_files(backups.directory, {"clusterbackup/east/b.yaml": b"b: 1\n"}, message)
    found = snapshots(source(backups), next(source(backups).commits()), ["east"], NOW, schedule)
    assert found["east"].listed_at == instant("2025-07-11T22:06:58Z")


def test_commit_is_found_by_the_beginning_of_its_id(backups: Backups) -> None:
    oid = backups.commits[0]
    assert find_commit(source(backups), Moment(oid[:7], commit=oid[:7])).oid == oid


@pytest.mark.parametrize("text", ["2025-07-09", "abcdef1", "20d"])
def test_error_of_an_unknown_time_names_the_first_and_the_last_commit(text: str, backups: Backups) -> None:
    with pytest.raises(FixConfiguration) as caught:
        find_commit(source(backups), parse_moment("--at", text, NOW, "UTC"))
    first, last = (oid[:8] for oid in backups.commits)
    assert f"its first commit is {first} of 2025-07-10T22:06:58Z" in caught.value.error
    assert f"its last one {last} of 2025-07-11T22:06:58Z" in caught.value.error
    assert caught.value.exit == 40


def test_snapshot_has_the_newest_listing_at_or_before_its_commit(backups: Backups) -> None:
    commit = find_commit(source(backups), Moment("now", NOW))
    found = snapshots(source(backups), commit, ["east", "west", "north"], NOW, HOURLY)
    short = commit.oid[:8]
    assert found["east"].statement == f"east as listed 2025-07-11T22:06:58Z, commit {short}"
    assert found["west"].statement == f"west as listed 2025-07-10T22:06:58Z, commit {short}"
    assert found["north"].statement == f"north without the time of a listing, commit {short}"


def test_warnings_name_failed_refused_and_old_clusters(backups: Backups) -> None:
    backups.sync("2025-07-12T22:06:58Z", {"x/y": b""}, refused=[("east", "mass_deletion")], failed=["west"])
    commit = find_commit(source(backups), Moment("now", NOW))
    soon = instant("2025-07-11T22:30:00Z")
    found = snapshots(source(backups), commit, ["east", "west"], soon, HOURLY)
    assert found["east"].warnings == (
        "east: the run of this commit refused a part of the cluster's changes (mass_deletion)",
    )
    assert [one.split(": ", 1)[1] for one in found["west"].warnings] == [
        "the run of this commit failed to read the cluster; its objects are older",
        "the listing is older than two intervals: since then nothing changed, or no run succeeded",
    ]
    assert found["west"].document()["warnings"] == list(found["west"].warnings)


def test_unknown_cluster_is_named_with_similar_ones(backups: Backups) -> None:
    commit = backups.commits[0]
    objects = source(backups).with_trees([commit])
    known = clusters_of(objects, commit, "clusterbackup/")
    assert known == ["east", "west"]
    require_cluster("east", known, commit)
    with pytest.raises(
        FixConfiguration, match=r"eats: commit .* has no such cluster; did you mean east"
    ) as caught:
        require_cluster("eats", known, commit)
    assert caught.value.exit == 40
    with pytest.raises(FixConfiguration, match="did you mean east, west"):
        require_cluster("\x1b[1m", known, commit)


def test_files_are_read_in_order_in_bounded_batches(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_BATCH_BYTES", 4)
    oid = backups.sync(
        "2025-07-12",
        {
            "east/big.yaml": b"#" * (MAX_BYTES + 1),
            "east/link.yaml": ("120000", b"a"),
            "east/program.yaml": ("100755", b"a"),
            "east/shop/b.yaml": b"a: 2\n",
        },
    )
    objects = source(backups).with_trees([oid])
    rows = cluster_rows(objects, oid, "clusterbackup/", "east")
    found = [(one.path, one.content, one.reason) for one in read_files(source(backups), objects, rows)]
    assert found == [
        (b"east/big.yaml", b"", TOO_LARGE),
        (b"east/link.yaml", b"", IRREGULAR),
        (b"east/program.yaml", b"", IRREGULAR),
        (b"east/shop/a.yaml", b"a: 2\n", ""),
        (b"east/shop/b.yaml", b"a: 2\n", ""),
    ]
    whole = list(read_files(source(backups), objects, rows, max_bytes=2**20))
    assert len(whole[0].content) == MAX_BYTES + 1
