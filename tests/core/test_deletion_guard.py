"""Which deletions are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.deletion_guard import (
    Decision,
    DeletionLimits,
    DeletionStats,
    DeletionToken,
    Vanished,
    decide,
    is_approved,
)


def stats(deletions: int, in_git: int, *, accepted: int = 1) -> DeletionStats:
    return DeletionStats(
        in_git=in_git, accepted=accepted, deletions=deletions, kept=0, token="0123456789abcdef"
    )


def decision(stats: DeletionStats, limits: DeletionLimits | None = None) -> Decision:
    return decide(stats, limits or DeletionLimits(), approved=False, bucket_is_empty=False)


def token_of(cluster: str, paths: set[bytes], oid: str = "a" * 40, branch: str | None = "main") -> str:
    token = DeletionToken(cluster, branch)
    for path in sorted(paths):
        token.add(path, oid)
    return str(token)


def test_token_depends_on_the_branch() -> None:
    tokens = {token_of("east", {b"east/a"}, branch=branch) for branch in ("main", "other", None)}
    assert len(tokens) == 3


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
def test_decide_refuses_only_over_count_and_percentage(
    deletions: int, in_git: int, expected: Decision
) -> None:
    assert decision(stats(deletions, in_git)) is expected


@pytest.mark.parametrize(
    ("limits", "deletions", "expected"),
    [
        (DeletionLimits(max_delete_count=0, max_delete_percent=0), 1, Decision.REFUSED_MASS_DELETION),
        (DeletionLimits(max_delete_count=1, max_delete_percent=0), 1, Decision.DELETE),
        (DeletionLimits(max_delete_count=0, max_delete_percent=1), 1, Decision.DELETE),
        (DeletionLimits(max_delete_count=0, max_delete_percent=0.99), 1, Decision.REFUSED_MASS_DELETION),
        (DeletionLimits(max_delete_count=0, max_delete_percent=100), 100, Decision.DELETE),
        (DeletionLimits(max_delete_count=99, max_delete_percent=0), 100, Decision.REFUSED_MASS_DELETION),
    ],
)
def test_decide_uses_the_configured_limits(
    limits: DeletionLimits, deletions: int, expected: Decision
) -> None:
    assert decision(stats(deletions, in_git=100), limits) is expected


@given(st.integers(1, 1000), st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 100))
def test_decide_refuses_only_over_any_count_and_any_percentage(
    deletions: int, others: int, count: int, percent: int
) -> None:
    in_git = deletions + others
    refused = decision(stats(deletions, in_git), DeletionLimits(count, percent)).refused
    assert refused == (deletions > count and deletions * 100 > percent * in_git)


@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize("bucket_is_empty", [False, True])
@pytest.mark.parametrize("vanished", Vanished)
def test_decide_applies_cluster_vanished_to_a_cluster_without_accepted_objects(
    vanished: Vanished, bucket_is_empty: bool, approved: bool
) -> None:
    expected = {
        Vanished.REFUSE: Decision.REFUSED_VANISHED,
        Vanished.KEEP: Decision.KEEP,
        Vanished.DELETE: Decision.DELETE,
    }[vanished]
    if bucket_is_empty:
        expected = Decision.REFUSED_EMPTY_BUCKET
    if approved:
        expected = Decision.DELETE
    # One file: far below the bounds of a mass deletion, which is another guard.
    gone = stats(1, in_git=1, accepted=0)
    decided = decide(
        gone, DeletionLimits(vanished=vanished), approved=approved, bucket_is_empty=bucket_is_empty
    )
    assert decided is expected


@pytest.mark.parametrize("vanished", Vanished)
def test_decide_never_refuses_a_cluster_without_deletions(vanished: Vanished) -> None:
    nothing = stats(0, in_git=0, accepted=0)
    decided = decide(nothing, DeletionLimits(vanished=vanished), approved=False, bucket_is_empty=True)
    assert decided is Decision.DELETE


def test_decide_deletes_an_approved_set_of_any_size() -> None:
    everything = stats(1000, in_git=1000)
    assert decide(everything, DeletionLimits(), approved=True, bucket_is_empty=False) is Decision.DELETE


@pytest.mark.parametrize(
    ("decided", "refused"),
    [
        (Decision.DELETE, False),
        (Decision.KEEP, False),
        (Decision.REFUSED_MASS_DELETION, True),
        (Decision.REFUSED_VANISHED, True),
        (Decision.REFUSED_EMPTY_BUCKET, True),
    ],
)
def test_decision_keep_is_not_refused(decided: Decision, refused: bool) -> None:
    assert decided.refused is refused


paths = st.sets(st.binary(min_size=1, max_size=3).filter(lambda path: b"\0" not in path), max_size=4)
names = st.sampled_from(["east", "eas", "t", "system:admin", "größe"])


@given(names, paths, names, paths)
def test_token_identifies_one_cluster_and_one_set(
    cluster: str, deleted: set[bytes], other_cluster: str, others: set[bytes]
) -> None:
    same = (cluster, deleted) == (other_cluster, others)
    assert (token_of(cluster, deleted) == token_of(other_cluster, others)) == same


def test_token_depends_on_the_content_of_the_deleted_files() -> None:
    assert token_of("east", {b"east/a"}) != token_of("east", {b"east/a"}, oid="b" * 40)


def test_token_is_stable_across_versions() -> None:
    assert token_of("east", {b"east/a", b"east/b"}) == "acdeb37bf9f39735"


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
def test_approval_matches_exactly_its_cluster_and_set(approvals: tuple[str, ...], allowed: bool) -> None:
    assert is_approved("east", "cafe", approvals) is allowed


def test_approval_accepts_a_cluster_name_with_a_colon() -> None:
    assert is_approved("system:admin", "cafe", ["system:admin:cafe"])
    assert not is_approved("system", "admin:cafe0", ["system:admin:cafe"])
