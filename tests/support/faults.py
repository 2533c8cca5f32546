"""What can go wrong between an S3 client and a store: requests, rules and actions for the proxy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote


@dataclass(frozen=True)
class Request:
    """One request as the proxy received it.

    `number` counts from 1 over the life of the proxy. `path` is raw, as sent; `query` is decoded
    (a parameter without a value has ""); header names are lower case.
    """

    number: int
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def bucket(self) -> str:
        """The bucket's name, "" in a request to list them."""
        return unquote(self.path[1:].partition("/")[0])

    @property
    def key(self) -> str:
        """The object's key, decoded; "" in a request about the bucket."""
        return unquote(self.path[1:].partition("/")[2])

    @property
    def is_list(self) -> bool:
        """True for ListObjects, version 1 or 2, not for subresources such as ?location."""
        subresources = {"location", "versioning", "policy", "uploads", "object-lock", "acl"}
        about_bucket = self.bucket != "" and self.key == ""
        return self.method == "GET" and about_bucket and not subresources & set(self.query)

    @property
    def is_get(self) -> bool:
        """True for the GET of an object."""
        return self.method == "GET" and self.key != ""

    def concerns(self, prefix: str) -> bool:
        """True when it is about an object under `prefix`, or lists within it."""
        return (self.key or self.query.get("prefix", "")).startswith(prefix)


@dataclass(frozen=True)
class Status:
    """Answer with an S3 error instead of asking the store."""

    status: int
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reset:
    """Reset the connection (RST) without an answer; the store is not asked."""


@dataclass(frozen=True)
class Hang:
    """Say nothing for `seconds`, then go on as if nothing had been. Closing the proxy resets it."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """Promise the whole body, send `after` bytes of it, and close the connection."""

    after: int


@dataclass(frozen=True)
class Change:
    """Change the store's answer on its way; Content-Length follows the new body.

    `before` runs before the request is forwarded, `after` when the store has answered and the
    client has not: to change the bucket between a LIST and its GETs, or under a GET.
    """

    body: Callable[[bytes], bytes] = lambda body: body
    headers: Callable[[dict[str, str]], dict[str, str]] = lambda headers: headers
    status: int | None = None
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None


Action = Status | Reset | Hang | Cut | Change
Rule = Callable[[Request], Action | None]
Condition = Callable[[Request], bool]


def when(condition: Condition, action: Action) -> Rule:
    """Always do `action` on requests that fit."""
    return lambda request: action if condition(request) else None


def times(count: int, action: Action, condition: Condition = lambda _: True) -> Rule:
    """Do `action` on the first `count` requests that fit, from when the rule is made."""
    seen = itertools.count(1)
    return lambda request: action if condition(request) and next(seen) <= count else None


def nth(number: int, action: Action, condition: Condition = lambda _: True) -> Rule:
    """Do `action` on the `number`-th request that fits (1 is the first), and on no other."""
    seen = itertools.count(1)
    return lambda request: action if condition(request) and next(seen) == number else None


def forbid(prefix: str) -> Rule:
    """403 AccessDenied for every object under `prefix` and every listing within it."""
    return when(lambda request: request.concerns(prefix), Status(403, "AccessDenied"))
