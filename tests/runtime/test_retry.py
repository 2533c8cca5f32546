"""The retry policy: how many attempts, which pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.core.operations import Operation
from steps.errors import FixConfiguration, TryAgain
from steps.runtime.retry import Retry, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICY = RetryPolicy(attempts=4, first_pause=2, longest_pause=6)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    return pauses


def test_pauses_double_up_to_the_longest_and_vary_by_half() -> None:
    for _ in range(100):
        *pauses, last = POLICY.pauses()
        assert last is None
        for pause, mean in zip(pauses, (2, 4, 6), strict=True):
            assert pause is not None
            assert mean / 2 <= pause <= mean * 1.5
    assert len({next(POLICY.pauses()) for _ in range(10)}) > 1, "attempts of many pods must not coincide"


def test_one_attempt_has_no_pause() -> None:
    assert list(RetryPolicy(attempts=1, first_pause=2).pauses()) == [None]


def test_tries_pauses_between_attempts_only(slept: list[float]) -> None:
    assert list(POLICY.tries()) == [1, 2, 3, 4]
    assert len(slept) == 3


def test_tries_does_not_pause_after_a_success(slept: list[float]) -> None:
    for number in POLICY.tries():
        if number == 2:
            break
    assert len(slept) == 1


def test_call_retries_transient_errors(slept: list[float]) -> None:
    calls = 0

    def third_time_lucky() -> str:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise TryAgain(Operation.DOWNLOAD, "Failed", "busy")
        return "done"

    assert POLICY.call(third_time_lucky) == "done"
    assert (calls, len(slept)) == (3, 2)


def test_call_raises_the_last_transient_error(slept: list[float]) -> None:
    calls = 0

    def fail() -> None:
        nonlocal calls
        calls += 1
        raise TryAgain(Operation.DOWNLOAD, "Failed", str(calls))

    with pytest.raises(TryAgain, match="4"):
        POLICY.call(fail)
    assert (calls, len(slept)) == (4, 3)


def test_call_retries_transient_results_and_returns_the_last_one(slept: list[float]) -> None:
    results = iter(["busy", "busy", "done", "not reached"])
    assert POLICY.call(lambda: next(results), is_transient="busy".__eq__) == "done"
    assert POLICY.call(lambda: "busy", is_transient="busy".__eq__) == "busy"
    assert len(slept) == 2 + 3


def test_call_reports_each_retry_with_its_pause_and_cause(slept: list[float]) -> None:
    problem = TryAgain(Operation.DOWNLOAD, "Failed", "busy")
    outcomes: Iterator[TryAgain | str] = iter([problem, "busy", "done"])

    def next_outcome() -> str:
        outcome = next(outcomes)
        if isinstance(outcome, TryAgain):
            raise outcome
        return outcome

    retries: list[Retry] = []
    POLICY.call(next_outcome, is_transient="busy".__eq__, on_retry=retries.append)
    assert retries == [Retry(2, 4, slept[0], problem), Retry(3, 4, slept[1], None)]


def test_call_does_not_retry_what_a_person_must_fix(slept: list[float]) -> None:
    def fail() -> None:
        raise FixConfiguration(Operation.DOWNLOAD, "Failed", "access denied")

    with pytest.raises(FixConfiguration):
        POLICY.call(fail)
    assert slept == []
