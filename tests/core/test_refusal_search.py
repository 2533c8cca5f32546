"""The search for refused changes, against simulated hosts that refuse any set of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.limits import SEARCH_PUSHES
from steps.core.refusal_search import Part, Refusal, Search

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable


class Found(NamedTuple):
    """How a search ended; ``pushes`` includes the one of the whole plan."""

    landed: set[int]
    refused: list[int]
    pushes: int
    is_about_the_branch: bool


def searched(
    size: int,
    accepts: Callable[[list[int]], bool],
    *,
    names: Callable[[list[int]], Iterable[int]] = lambda _: (),
    is_about_content: bool = False,
    boundaries: Collection[int] = (0,),
    seed: str = "run",
) -> Found:
    """Search a plan of ``size`` changes; ``names`` are those that the host's message names."""
    whole = Part(((0, size),))

    def refusal(part: Part) -> Refusal:
        return Refusal(frozenset(names(list(part))), is_about_content)

    search = Search(whole, refusal(whole), sorted(boundaries), seed=seed)
    landed: set[int] = set()
    pushes = 1
    while (part := search.next_part()) is not None:
        pushes += 1
        assert part
        assert landed.isdisjoint(part), "nothing is pushed twice"
        if accepts(list(part)):
            landed.update(part)
            search.accept()
        else:
            search.refuse(part, refusal(part))
    return Found(landed, search.refused, pushes, search.is_about_the_branch)


def refusing(bad: Collection[int]) -> Callable[[list[int]], bool]:
    return lambda pushed: not set(bad) & set(pushed)


# -- hosts that refuse some changes ---------------------------------------------------------------


@given(st.data(), st.integers(2, 300), st.text(max_size=5))
def test_search_publishes_everything_but_the_refused_changes(
    data: st.DataObject, size: int, seed: str
) -> None:
    numbers = st.integers(0, size - 1)
    bad = data.draw(st.sets(numbers, min_size=1, max_size=2))
    boundaries = data.draw(st.sets(numbers, max_size=6))
    found = searched(size, refusing(bad), boundaries=boundaries, seed=seed)
    if found.is_about_the_branch:
        assert not found.landed
        assert found.pushes <= 3
    else:
        assert found.landed == set(range(size)) - bad
        assert found.refused == sorted(bad)
        assert found.pushes <= SEARCH_PUSHES


@given(st.data(), st.integers(1, 6) | st.integers(1, 2000))
def test_search_reports_only_changes_that_were_refused_alone(data: st.DataObject, size: int) -> None:
    """For any host, even one that answers at random. The number of pushes is limited."""
    alone: set[int] = set()

    def accepts(pushed: list[int]) -> bool:
        accepted = data.draw(st.booleans())
        if not accepted and len(pushed) == 1:
            alone.update(pushed)
        return accepted

    found = searched(size, accepts, names=lambda part: part[:: len(part) // 3 + 1][:2])
    assert set(found.refused) <= alone
    assert found.landed.isdisjoint(found.refused)
    assert found.pushes <= SEARCH_PUSHES


@given(st.integers(3, 1000), st.data())
def test_search_finds_named_changes_with_one_push_each(size: int, data: st.DataObject) -> None:
    """The whole, the rest, and each named change alone."""
    bad = data.draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=min(5, size - 1)))
    found = searched(size, refusing(bad), names=bad.intersection)
    assert found.landed == set(range(size)) - bad
    assert found.refused == sorted(bad)
    assert found.pushes == 2 + len(bad)


def test_search_finds_changes_that_the_host_names_five_at_a_time() -> None:
    bad = set(range(0, 1000, 90))
    found = searched(
        1000,
        refusing(bad),
        names=lambda part: sorted(bad.intersection(part))[:5],
        is_about_content=True,
    )
    assert found.landed == set(range(1000)) - bad
    assert found.refused == sorted(bad)
    assert found.pushes == 1 + 3 + len(bad)


def test_search_publishes_changes_that_a_host_names_by_mistake() -> None:
    found = searched(100, refusing({50}), names=lambda part: set(part) & {1, 2, 3})
    assert found.landed == set(range(100)) - {50}
    assert found.refused == [50]


def test_search_ignores_a_message_that_names_every_change() -> None:
    found = searched(100, refusing({50}), names=lambda part: part)
    assert found.landed == set(range(100)) - {50}
    assert found.refused == [50]


def test_search_publishes_other_clusters_before_it_searches_the_refused_one() -> None:
    pushed: list[list[int]] = []

    def accepts(part: list[int]) -> bool:
        pushed.append(part)
        return 12 not in part

    searched(40, accepts, boundaries=[0, 10, 20, 30])
    inside = next(at for at, part in enumerate(pushed) if set(part) < {*range(10, 20)})
    assert {*range(40)} - {*range(10, 20)} <= {n for part in pushed[:inside] for n in part}


