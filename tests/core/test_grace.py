"""DELETE_GRACE: which missing files wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from steps.core.grace import Grace, PendingRow

_TIMES = st.integers(0, 100)
_FILES = st.dictionaries(st.sampled_from([b"a", b"a-b", b"a/b", b"b", b"c"]), _TIMES)


@given(_FILES, _FILES, _TIMES, st.integers(1, 50))
def test_file_waits_until_it_was_missing_for_the_grace(
    pending: dict[bytes, int], missing: dict[bytes, int], now: int, seconds: int
) -> None:
    grace = Grace((PendingRow(*row) for row in sorted(pending.items())), now=now, seconds=seconds)
    kept = [path for path in sorted(missing) if grace.keeps(path)]
    assert kept == [path for path in sorted(missing) if now - min(pending.get(path, now), now) < seconds]
    assert grace.waiting == len(kept)
    assert [row.path for row in grace.sample] == kept
