"""S3 fails or returns false answers: each request of a run, with each fault, once or always.

A case is named ``scenario:request:fault:how long``, such as ``change:list-east-2:cut:once``: the
second page of east's listing is truncated at its first request.
"""

from __future__ import annotations

import gzip
import random
import re
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from unittest.mock import patch

from steps.core import limits
from tests.soak.family import Counts, Family, endless, shuffled
from tests.soak.oracle import Unsafe
from tests.soak.world import PREFIX
from tests.support.faults import Action, Change, Cut, Hang, Request, Reset, Rule, Status, Trickle
from tests.support.repositories import contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.soak.world import Place, World

_CLUSTERS = ("east", "west")
_PAGE = 3  # keys per page: a cluster of five keys needs two pages, and a request for a third one

# -- the requests of a run without faults, by scenario --------------------------------------------

_LISTS = [f"list-{cluster}-{number}" for cluster in _CLUSTERS for number in (1, 2, 3)]
_GETS = [f"get-{cluster}-{number}" for cluster in _CLUSTERS for number in (1, 2, 3, 4, 5)]
_REQUESTS = {
    "first": ["discover-1", *_LISTS, *_GETS],
    "change": ["discover-1", *_LISTS, "get-east-1", "get-east-2", "get-west-1", "get-west-2", "head-east-1"],
    "full": ["discover-1", *_LISTS, *_GETS],
    "vanish": ["discover-1", *_LISTS[:3], *_LISTS[3:5], *(f"head-west-{n}" for n in (1, 2, 3, 4, 5))],
}


def _prepare(world: World, scenario: str) -> dict[str, str]:
    """Prepare the world for the scenario; return the settings of its run."""
    keys = world.fill(_CLUSTERS)
    if scenario == "first":
        return {}
    world.attempt()
    if scenario == "vanish":
        for key in keys[5:]:
            world.delete(key)
    else:
        world.put(keys[0])
        world.delete(keys[1])
        world.put(f"{PREFIX}east/new/1.yaml")
        world.put(keys[6])
        world.put(f"{PREFIX}west/new/1.yaml")
    return {"SYNC_MODE": "full"} if scenario == "full" else {}


def _kind(request: Request) -> str:
    """Return the kind of a request: "discover", "list-east", "get-east" or "head-east"."""
    if request.is_list:
        cluster = request.query.get("prefix", "").removeprefix(PREFIX).strip("/")
        return f"list-{cluster}" if cluster else "discover"
    cluster = request.key.removeprefix(PREFIX).partition("/")[0]
    return f"{request.method.lower()}-{cluster}"


# -- the faults -----------------------------------------------------------------------------------

# Transient faults: a single one must not change the result of the run.
_FAILURES: dict[str, Action] = {
    "500": Status(500, "InternalError"),
    "502": Status(502, "BadGateway"),
    "503": Status(503, "SlowDown"),
    "504": Status(504, "GatewayTimeout"),
    "429": Status(429, "TooManyRequests"),
    "reset": Reset(),
    "cut-at-once": Cut(0),
    "cut": Cut(5),  # obstore requests the rest, three times
}

_REFUSALS: dict[str, Action] = {
    "403": Status(403, "AccessDenied"),
    "400": Status(400, "InvalidRequest"),
    "404": Status(404, "NoSuchKey"),
    "no-bucket": Status(404, "NoSuchBucket"),
    "hang": Hang(2),
}

# Refusals of one object. Its file in Git stays, and everything else is published.
_DENIALS: dict[str, Action] = {
    "400-kms": Status(400, "KMS.DisabledException"),
    "402": Status(402, "PaymentRequired"),
    "403": Status(403, "AccessDenied"),
    "403-archived": Status(403, "InvalidObjectState"),
    "405": Status(405, "MethodNotAllowed"),
    "406": Status(406, "NotAcceptable"),
    "410": Status(410, "Gone"),
    "411": Status(411, "MissingContentLength"),
    "413": Status(413, "EntityTooLarge"),
    "417": Status(417, "ExpectationFailed"),
    "418": Status(418, "Teapot"),
    "422": Status(422, "Unprocessable"),
    "423": Status(423, "Locked"),
    "424": Status(424, "FailedDependency"),
    "426": Status(426, "UpgradeRequired"),
    "428": Status(428, "PreconditionRequired"),
    "431": Status(431, "HeadersTooLarge"),
    "451": Status(451, "UnavailableForLegalReasons"),
}


