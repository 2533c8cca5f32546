"""When deletions are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.deletion_guard import (
    Decision,
    DeletionStats,
    DeletionToken,
    Limits,
    Vanished,
    is_approved,
    rule,
)


def surveyed(deletions: int, in_git: int, *, accepted: int = 1) -> DeletionStats:
    return DeletionStats(
        in_git=in_git, accepted=accepted, deletions=deletions, kept=0, token="0123456789abcdef"
    )


def decision(survey: DeletionStats, limits: Limits | None = None) -> Decision:
    return rule(survey, limits or Limits(), allowed=False, bucket_is_empty=False)


def token_of(cluster: str, paths: set[bytes]) -> str:
    token = DeletionToken(cluster)
    for path in sorted(paths):
        token.add(path)
    return str(token)


@pytest.mark.parametrize(
    ("deletions", "in_git", "expected"),
    [
        (0, 0, Decision.DELETE),
        (0, 100, Decision.DELETE),
        (5, 5, Decision.DELETE),  # all of them, but no more than the count
        (5, 6, Decision.DELETE),
        (6, 30, Decision.DELETE),  # exactly 20 %
        (6, 29, Decision.REFUSED_MASS_DELETION),
        (6, 31, Decision.DELETE),
        (200, 1000, Decision.DELETE),
        (201, 1000, Decision.REFUSED_MASS_DELETION),
        (200, 999, Decision.REFUSED_MASS_DELETION),
    ],
)
def test_both_bounds_must_be_exceeded(deletions: int, in_git: int, expected: Decision) -> None:
    assert decision(surveyed(deletions, in_git)) is expected


@pytest.mark.parametrize(
    ("limits", "deletions", "expected"),
    [
        (Limits(max_delete_count=0, max_delete_percent=0), 1, Decision.REFUSED_MASS_DELETION),
        (Limits(max_delete_count=1, max_delete_percent=0), 1, Decision.DELETE),
        (Limits(max_delete_count=0, max_delete_percent=1), 1, Decision.DELETE),
        (Limits(max_delete_count=0, max_delete_percent=0.99), 1, Decision.REFUSED_MASS_DELETION),
        (Limits(max_delete_count=0, max_delete_percent=100), 100, Decision.DELETE),
        (Limits(max_delete_count=99, max_delete_percent=0), 100, Decision.REFUSED_MASS_DELETION),
    ],
)
def test_the_bounds_are_what_the_operator_set(limits: Limits, deletions: int, expected: Decision) -> None:
    assert decision(surveyed(deletions, in_git=100), limits) is expected


@given(st.integers(1, 1000), st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 100))
def test_a_refusal_means_more_than_the_count_and_more_than_the_percentage(
    deletions: int, others: int, count: int, percent: int
) -> None:
    in_git = deletions + others
    refused = decision(surveyed(deletions, in_git), Limits(count, percent)).refused
    assert refused == (deletions > count and deletions * 100 > percent * in_git)


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("bucket_is_empty", [False, True])
@pytest.mark.parametrize("vanished", Vanished)
def test_a_cluster_without_one_accepted_object_is_ruled_by_cluster_vanished(
    vanished: Vanished, bucket_is_empty: bool, allowed: bool
) -> None:
    expected = {
        Vanished.REFUSE: Decision.REFUSED_VANISHED,
        Vanished.KEEP: Decision.KEEP,
        Vanished.DELETE: Decision.DELETE,
    }[vanished]
    if bucket_is_empty:
        expected = Decision.REFUSED_EMPTY_BUCKET
    if allowed:
        expected = Decision.DELETE
    # One file: far below the bounds of a mass deletion, which is not what this guard is about.
    gone = surveyed(1, in_git=1, accepted=0)
    ruled = rule(gone, Limits(vanished=vanished), allowed=allowed, bucket_is_empty=bucket_is_empty)
    assert ruled is expected


@pytest.mark.parametrize("vanished", Vanished)
def test_a_new_cluster_without_anything_to_delete_is_never_refused(vanished: Vanished) -> None:
    nothing = surveyed(0, in_git=0, accepted=0)
    ruled = rule(nothing, Limits(vanished=vanished), allowed=False, bucket_is_empty=True)
    assert ruled is Decision.DELETE


def test_what_a_person_allowed_is_deleted_however_much_it_is() -> None:
    everything = surveyed(1000, in_git=1000)
    assert rule(everything, Limits(), allowed=True, bucket_is_empty=False) is Decision.DELETE


@pytest.mark.parametrize(
    ("ruled", "refused"),
    [
        (Decision.DELETE, False),
        (Decision.KEEP, False),
        (Decision.REFUSED_MASS_DELETION, True),
        (Decision.REFUSED_VANISHED, True),
        (Decision.REFUSED_EMPTY_BUCKET, True),
    ],
)
def test_keeping_as_configured_is_no_refusal(ruled: Decision, refused: bool) -> None:
    assert ruled.refused is refused


paths = st.sets(st.binary(min_size=1, max_size=3).filter(lambda path: b"\0" not in path), max_size=4)
names = st.sampled_from(["east", "eas", "t", "system:admin", "größe"])


@given(names, paths, names, paths)
def test_a_token_names_one_cluster_and_one_set(
    cluster: str, deleted: set[bytes], other_cluster: str, others: set[bytes]
) -> None:
    same = (cluster, deleted) == (other_cluster, others)
    assert (token_of(cluster, deleted) == token_of(other_cluster, others)) == same


def test_a_token_stays_what_it_was_in_the_versions_before() -> None:
    assert token_of("east", {b"east/a", b"east/b"}) == "50a5c62d88263cf0"


@pytest.mark.parametrize(
    ("approvals", "allowed"),
    [
        ((), False),
        (("east:cafe",), True),
        (("west:beef", "east:cafe"), True),
        (("east",), False),
        (("east:",), False),
        (("cafe",), False),
        (("west:cafe",), False),
        (("east:cafe0",), False),
        (("east:caf",), False),
        (("East:cafe",), False),
        (("*:cafe",), False),
        (("east:*",), False),
    ],
)
def test_an_allowance_is_for_exactly_that_cluster_and_that_set(
    approvals: tuple[str, ...], allowed: bool
) -> None:
    assert is_approved("east", "cafe", approvals) is allowed


def test_a_cluster_whose_name_holds_a_colon_can_be_allowed() -> None:
    assert is_approved("system:admin", "cafe", ["system:admin:cafe"])
    assert not is_approved("system", "admin:cafe0", ["system:admin:cafe"])
