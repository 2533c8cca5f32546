"""Faults between an S3 client and a store: requests, rules and actions of the proxy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote


@dataclass(frozen=True)
class Request:
    """One request as the proxy received it.

    `number` counts the requests of the proxy from 1. `path` is raw; `query` is decoded (a parameter
    without a value has ""); header names are in lower case.
    """

    number: int
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def bucket(self) -> str:
        """The name of the bucket; "" in a request that lists buckets."""
        return unquote(self.path[1:].partition("/")[0])

    @property
    def key(self) -> str:
        """The decoded key of the object; "" in a request about the bucket."""
        return unquote(self.path[1:].partition("/")[2])

    @property
    def is_list(self) -> bool:
        """Whether this is ListObjects (version 1 or 2), not a subresource such as ?location."""
        subresources = {"location", "versioning", "policy", "uploads", "object-lock", "acl"}
        about_bucket = self.bucket != "" and self.key == ""
        return self.method == "GET" and about_bucket and not subresources & set(self.query)

    @property
    def is_get(self) -> bool:
        """Whether this is the GET of an object."""
        return self.method == "GET" and self.key != ""

    def concerns(self, prefix: str) -> bool:
        """Whether the request is for an object under `prefix`, or for a listing within it."""
        return (self.key or self.query.get("prefix", "")).startswith(prefix)


@dataclass(frozen=True)
class Status:
    """Answer with an S3 error; do not forward the request."""

    status: int
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reset:
    """Reset the connection (RST) without an answer; do not forward the request."""


@dataclass(frozen=True)
class Hang:
    """Wait for `seconds`, then forward the request. Closing the proxy resets the connection."""

    seconds: float


@dataclass(frozen=True)
class Trickle:
    """Announce the length of the whole body and send one byte of it per `seconds`."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """Announce the length of the whole body, send `after` bytes of it, and close the connection."""

    after: int


@dataclass(frozen=True)
class Change:
    """Change the answer of the store; Content-Length follows the new body.

    `before` runs before the request is forwarded, `after` when the store has answered and the client
    has no answer yet. They can change the bucket between a LIST and its GETs, or during a GET.
    """

    body: Callable[[bytes], bytes] = lambda body: body
    headers: Callable[[dict[str, str]], dict[str, str]] = lambda headers: headers
    status: int | None = None
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None


Action = Status | Reset | Hang | Trickle | Cut | Change
Rule = Callable[[Request], Action | None]
Condition = Callable[[Request], bool]


def when(condition: Condition, action: Action) -> Rule:
    """Apply `action` to every request that matches."""
    return lambda request: action if condition(request) else None


def times(count: int, action: Action, condition: Condition = lambda _: True) -> Rule:
    """Apply `action` to the first `count` requests that match."""
    seen = itertools.count(1)
    return lambda request: action if condition(request) and next(seen) <= count else None


def nth(number: int, action: Action, condition: Condition = lambda _: True) -> Rule:
    """Apply `action` only to the `number`-th request that matches (1 is the first)."""
    seen = itertools.count(1)
    return lambda request: action if condition(request) and next(seen) == number else None


def forbid(prefix: str) -> Rule:
    """Answer 403 AccessDenied for every object under `prefix` and every listing within it."""
    return when(lambda request: request.concerns(prefix), Status(403, "AccessDenied"))