# 20 kB that decompress to 20 MiB.
@cache
def _bomb() -> bytes:
    return gzip.compress(b"<Error><Code>AccessDenied</Code><Message>" + b"x" * (20 << 20))


# Faults that delay a run, use its memory, or redirect it to another server.
_RESOURCE_FAULTS: dict[str, Action] = {
    "retry-after": Status(503, "SlowDown", {"Retry-After": "86400"}),
    "trickle": Trickle(0.05),
    "long-error": Change(body=lambda _: b"<Error><Code>" + b"x" * (9 << 20), status=403),
    "gzip-bomb": Change(
        body=lambda _: _bomb(), headers=lambda headers: headers | {"content-encoding": "gzip"}, status=403
    ),
    "redirect": Change(
        body=lambda _: b"", headers=lambda headers: headers | {"location": "http://127.0.0.1:9/"}, status=307
    ),
    "redirect-to-itself": Change(
        body=lambda _: b"", headers=lambda headers: headers | {"location": "/"}, status=301
    ),
}


def _body(change: Callable[[bytes], bytes]) -> Change:
    return Change(body=change)


def _flip_random_bit(rng: random.Random) -> Callable[[bytes], bytes]:
    """Flip another bit each time: a network does not damage an answer twice in the same way."""

    def flip(body: bytes) -> bytes:
        if not body:
            return body
        at = rng.randrange(len(body))
        return body[:at] + bytes([body[at] ^ (1 << rng.randrange(7))]) + body[at + 1 :]

    return flip


_ERROR_IN_200 = (
    b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>We are sorry</Message></Error>'
)
_CONTENTS = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)


