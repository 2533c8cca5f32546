"""The commit message: the documented text, and the trailers that git-sync parses."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.core.message import Changes, ClusterLine, commit_message, parse_trailers, substance_trailer
from tests.support.repositories import bare_repository, commit_files, git

if TYPE_CHECKING:
    from pathlib import Path

STARTED = datetime(2025, 7, 12, 22, 6, 58, tzinfo=UTC)
LISTED = datetime(2025, 7, 12, 22, 7, 1, tzinfo=UTC)
CLUSTERS = [
    ClusterLine("staging", 67, LISTED),
    ClusterLine("production-west", 189, LISTED),
    ClusterLine("production-east", 245, LISTED),
]
CHANGES = Changes(new=23, modified=15, deleted=2)

HUMAN_PART = """\
Automated backup sync - 2025-07-12 22:06:58 UTC

Clusters processed: 3
- production-east: 245 files
- production-west: 189 files
- staging: 67 files

Total files: 501
Changes: 23 new, 15 modified, 2 deleted
"""

HOSTILE_NAMES = [
    "two words",
    " edges ",
    "system:admin",
    "a: b",
    "%20",
    "100%",
    "größe",
    "日本語🎉",
    "\"quoted\" 'name'",
    "Git-Sync-Run: forged",
    "a\u2028b",
    "-",
    "---",
    "#comment",
    "+x",
    "[skip ci]",
    "[CI SKIP]",
    "***NO_CI***",
    "Closes #1",
    "fixes GH-2",
    "@here",
    "!3",
    "~label",
    "%milestone",
    "/approve",
    "skip-checks:true",
]

# No key with a control character or a surrogate becomes a cluster.
names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1)
instants = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(9989, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
).map(lambda at: at.replace(microsecond=0))


def message_of(listed: dict[str, datetime], run_id: str = "run-1") -> str:
    lines = [ClusterLine(name, 1, at) for name, at in listed.items()]
    return commit_message(started_at=STARTED, clusters=lines, changes=CHANGES, run_id=run_id)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_commit_message_contains_no_raw_name_that_a_host_could_act_on(name: str) -> None:
    message = message_of({name: LISTED})
    (line,) = [line for line in message.splitlines() if line.startswith("- ")]
    assert re.fullmatch(r"- [A-Za-z0-9._%-]+: 1 files", line)
    assert unquote(line[2:].partition(":")[0]) == name
    assert set(parse_trailers(message).listed) == {name}


def test_commit_message_is_exactly_the_documented_one() -> None:
    message = commit_message(
        started_at=STARTED,
        clusters=CLUSTERS,
        changes=CHANGES,
        run_id="20250712T220658Z-abc123",
        allowed=[("staging", "cafe")],
        refused=[("production west", "mass_deletion")],
        failed=["production:north"],
    )
    trailers = """\
