"""Runs git-sync with hostile keys and compares every output with the known verdicts."""

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

from tests.hostile.damage import assert_same, clone_and_check, fingerprint, strict_clone_options
from tests.hostile.grammar import LARGE, MARKER, MAX_OBJECT_BYTES, PATH_CONFLICT, keys
from tests.support.bucket import Bucket, S3Error, new_bucket
from tests.support.fake_s3 import fake_s3
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
    """The keys of one bucket, by result."""

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
    """Sync `count` hostile keys, chosen by `seed`, from a fake server with all keys, and from `stores`.

    A store gets only the keys that it accepts. `workspace` is an empty directory, which the caller may
    delete afterwards. Raises AssertionError at the first wrong result.
    """
    executed = workspace / "executed"
    made = keys(random.Random(seed), count, str(executed))
    assert len(made) >= count
    found = {}
    with ExitStack() as stack:
        bucket = stack.enter_context(fake_s3({PREFIX + key.key: key.body for key in made}))
        found["fake-s3"] = sync_and_check(bucket, made, workspace / "fake-s3", executed)
    for name, server in stores.items():
        bucket = new_bucket(server)
        stored = _put(bucket, made)
        counts = sync_and_check(bucket, stored, workspace / name, executed)
        found[name] = Counts(**{**vars(counts), "refused_by_store": len(made) - len(stored)})
    return found


def _put(bucket: Bucket, made: Iterable[Key]) -> list[Key]:
    """Store the accepted keys, delete those that the store changes, and return the others."""
    taken: dict[str, Key] = {}
    for key in made:
        name = (PREFIX + key.key).decode()
        with suppress(S3Error):
            bucket.put(name, key.body)
            taken[name] = key
    # Gateways normalise keys, merge similar ones, or replace characters that XML cannot contain.
    for _ in range(_ROUNDS):
        listed = set(bucket.keys())
        changed = {name for name in taken if name not in listed or not _returns(bucket, name, taken[name])}
        for name in changed | (listed - taken.keys()):
            taken.pop(name, None)
            with suppress(S3Error):
                bucket.delete(name)
        if listed == taken.keys():
            return list(taken.values())
    raise AssertionError("the listing of the store keeps changing")


def _returns(bucket: Bucket, name: str, key: Key) -> bool:
    """Whether the store returns the bytes of the key, and can list the keys after it."""
    try:
        if not name.isprintable():
            list(bucket.minio.list_objects(bucket.name, prefix=name, recursive=True, start_after=name))
        return bucket.get(name) == key.body
    except (S3Error, MinioException, ParseError):
        return False


def sync_and_check(bucket: Bucket, stored: list[Key], directory: Path, executed: Path) -> Counts:
    """Sync a bucket with these keys, and compare every output with the verdicts."""
    for name in ("around/tmp", "around/home", "around/workspace"):
        (directory / name).mkdir(parents=True)
    repository = bare_repository(directory / "around" / "backups.git")
    git(repository, "config", "receive.fsckObjects", "true")
    git(repository, "config", "fsck.skipList", os.devnull)
    work_dir = directory / "around" / "workspace"
    sync = Sync.between(bucket, repository, work_dir).with_settings(
        MAX_OBJECT_BYTES=str(MAX_OBJECT_BYTES),
        LOG_LEVEL="debug",
        TMPDIR=str(directory / "around" / "tmp"),
        HOME=str(directory / "around" / "home"),
    )
    before = fingerprint(directory, without=(work_dir, repository))
    lines = _run(sync)
    after = fingerprint(directory, without=(work_dir, repository))
    assert after == before, set(after.items()) ^ set(before.items())
    assert not executed.exists()

    good, bad, strays = _verdicts(stored)
    expected = {PREFIX + key.key: key.body for key in good}
    assert_same({os.fsencode(path): body for path, body in contents(repository).items()}, expected)
    fsck(repository)
    _compare_named(lines, bad)
    _compare_counted(sync, lines, bad, strays)
    for number, options in enumerate(((), strict_clone_options())):
        clone_room = directory / f"clone-{number}"
        clone_room.mkdir()
        clone_and_check(repository, clone_room, expected, executed, *options)
    commit = git(repository, "rev-parse", "main")
    _run(sync)
    assert git(repository, "rev-parse", "main") == commit, "the second run committed"
    markers = sum(key.is_marker for key in stored)
    return Counts(len(stored), len(good), len(stored) - len(good) - markers, markers)


def _run(sync: Sync) -> list[dict[str, Any]]:
    """Run git-sync in a separate process, and return its log."""
    with sync.start("run") as process:
        out, errors = process.communicate(timeout=600)
    assert process.returncode == 0, out[-2000:]
    assert errors == ""
    assert out.isascii()
    assert "\x1b" not in out
    return [json.loads(line) for line in out.splitlines()]


Named = list[tuple[str, frozenset[str]]]


def _verdicts(stored: list[Key]) -> tuple[list[Key], Named, Named]:
    """Return the good keys, the bad ones as the log must name them, and the keys outside every cluster."""
    paths = {key.key for key in stored if key.is_good}
    above = {path[:at] for path in paths for at in range(len(path)) if path[at] == ord("/")}
    losers = paths & above
    good = [key for key in stored if key.is_good and key.key not in losers]
    strays = {}
    bad: Named = []
    for key in stored:
        path = key.key.decode()
        reasons = frozenset({PATH_CONFLICT}) if key.key in losers else key.verdicts
        if key.trick == "no_cluster":
            strays[printable(PREFIX.decode() + path)] = reasons
        elif key.trick == "bad_cluster":
            strays[printable(f"{PREFIX.decode()}{path.partition('/')[0]}/")] = reasons
        elif reasons and reasons != {MARKER}:
            bad.append((printable(path), reasons))
    return good, bad, list(strays.items())


def printable(text: str) -> str:
    """Return a key as the log must show it: escaped, and cut at 200 characters."""
    escaped = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[:200])
    return escaped if len(text) <= 200 else f"{escaped}\u2026 ({len(text)} characters)"


def _compare_named(lines: list[dict[str, Any]], bad: Named) -> None:
    """Check that the log names each bad key, with one of its reasons."""
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
    """Check that the state counts the bad keys by reason, per cluster and outside of clusters."""
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
