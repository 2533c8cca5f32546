"""Joining sorted streams in constant memory.

Every stream of objects is sorted by path in byte order: S3 lists keys in this order, and so does Git's
recursive tree listing. So one pass joins bucket, tree and cache of any size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Row(Protocol):
    """Anything with a path."""

    @property
    def path(self) -> bytes: ...


L = TypeVar("L", bound=Row)
R = TypeVar("R", bound=Row)
T = TypeVar("T", bound=Row)
V = TypeVar("V")


class OutOfOrder(ValueError):
    """A stream is not strictly ascending by path."""


def ascending(rows: Iterable[T]) -> Iterator[T]:
    """Yield ``rows``, and raise OutOfOrder at the first whose path is not after the previous one."""
    last: bytes | None = None
    for row in rows:
        if last is not None and row.path <= last:
            raise OutOfOrder(f"{row.path!r} after {last!r}")
        last = row.path
        yield row


class Lookup(Generic[V]):
    """Finds values of an ascending stream by ascending keys, in one pass over both."""

    def __init__(self, values: Iterable[V], key: Callable[[V], bytes]) -> None:
        self._values = iter(values)
        self._key = key
        self._current = next(self._values, None)

    def find(self, key: bytes) -> V | None:
        """Return the value with this key, None if there is none; not below a key of an earlier call."""
        while self._current is not None and self._key(self._current) < key:
            self._current = next(self._values, None)
        is_found = self._current is not None and self._key(self._current) == key
        return self._current if is_found else None


def outer_join(left: Iterable[L], right: Iterable[R]) -> Iterator[tuple[L | None, R | None]]:
    """Pair the rows of two streams by path, ascending; None where one stream lacks the path."""
    lefts, rights = ascending(left), ascending(right)
    a, b = next(lefts, None), next(rights, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a.path < b.path):
            yield a, None
            a = next(lefts, None)
        elif a is None or b.path < a.path:
            yield None, b
            b = next(rights, None)
        else:
            yield a, b
            a, b = next(lefts, None), next(rights, None)