@pytest.mark.parametrize("named", [0, 5])
@pytest.mark.parametrize("first", [0, 1, 500, 999])
def test_cluster_of_refused_changes_does_not_stop_the_other_clusters(first: int, named: int) -> None:
    """One cluster has 10,000 refused changes; 99 clusters have 10 accepted changes each."""
    bad = range(first, first + 10_000)
    boundaries = [*range(0, first, 10), first, *range(bad.stop, 10_990, 10)]
    blocked = 0
    for seed in range(6):
        found = searched(
            10_990,
            lambda pushed: not any(number in bad for number in pushed),
            names=lambda part: [number for number in part if number in bad][:named],
            boundaries=boundaries,
            seed=str(seed),
        )
        if found.is_about_the_branch:  # the probe was one of the refused changes
            assert not found.landed
            blocked += 1
            continue
        assert found.landed == {*range(10_990)} - {*bad}
        assert found.refused, "every run finds some of the refused changes"
    assert blocked <= 1


def test_clusters_of_refused_changes_rarely_stop_a_run() -> None:
    """Both halves contain a refused change. The next run takes another probe."""
    bad = {*range(1000), *range(2000, 3000)}
    ends = [
        searched(3000, refusing(bad), boundaries=[*range(0, 3000, 100)], seed=str(n)).is_about_the_branch
        for n in range(100)
    ]
    assert ends.count(True) < 80


def test_cluster_that_exchanges_files_and_directories_does_not_stop_the_others() -> None:
    """Its changes are pushed later. The host refuses 50 others of it, without naming them."""
    ends = []
    for seed in range(20):
        whole, later = Part(((0, 62),)), Part(((0, 2),))
        search = Search(whole, Refusal(), [0, 52], seed=str(seed), later=later)
        landed: set[int] = set()
        while (part := search.next_part()) is not None:
            if any(2 <= number < 52 for number in part):
                search.refuse(part, Refusal())
            else:
                landed.update(part)
                search.accept()
        ends.append(landed)
    assert all(landed >= {*range(52, 62)} for landed in ends)


def test_cluster_with_few_refused_changes_is_searched_beside_one_with_many() -> None:
    bad = {*range(10_000), 10_050}
    found = searched(
        10_200, refusing(bad), boundaries=[0, 10_000, 10_100], names=lambda part: [n for n in part if n == 0]
    )
    assert found.landed >= {*range(10_000, 10_200)} - {10_050}
    assert 10_050 in found.refused


def test_search_of_many_refused_changes_ends_with_most_of_the_rest_published() -> None:
    bad = set(range(0, 1000, 7))
    found = searched(100_000, refusing(bad))
    assert found.pushes == SEARCH_PUSHES
    assert len(found.landed) > 98_000


def test_search_of_a_million_changes_defers_a_few_to_the_next_run() -> None:
    found = searched(1_000_000, lambda pushed: 765_432 not in pushed)
    assert found.pushes <= SEARCH_PUSHES
    assert len(found.landed) > 1_000_000 - 10


# -- hosts that refuse combinations ---------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3, 10, 99])
def test_search_refuses_nothing_if_only_the_size_of_a_push_is_limited(most: int) -> None:
    found = searched(100, lambda pushed: len(pushed) <= most)
    assert found.refused == []
    assert found.pushes <= SEARCH_PUSHES
    assert found.landed == set(range(100)) or found.pushes == SEARCH_PUSHES


# -- refusals that are not about changes ----------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000])
def test_refusal_of_every_push_is_about_the_branch_after_three_pushes(size: int) -> None:
    found = searched(size, lambda _: False)
    assert found.is_about_the_branch
    assert found.pushes <= 3
    assert found.refused == []


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_refusal_of_every_push_for_its_content_is_not_about_the_branch(size: int) -> None:
    found = searched(size, lambda _: False, names=lambda part: part, is_about_content=True)
    assert not found.is_about_the_branch
    assert found.refused == list(range(size))


def test_probe_differs_from_run_to_run() -> None:
    """The host accepts only one change. A search that always takes the same probe would never find it."""
    found = [searched(8, lambda pushed: pushed == [5], seed=str(n)) for n in range(50)]
    assert any(search.landed for search in found)
    for search in found:
        assert search.landed or search.is_about_the_branch


# -- parts ----------------------------------------------------------------------------------------

NUMBERS = st.sets(st.integers(0, 60))


@given(NUMBERS, NUMBERS)
def test_part_without_numbers_keeps_the_others(kept: set[int], removed: set[int]) -> None:
    part = Part.of(sorted(kept)).without(sorted(removed))
    assert list(part) == sorted(kept - removed)
    assert len(part) == len(kept - removed)
    assert Part.of(part) == part


@given(st.sets(st.integers(0, 60), min_size=2), NUMBERS)
def test_part_is_split_between_clusters_or_in_the_middle(numbers: set[int], boundaries: set[int]) -> None:
    left, right = Part.of(sorted(numbers)).halves(sorted(boundaries))
    assert [*left, *right] == sorted(numbers)
    assert left
    assert right
    inner = {at for at in boundaries if min(numbers) < at <= max(numbers)}
    if inner:
        assert any(max(left) < at <= min(right) for at in inner)
    else:
        assert len(left) == len(numbers) // 2


@given(NUMBERS, NUMBERS)
def test_part_finds_numbers(numbers: set[int], others: set[int]) -> None:
    assert Part.of(sorted(numbers)).among(others) == sorted(numbers & others)
