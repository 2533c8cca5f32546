"""Hostile keys through the whole of git-sync, and a judge who knows the verdicts beforehand."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

from minio.error import MinioException

from tests.hostile.damage import assert_same, clone_and_look, fingerprint, strict_clone_options
from tests.hostile.grammar import LARGE, MARKER, MAX_OBJECT_BYTES, PATH_CONFLICT, keys
from tests.support.bucket import Bucket, S3Error, new_bucket
from tests.support.fake_s3 import shelf
from tests.support.repositories import bare_repository, contents, fsck, git
from tests.support.sync import Sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.hostile.grammar import Key
    from tests.support.s3 import S3Server

PREFIX = b"clusterbackup/"
_ROUNDS = 5
assert LARGE > MAX_OBJECT_BYTES


@dataclass(frozen=True)
class Counts:
    """What became of the keys of one bucket."""

    keys: int
    good: int
    bad: int
    markers: int
    refused_by_store: int = 0

    def __str__(self) -> str:
        return (
            f"{self.keys} keys: {self.good} good and all in Git, {self.bad} bad and all reported, "
            f"{self.markers} markers; {self.refused_by_store} more that the store refused"
        )


def hostile_keys(
    seed: int | str, count: int, workspace: Path, stores: Mapping[str, S3Server]
) -> dict[str, Counts]:
    """Sync `count` hostile keys, chosen by `seed`, from a server that holds all, and from `stores`.

    A store is given what it takes; how many it refused is counted, and the shelf has them. `workspace`
    is an empty directory that can go afterwards. Raises AssertionError at the first thing that is wrong.
    """
    canary = workspace / "canary"
    made = keys(random.Random(seed), count, str(canary))
    assert len(made) >= count
    found = {}
    with ExitStack() as stack:
        bucket = stack.enter_context(shelf({PREFIX + key.key: key.body for key in made}))
        found["shelf"] = judge(bucket, made, workspace / "shelf", canary)
    for name, server in stores.items():
        bucket = new_bucket(server)
        held = _put(bucket, made)
        counts = judge(bucket, held, workspace / name, canary)
        found[name] = Counts(**{**vars(counts), "refused_by_store": len(made) - len(held)})
    return found


def _put(bucket: Bucket, made: Iterable[Key]) -> list[Key]:
    """Store what the store takes, and return what it then gives back just so; the rest is removed again."""
    taken: dict[str, Key] = {}
    for key in made:
        name = (PREFIX + key.key).decode()
        with suppress(S3Error):
            bucket.put(name, key.body)
            taken[name] = key
    # Gateways clean keys, fold what looks alike, or spell what XML cannot carry otherwise.
    for _ in range(_ROUNDS):
        listed = set(bucket.keys())
        strange = {name for name in taken if name not in listed or not _holds(bucket, name, taken[name])}
        for name in strange | (listed - taken.keys()):
            taken.pop(name, None)
            with suppress(S3Error):
                bucket.delete(name)
        if listed == taken.keys():
            return list(taken.values())
    raise AssertionError("the store does not come to rest")


def _holds(bucket: Bucket, name: str, key: Key) -> bool:
    """Whether the store gives the key's bytes, and can say what follows it."""
    try:
        if not name.isprintable():
            list(bucket.minio.list_objects(bucket.name, prefix=name, recursive=True, start_after=name))
        return bucket.get(name) == key.body
    except (S3Error, MinioException, ParseError):
        return False


