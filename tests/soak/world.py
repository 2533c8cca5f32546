"""A world for one case: a bucket whose history is known, a repository, git-sync, and the oracle."""

from __future__ import annotations

import random
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from steps.runtime import retry
from tests.soak.oracle import Chronicle, Oracle, Unsafe
from tests.support.bucket import Bucket, new_bucket
from tests.support.proxy import S3FaultProxy, fault_proxy
from tests.support.repositories import bare_repository, commit_files, log
from tests.support.s3 import S3Server, moto_server
from tests.support.sync import CommandResult, Sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "clusterbackup/"
# The oracle shall see what a fault does, not the guard that would have held it back.
_UNGUARDED = {"MAX_DELETE_PERCENT": "100", "MAX_DELETE_COUNT": "1000000", "CLUSTER_VANISHED": "delete"}

# What git-sync waits for in the world outside, for seconds and minutes.
_HASTE = (
    (retry, "PUSHES", replace(retry.PUSHES, first_pause=0.005)),
    (retry, "REQUESTS", replace(retry.REQUESTS, first_pause=0.001)),
)


@dataclass
class World:
    """One bucket, one branch, one volume (more with `volume`), and what is known about them."""

    bucket: Bucket
    repository: Path
    sync: Sync
    oracle: Oracle
    choice: random.Random
    chronicle: Chronicle = field(default_factory=Chronicle)
    _versions: int = 0

    def put(self, key: str, content: bytes | None = None) -> bytes:
        """Write an object, by default with a content that no object ever had; return the content."""
        self._versions += 1
        body = b"%s version %d\n" % (key.encode(), self._versions) if content is None else content
        self.chronicle.record(key, body)
        self.bucket.put(key, body)
        return body

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.chronicle.record(key, None)
        self.bucket.delete(key)

    def fill(self, clusters: tuple[str, ...] = ("east", "west"), objects: int = 5) -> list[str]:
        """Write a few objects into each cluster; return their keys."""
        keys = [f"{PREFIX}{cluster}/ns-{n % 2}/{n}.yaml" for cluster in clusters for n in range(objects)]
        for key in keys:
            self.put(key)
        return keys

    def change(self, puts: int = 2, deletes: int = 1, new: int = 1) -> None:
        """Modify, delete and add a few objects, chosen by the world's dice."""
        keys = sorted(self.chronicle.now())
        gone = self.choice.sample(keys, min(deletes, len(keys)))
        for key in gone:
            self.delete(key)
        left = [key for key in keys if key not in gone]
        for key in self.choice.sample(left, min(puts, len(left))):
            self.put(key)
        for _ in range(new):
            cluster = self.choice.choice(["east", "west", "north"])
            self.put(f"{PREFIX}{cluster}/new/{self.choice.randrange(10**9)}.yaml")

    def somebody_commits(self, files: Mapping[str, bytes | tuple[str, bytes] | None]) -> str:
        """Push to the branch as another person."""
        oid = commit_files(self.repository, files)
        self.oracle.foreign.add(oid)
        return oid

    def volume(self, name: str) -> Sync:
        """git-sync on another, empty volume."""
        return self.sync.elsewhere(self.sync.work_dir.with_name(f"volume-{name}"))

    def attempt(self, sync: Sync | None = None, *arguments: str, **settings: str) -> CommandResult:
        """Run git-sync in this process, whatever comes of it, and ask the oracle."""
        result = (sync or self.sync)(*arguments, **settings)
        self.oracle.check()
        if result.exit not in {0, 10, 20, 30, 40}:
            raise Unsafe(f"exit code {result.exit}")
        if result.exit and not result.errors:
            raise Unsafe(f"exit code {result.exit} without a word")
        return result

    def settle(self, sync: Sync | None = None, expected: Mapping[str, bytes] | None = None) -> None:
        """A run in peace must end 0 and be exact, and the one after it must find nothing to do."""
        sync = sync or self.sync
        result = self.attempt(sync)
        if result.exit != 0:
            raise Unsafe(f"a run in peace ended {result.exit}: {result.errors}")
        self.oracle.check_exact(dict(self.chronicle.now() if expected is None else expected))
        before = log(self.repository)
        again = self.attempt(sync)
        if again.exit != 0 or log(self.repository) != before:
            raise Unsafe(f"a second run had something to do, and ended {again.exit}")


@dataclass
class Place:
    """What the cases of one worker share: an S3 server, a proxy before it, and room on disk."""

    s3: S3Server
    proxy: S3FaultProxy
    root: Path

    @contextmanager
    def world(self, seed: str, *, proxied: bool = True, unguarded: bool = True) -> Iterator[World]:
        """A world of a case's own; its dice fall by `seed`. It is removed if the case passes."""
        room = Path(tempfile.mkdtemp(prefix="case-", dir=self.root))
        bucket = new_bucket(self.s3)
        repository = bare_repository(room / "backups.git")
        sync = Sync.between(bucket, repository, room / "volume").with_settings(RETRY_DELAY="1ms")
        if proxied:
            self.proxy.clear()
            sync = sync.with_settings(MINIO_ENDPOINT=self.proxy.server.endpoint)
        if unguarded:
            sync = sync.with_settings(**_UNGUARDED)
        chronicle = Chronicle()
        oracle = Oracle(repository, chronicle)
        yield World(bucket, repository, sync, oracle, random.Random(seed), chronicle)
        shutil.rmtree(room)


@contextmanager
def place(server: S3Server | None = None) -> Iterator[Place]:
    """Set up a worker's place, where git-sync does not wait between its tries."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        s3 = server or stack.enter_context(moto_server())
        proxy = stack.enter_context(fault_proxy(s3))
        for module, name, hasty in _HASTE:
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, hasty)
        yield Place(s3, proxy, root)
