"""Joining sorted streams in constant memory.

Everything that names objects is sorted by path in byte order: S3 lists keys in it and Git's recursive
tree listing comes in it. So bucket, tree and cache meet in one pass, whatever their size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Row(Protocol):
    """Anything with a path."""

    @property
    def path(self) -> bytes: ...


L = TypeVar("L", bound=Row)
R = TypeVar("R", bound=Row)
T = TypeVar("T", bound=Row)


class OutOfOrder(ValueError):
    """A stream that must ascend strictly by path does not."""


def ascending(rows: Iterable[T]) -> Iterator[T]:
    """Pass ``rows`` on, and raise OutOfOrder at the first whose path is not beyond the one before."""
    last: bytes | None = None
    for row in rows:
        if last is not None and row.path <= last:
            raise OutOfOrder(f"{row.path!r} after {last!r}")
        last = row.path
        yield row


def outer_join(left: Iterable[L], right: Iterable[R]) -> Iterator[tuple[L | None, R | None]]:
    """Pair the rows of two streams by path, ascending; None stands where one has no such path."""
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