Git-Sync-Run: 20250712T220658Z-abc123
Git-Sync-Listed: production-east 2025-07-12T22:07:01Z
Git-Sync-Listed: production-west 2025-07-12T22:07:01Z
Git-Sync-Listed: staging 2025-07-12T22:07:01Z
Git-Sync-Allowed-Deletion: staging cafe
Git-Sync-Refused: production%20west mass_deletion
Git-Sync-Failed: production%3Anorth
"""
    assert message == f"{HUMAN_PART}\n{trailers}"


def test_commit_message_has_times_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    message = commit_message(
        started_at=STARTED.astimezone(tokyo),
        clusters=[ClusterLine(line.name, line.files, LISTED.astimezone(tokyo)) for line in CLUSTERS],
        changes=CHANGES,
        run_id="run-1",
    )
    assert message.startswith(HUMAN_PART)
    assert parse_trailers(message).listed == {line.name: LISTED for line in CLUSTERS}


def test_commit_message_does_not_depend_on_the_order_of_clusters() -> None:
    def message(clusters: list[ClusterLine], pairs: list[tuple[str, str]]) -> str:
        return commit_message(
            started_at=STARTED,
            clusters=clusters,
            changes=CHANGES,
            run_id="run-1",
            allowed=pairs,
            refused=pairs,
            failed=[name for name, _ in pairs],
        )

    pairs = [("b", "2"), ("a", "1"), ("c", "3")]
    assert message(CLUSTERS, pairs) == message(CLUSTERS[::-1], pairs[::-1])


def test_commit_message_without_clusters_is_well_formed() -> None:
    message = commit_message(
        started_at=STARTED, clusters=[], changes=Changes(0, 0, 0), run_id="r", failed=["x"]
    )
    assert "\nClusters processed: 0\n\nTotal files: 0\nChanges: 0 new, 0 modified, 0 deleted\n\n" in message
    assert parse_trailers(message).run_id == "r"


@given(st.dictionaries(names, instants), names)
def test_trailers_return_listing_times_for_any_names(listed: dict[str, datetime], run_id: str) -> None:
    trailers = parse_trailers(message_of(listed, run_id))
    assert (trailers.run_id, trailers.listed) == (run_id, listed)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare_repository(tmp_path_factory.mktemp("message") / "r.git")


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_trailers_are_equal_after_a_commit(name: str, repository: Path) -> None:
    message = message_of({name: LISTED, "staging": LISTED})
    commit = commit_files(repository, {"x": b"x"}, message)
    read = git(repository, "log", "-1", "--format=%B", commit).decode()
    assert parse_trailers(read).listed == {name: LISTED, "staging": LISTED}
    assert parse_trailers(read).run_id == "run-1"


@settings(deadline=None, max_examples=30)
@given(st.lists(names | st.sampled_from(HOSTILE_NAMES), max_size=4, unique=True))
def test_git_parses_the_same_trailers_with_one_word_per_name(repository: Path, clusters: list[str]) -> None:
    message = commit_message(
        started_at=STARTED,
        clusters=[ClusterLine(name, 1, LISTED) for name in clusters],
        changes=CHANGES,
        run_id="run-1",
        allowed=[(name, "cafe") for name in clusters],
        refused=[(name, "mass_deletion") for name in clusters],
        failed=clusters,
    )
    parsed = git(repository, "interpret-trailers", "--parse", "--no-divider", stdin=message.encode())
    assert parsed.decode() == message.rpartition("\n\n")[2]
    values = [line.split(": ")[1] for line in parsed.decode().splitlines()]
    assert sum(len(value.split(" ")) for value in values) == 1 + 7 * len(clusters)


def test_trailers_name_refused_and_failed_clusters() -> None:
    message = commit_message(
        started_at=STARTED,
        clusters=[],
        changes=CHANGES,
        run_id="run-1",
        refused=[("a b", "mass_deletion")],
        failed=["west", "x/y"],
    )
    trailers = parse_trailers(message)
    assert trailers.refused == {"a b": "mass_deletion"}
    assert trailers.failed == {"west", "x/y"}


@pytest.mark.parametrize(
    "message",
    [
        "",
        "\n\n\n",
        "Fix a typo\n",
        "Merge branch 'x'\n\nReviewed-by: someone\n",
        "Quote\n\nGit-Sync-Run: in-the-body\n\nSigned-off-by: someone\n",
    ],
)
def test_message_of_another_commit_has_no_trailers(message: str) -> None:
    trailers = parse_trailers(message)
    assert (trailers.run_id, dict(trailers.listed)) == (None, {})


@pytest.mark.parametrize("value", ["", "east", "east ", "east yesterday", "east 2025-13-01T00:00:00Z", " "])
def test_malformed_trailer_is_ignored(value: str) -> None:
    message = message_of({"west": LISTED}).rstrip("\n") + f"\nGit-Sync-Listed: {value}\n"
    assert parse_trailers(message).listed == {"west": LISTED}


@given(st.text() | st.text().map("x\n\nGit-Sync-Listed: ".__add__))
def test_any_message_can_be_parsed(message: str) -> None:
    assert parse_trailers(message).run_id is None or "Git-Sync-Run" in message


def test_trailer_about_substance_changes_no_other_trailer() -> None:
    text = commit_message(started_at=STARTED, clusters=CLUSTERS, changes=CHANGES, run_id="r")
    assert parse_trailers(f"{text}{substance_trailer(2, 11)}\n") == parse_trailers(text)
    assert substance_trailer(2, 11) == "Git-Sync-Substance: 2 of 11"