def judge(bucket: Bucket, held: list[Key], room: Path, canary: Path) -> Counts:
    """Sync the bucket, which holds just these keys, and compare all that can be seen with the verdicts."""
    for directory in ("around/tmp", "around/home", "around/workspace"):
        (room / directory).mkdir(parents=True)
    repository = bare_repository(room / "around" / "backups.git")
    git(repository, "config", "receive.fsckObjects", "true")
    git(repository, "config", "fsck.skipList", os.devnull)
    work_dir = room / "around" / "workspace"
    sync = Sync.between(bucket, repository, work_dir).with_settings(
        MAX_OBJECT_BYTES=str(MAX_OBJECT_BYTES),
        LOG_LEVEL="debug",
        TMPDIR=str(room / "around" / "tmp"),
        HOME=str(room / "around" / "home"),
    )
    before = fingerprint(room, without=(work_dir, repository))
    lines = _run(sync)
    after = fingerprint(room, without=(work_dir, repository))
    assert after == before, set(after.items()) ^ set(before.items())
    assert not canary.exists()

    good, bad, strays = _verdicts(held)
    expected = {PREFIX + key.key: key.body for key in good}
    assert_same({os.fsencode(path): body for path, body in contents(repository).items()}, expected)
    fsck(repository)
    _compare_named(lines, bad)
    _compare_counted(sync, lines, bad, strays)
    for number, options in enumerate(((), strict_clone_options())):
        clone_room = room / f"clone-{number}"
        clone_room.mkdir()
        clone_and_look(repository, clone_room, expected, canary, *options)
    commit = git(repository, "rev-parse", "main")
    _run(sync)
    assert git(repository, "rev-parse", "main") == commit, "a second run had something to do"
    markers = sum(key.is_marker for key in held)
    return Counts(len(held), len(good), len(held) - len(good) - markers, markers)


def _run(sync: Sync) -> list[dict[str, Any]]:
    """Run git-sync in a process of its own, and return its log."""
    with sync.start("run") as process:
        out, errors = process.communicate(timeout=600)
    assert process.returncode == 0, out[-2000:]
    assert errors == ""
    assert out.isascii()
    assert "\x1b" not in out
    return [json.loads(line) for line in out.splitlines()]


Named = list[tuple[str, frozenset[str]]]


def _verdicts(held: list[Key]) -> tuple[list[Key], Named, Named]:
    """Return the good keys, the bad ones as they must be named, and what lies outside every cluster."""
    paths = {key.key for key in held if key.is_good}
    above = {path[:at] for path in paths for at in range(len(path)) if path[at] == ord("/")}
    losers = paths & above
    good = [key for key in held if key.is_good and key.key not in losers]
    strays = {}
    bad: Named = []
    for key in held:
        path = key.key.decode()
        reasons = frozenset({PATH_CONFLICT}) if key.key in losers else key.verdicts
        if key.trick == "no_cluster":
            strays[shown(PREFIX.decode() + path)] = reasons
        elif key.trick == "bad_cluster":
            strays[shown(f"{PREFIX.decode()}{path.partition('/')[0]}/")] = reasons
        elif reasons and reasons != {MARKER}:
            bad.append((shown(path), reasons))
    return good, bad, list(strays.items())


def shown(text: str) -> str:
    """How a key must be named: what cannot be printed spelt out, and cut at 200 characters."""
    spelt = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[:200])
    return spelt if len(text) <= 200 else f"{spelt}\u2026 ({len(text)} characters)"


def _compare_named(lines: list[dict[str, Any]], bad: Named) -> None:
    """Each bad key is named in the log, with one of the reasons that are true of it."""
    named = [
        line["data"]
        for line in lines
        if line["message"] == "Key quarantined" and line["operation"] == "download"
    ]
    assert Counter(data["key"] for data in named) == Counter(name for name, _ in bad)
    reasons: dict[str, frozenset[str]] = {}
    for name, verdicts in bad:
        reasons[name] = reasons.get(name, frozenset()) | verdicts
    assert [data for data in named if data["reason"] not in reasons[data["key"]]] == []


def _compare_counted(sync: Sync, lines: list[dict[str, Any]], bad: Named, strays: Named) -> None:
    """The state counts them by reason, cluster by cluster and beside all clusters."""
    last = sync.state["last_run"]
    counted: Counter[str] = Counter()
    for cluster in last["clusters"]:
        assert cluster["status"] == "ok"
        counted.update(cluster["quarantined"])
    named = Counter(
        line["data"]["reason"]
        for line in lines
        if line["message"] == "Key quarantined" and line["operation"] == "download"
    )
    assert counted == named
    assert counted.total() == len(bad)
    named_strays = {
        line["data"]["key"]: line["data"]["reason"]
        for line in lines
        if line["message"] == "Key quarantined" and line["operation"] == "discover"
    }
    assert named_strays.keys() == {name for name, _ in strays}
    assert all(named_strays[name] in reasons for name, reasons in strays)
    assert Counter(last["quarantined"]) == Counter(named_strays.values())