def _entries(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    """Replace the entries of a listing."""

    def rewrite(body: bytes) -> bytes:
        entries = _CONTENTS.findall(body)
        if not entries:
            return body
        begin, end = body.index(entries[0]), body.rindex(entries[-1]) + len(entries[-1])
        return body[:begin] + b"".join(change(entries)) + body[end:]

    return Change(body=rewrite)


_ETAG = dict.fromkeys(("etag",), f'"{"0" * 31}1"')


def _false_answers(rng: random.Random) -> dict[str, Action]:
    """Return answers with status 200 and a false body, for any request."""
    return {
        "error-in-200": _body(lambda _: _ERROR_IN_200),
        "empty-200": _body(lambda _: b""),
        "login-page": _body(lambda _: b"<html><body>Please log in</body></html>"),
        "bit-flip": _body(_flip_random_bit(rng)),
        "half-with-length": _body(lambda body: body[: len(body) // 2]),
        "twice": _body(lambda body: body + body),
    }


def _false_listings() -> dict[str, Action]:
    sub = re.sub
    return {
        "no-is-truncated": _body(lambda body: sub(rb"<IsTruncated>.*?</IsTruncated>", b"", body)),
        "not-truncated": _body(lambda body: body.replace(b">true<", b">false<")),
        "truncated": _body(lambda body: body.replace(b">false<", b">true<")),
        "no-token": _body(
            lambda body: sub(rb"<NextContinuationToken>.*?</NextContinuationToken>", b"", body)
        ),
        "unsorted": _entries(lambda entries: entries[::-1]),
        "repeated-entry": _entries(lambda entries: [*entries, entries[-1]]),
        "entry-missing": _entries(lambda entries: entries[1:]),
        "last-entry-missing": _entries(lambda entries: entries[:-1]),
        "no-entries": _entries(lambda _: []),
        "wrong-etags": _body(lambda body: sub(rb"(<ETag>[^0-9a-f]*)[0-9a-f]{8}", rb"\g<1>00000000", body)),
        "no-etags": _body(lambda body: sub(rb"<ETag>.*?</ETag>", b"", body)),
        "wrong-sizes": _body(lambda body: sub(rb"<Size>(\d+)</Size>", rb"<Size>1\1</Size>", body)),
        "size-0": _body(lambda body: sub(rb"<Size>\d+</Size>", rb"<Size>0</Size>", body)),
        "other-prefix": _body(lambda body: body.replace(b"<Key>clusterbackup", b"<Key>clusterbackuq")),
        "other-cluster": _body(lambda body: body.replace(b"/east/", b"/west/")),
        "no-namespace": _body(lambda body: sub(rb' xmlns="[^"]*"', b"", body)),
        "no-prefixes": _body(lambda body: sub(rb"<CommonPrefixes>.*?</CommonPrefixes>", b"", body)),
    }


def _false_objects() -> dict[str, Action]:
    return {
        "wrong-etag": Change(headers=lambda headers: headers | _ETAG),
        "no-etag": Change(headers=lambda headers: {k: v for k, v in headers.items() if k != "etag"}),
        "other-object": _body(lambda body: body.replace(b"version", b"VERSION")),
        "206": Change(status=206),
        "304": Change(status=304, body=lambda _: b""),
    }


def _events(world: World) -> dict[str, Action]:
    """Return changes of the bucket directly before or after the answer of the store."""
    keys = sorted(world.chronicle.now())

    def change_all() -> None:
        for key in keys:
            world.put(key)

    def delete_some() -> None:
        for key in keys[::3]:
            world.delete(key)

    def replace_all() -> None:
        delete_some()
        for key in keys[1::3]:
            world.put(key)
        world.put(f"{PREFIX}east/0-new.yaml")
        world.put(f"{PREFIX}west/zz-new.yaml")

    changes = {"all-change": change_all, "some-vanish": delete_some, "all-moves": replace_all}
    before: dict[str, Action] = {f"{name}-before": Change(before=do) for name, do in changes.items()}
    return before | {f"{name}-after": Change(after=do) for name, do in changes.items()}


_CHANGES = ("all-change", "some-vanish", "all-moves")
_EVENTS = [f"{name}-{at}" for name in _CHANGES for at in ("before", "after")]

# After two GETs with the same bytes and an ETag that is not their MD5, git-sync requests other objects. If
# their ETags are not MD5s either, it assumes that no ETag of this store is. A fault that always changes the
# content of all objects in the same way looks the same.
_ONCE_ONLY = {"other-object"}


def _names_for(request: str) -> list[str]:
    rng = random.Random(0)
    names = [*_FAILURES, *_REFUSALS, *_DENIALS, *_RESOURCE_FAULTS, *_false_answers(rng)]
    names = list(dict.fromkeys(names))
    if request.startswith("head"):  # the answer has no body
        without_body = {*_false_answers(rng), "trickle", "long-error", "gzip-bomb"}
        return [name for name in names if name not in without_body and not name.startswith("cut")]
    if request.startswith(("list", "discover")):
        names += _false_listings()
    elif request.startswith("get"):
        names += _false_objects()
    return names


def _cases(seed: int) -> Iterator[str]:
    names = []
    for scenario, requests in _REQUESTS.items():
        for request in requests:
            faults = _names_for(request)
            names += [f"{scenario}:{request}:{fault}:once" for fault in [*faults, *_EVENTS]]
            names += [f"{scenario}:{request}:{fault}:ever" for fault in faults if fault not in _ONCE_ONLY]
    return shuffled(names, seed)


@dataclass
class _Fault:
    """A rule of the proxy for the n-th request of a kind, or for it and all later ones."""

    kind: str
    number: int
    lasting: bool
    action: Action
    seen: int = 0
    triggered: int = 0

    def __call__(self, request: Request) -> Action | None:
        if _kind(request) != self.kind:
            return None
        self.seen += 1
        if self.seen == self.number or (self.lasting and self.seen > self.number):
            self.triggered += 1
            return self.action
        return None


def _run(place: Place, case: str) -> Counts:
    scenario, request, name, how = case.split(":")
    kind, _, number = request.rpartition("-")
    with place.world(case) as world:
        settings = _prepare(world, scenario) | {"CONCURRENCY": "1", "RETRY_ATTEMPTS": "2"}
        actions = {
            **_FAILURES,
            **_REFUSALS,
            **_DENIALS,
            **_RESOURCE_FAULTS,
            **_false_answers(world.choice),
            **_false_listings(),
            **_false_objects(),
            **_events(world),
        }
        fault = _Fault(kind, int(number), how == "ever", actions[name])
        place.proxy.clear()
        place.proxy.page_size = _PAGE
        place.proxy.install(fault)
        with ExitStack() as patches:
            for limit, seconds in _SHORT_DEADLINES.items() if name in {"hang", "trickle"} else ():
                patches.enter_context(patch.object(limits, limit, seconds))
            result = world.attempt(world.sync.with_settings(**settings))
        if not fault.triggered:
            raise Unsafe("the fault was not triggered")
        _expect(scenario, kind, name, how, result.exit)
        if name not in _EVENTS and scenario != "vanish":
            _check_published(world, kind, name, result.exit)
        place.proxy.clear()
        world.settle()
        return {f"exit {result.exit}": 1}


# A byte every 50 ms is never silent for 300 ms, and never complete within a second.
_SHORT_DEADLINES = {"S3_READ_SECONDS": 0.3, "S3_ANSWER_SECONDS": 1, "S3_OBJECT_SECONDS": 1}


def _check_published(world: World, kind: str, fault: str, exit_code: int) -> None:
    """Check that everything that could be published is published; raises Unsafe."""
    cluster = kind.partition("-")[2]
    if exit_code not in {0, 10} or not cluster:
        return
    expected, files = world.chronicle.now(), contents(world.repository)
    affected = f"{PREFIX}{cluster}/" if exit_code == 10 else "nothing"
    differing = {key for key in expected.keys() | files.keys() if expected.get(key) != files.get(key)}
    if others := {key for key in differing if not key.startswith(affected)}:
        raise Unsafe(f"exit code {exit_code}, but {sorted(others)} are not published")
    if kind.startswith("get") and fault in _DENIALS and len(differing) > _GETS_OF_A_CLUSTER:
        raise Unsafe(f"one object is refused, but {sorted(differing)} are not published")


_GETS_OF_A_CLUSTER = 5


def _expect(scenario: str, kind: str, fault: str, how: str, exit_code: int) -> None:
    """Check the exit code: a single transient fault has no effect; otherwise a cluster or the run fails."""
    if fault in _FAILURES:
        expected = {0} if how == "once" else {30} if kind == "discover" else {10}
    elif fault in _DENIALS and kind.startswith("get"):
        expected = {10}
    elif fault == "403" and kind.startswith("head"):
        expected = {0}  # a listing proves the absence instead
    elif fault == "403":
        expected = {40} if kind == "discover" else {10}
    else:
        return
    if scenario == "vanish" and kind == "list-east":
        expected = {0, 20}  # west is empty in this scenario, so that no cluster is left
    if exit_code not in expected:
        raise Unsafe(f"exit code {exit_code}, not in {expected}")


FAMILY = Family("s3-faults", "S3 fails or returns false answers, at each request", _cases, _run, quick=8)


# -- 30 % of all requests fail --------------------------------------------------------------------

_STORM = [*_FAILURES, "half-with-length", "bit-flip"]
_SHARE = 0.3


def _storm(place: Place, case: str) -> Counts:
    """Run with changes; 30 % of the requests fail, each with a random fault."""
    with place.world(case) as world:
        _prepare(world, "change")
        rng = random.Random(case)
        actions = {**_FAILURES, **_false_answers(rng)}

        def fail_randomly(_: Request) -> Action | None:
            return actions[rng.choice(_STORM)] if rng.random() < _SHARE else None

        rule: Rule = fail_randomly
        place.proxy.install(rule)
        result = world.attempt()
        requests = len(place.proxy.requests)
        place.proxy.clear()
        world.settle()
        return {f"exit {result.exit}": 1, "requests": requests}


STORM = Family("s3-storm", "30 % of all requests to S3 fail", endless, _storm, quick=1)
