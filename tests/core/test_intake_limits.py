"""Limits on the objects of one cluster and of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.changes import (
    Directories,
    ManifestRow,
    Tally,
    TreeRow,
    add_conflict,
    deletion_stats,
    keep_all,
    plan_changes,
)
from steps.core.intake_limits import (
    MOST_CONFLICTS,
    Excess,
    Intake,
    IntakeLimits,
    OverLimit,
    Usage,
    over_run_limits,
)
from steps.core.sorted_join import outer_join

if TYPE_CHECKING:
    from collections.abc import Iterable

    from steps.core.changes import Pairs

segments = st.sampled_from([b"a", b"b", b"a-b", b"a.b", b"ab"])
paths = st.lists(segments, min_size=1, max_size=5).map(lambda parts: b"/".join([b"c", *parts]))


def entries(listed: Iterable[bytes], most: int = 0) -> int | None:
    """Return the number of accepted paths before the limit is exceeded; None if all are accepted."""
    intake = Intake(IntakeLimits(max_objects=most))
    for number, path in enumerate(listed):
        try:
            intake.add(path)
        except OverLimit:
            return number
    return None


@given(st.sets(paths, min_size=1))
def test_intake_counts_each_object_and_directory_once(listed: set[bytes]) -> None:
    directories = {path[:at] for path in listed for at in range(len(path)) if path[at : at + 1] == b"/"}
    total = len(listed) + len(directories)
    assert entries(sorted(listed), total) is None
    assert entries(sorted(listed), total - 1) == len(listed) - 1


def test_intake_stops_at_the_first_object_over_the_limit() -> None:
    assert entries([b"c/%d" % number for number in range(9)], 5) == 4  # the directory counts, too
    assert entries([b"c/" + b"d/" * 500 + b"x"], 400) == 0


@given(st.lists(paths))
def test_intake_without_a_limit_accepts_everything(listed: list[bytes]) -> None:
    assert entries(sorted(listed)) is None


usage_maps = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.builds(
        lambda old, new, each: Usage(old + new, new, new * each),
        st.integers(0, 50),
        st.integers(0, 50),
        st.integers(0, 9000),
    ),
    max_size=12,
)


@given(usage_maps, st.integers(0, 300), st.integers(0, 300_000), st.randoms())
def test_accepted_clusters_are_within_the_run_limits_in_any_order(
    usages: dict[str, Usage], objects: int, new_bytes: int, order: object
) -> None:
    limits = IntakeLimits(max_run_objects=objects, max_run_new_bytes=new_bytes)
    over_limit = over_run_limits(usages, limits)
    accepted = [usage for name, usage in usages.items() if name not in over_limit]
    assert not objects or sum(usage.objects for usage in accepted) <= objects
    assert not new_bytes or sum(usage.new_bytes for usage in accepted) <= new_bytes
    shuffled = list(usages.items())
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    again = over_run_limits(dict(shuffled), limits)
    assert {n: str(f) for n, f in again.items()} == {n: str(f) for n, f in over_limit.items()}


def test_over_run_limits_skips_the_largest_growth_and_not_small_clusters() -> None:
    usages = {
        "a-many": Usage(5000, 5000, 0),  # empty objects count, too
        "b-large": Usage(10, 10, 900_000),
        "large-and-unchanged": Usage(8000, 0, 0),
        "new": Usage(100, 100, 40_000),
        "small": Usage(10, 1, 5_000),
    }
    limits = IntakeLimits(max_run_objects=10_000, max_run_new_bytes=100_000)
    reasons = {name: problem.excess for name, problem in over_run_limits(usages, limits).items()}
    assert reasons == {"a-many": Excess.RUN_OBJECTS, "b-large": Excess.RUN_BYTES}
    assert over_run_limits(usages, IntakeLimits()) == {}


def test_over_run_limits_never_skips_a_cluster_without_new_bytes() -> None:
    limits = IntakeLimits(max_run_new_bytes=1)
    assert set(over_run_limits({"a": Usage(9, 9, 9), "b": Usage(9, 0, 0)}, limits)) == {"a"}


# -- conflicts of files and directories -----------------------------------------------------------


def conflicting(count: int) -> list[bytes]:
    return sorted(path for n in range(count) for path in (b"c/%07d" % n, b"c/%07d/x" % n))


def remembered(paths: Iterable[bytes]) -> set[bytes]:
    conflicts: set[bytes] = set()
    directories: Directories[None] = Directories()
    for path in paths:
        for above, _ in directories.of(path, None):
            add_conflict(conflicts, above)
    return conflicts


def test_conflicts_are_limited() -> None:
    assert len(remembered(conflicting(MOST_CONFLICTS))) == MOST_CONFLICTS
    with pytest.raises(OverLimit) as refused:
        remembered(conflicting(MOST_CONFLICTS + 1))
    assert refused.value.excess is Excess.CONFLICTS


def test_plan_raises_over_limit_before_the_first_change() -> None:
    tree = [TreeRow(b"c/%07d" % n, "100644", "1" * 40) for n in range(MOST_CONFLICTS + 1)]
    manifest = [ManifestRow(row.path + b"/x", "fetched", "2" * 40, 1, "e") for row in tree]

    def pairs() -> Pairs:
        return outer_join(tree, manifest)

    surveyed = deletion_stats("c", pairs(), lambda _: True, branch="main")
    rows = plan_changes(pairs, lambda _: True, changed=pairs(), stats=surveyed, keeps=keep_all, tally=Tally())
    with pytest.raises(OverLimit):
        next(rows)
