"""The retry policy: how many attempts, which pauses."""

from __future__ import annotations

import pytest

from steps.core.operations import Operation
from steps.errors import FixConfiguration, TryAgain
from steps.runtime.retry import RetryPolicy

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


def test_call_does_not_retry_what_a_person_must_fix(slept: list[float]) -> None:
    def fail() -> None:
        raise FixConfiguration(Operation.DOWNLOAD, "Failed", "access denied")

    with pytest.raises(FixConfiguration):
        POLICY.call(fail)
    assert slept == []
