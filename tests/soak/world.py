"""A world for one case: a bucket with a recorded history, a repository, git-sync, and the oracle."""

from __future__ import annotations

import random
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from steps.planning.rewriting import Rewriting
from steps.runtime import retry
from steps.runtime.settings.reading import read
from tests.soak.oracle import Chronicle, Oracle, Unsafe
from tests.support.bucket import Bucket, new_bucket
from tests.support.proxy import S3FaultProxy, fault_proxy
from tests.support.repositories import bare_repository, commit_files, log
from tests.support.s3 import S3Server, moto_server
from tests.support.sync import CommandResult, Sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PREFIX = "clusterbackup/"
# Without guards, so that the oracle sees every effect of a fault.
_UNGUARDED = {"MAX_DELETE_PERCENT": "100", "MAX_DELETE_COUNT": "1000000", "CLUSTER_VANISHED": "delete"}

# A Secret with volatile fields.
_OBJECT = b"kind: Secret\nmetadata:\n  name: %s\n  resourceVersion: '%d'\nstatus: {}\nstringData: {a: %d}\n"
_REWRITING = {
    "VOLATILE_FIELDS": "strip",
    "SECRETS": "redact",
    "SECRETS_KEY": "0123456789abcdef0123456789abcdef",
}

# Short pauses instead of seconds and minutes.
_SHORT_PAUSES = (
    (retry, "PUSHES", replace(retry.PUSHES, first_pause=0.005)),
    (retry, "REPLICAS", replace(retry.REPLICAS, first_pause=0.005)),
    (retry, "REQUESTS", replace(retry.REQUESTS, first_pause=0.001)),
)


@dataclass
class World:
    """One bucket, one branch, one volume (more with `volume`), and their recorded history."""

    bucket: Bucket
    repository: Path
    sync: Sync
    oracle: Oracle
    choice: random.Random
    chronicle: Chronicle = field(default_factory=Chronicle)
    treated: Callable[[str, bytes], bytes] | None = None
    _versions: int = 0

    def put(self, key: str, content: bytes | None = None) -> bytes:
        """Write an object, by default with unique content; return the content."""
        self._versions += 1
        if content is None:
            template = b"%s version %d\n" if self.treated is None else _OBJECT
            numbers = (self._versions,) if self.treated is None else (self._versions, self._versions)
            content = template % (key.encode(), *numbers)
        body = content
        self.chronicle.record(key, self.treated(key, body) if self.treated else body)
        self.bucket.put(key, body)
        return body

    def delete(self, key: str) -> None:
        """Delete an object."""
        self.chronicle.record(key, None)
        self.bucket.delete(key)

    def fill(self, clusters: tuple[str, ...] = ("east", "west"), objects: int = 5) -> list[str]:
        """Write a few objects to each cluster; return their keys."""
        keys = [f"{PREFIX}{cluster}/ns-{n % 2}/{n}.yaml" for cluster in clusters for n in range(objects)]
        for key in keys:
            self.put(key)
        return keys

    def change(self, puts: int = 2, deletes: int = 1, new: int = 1) -> None:
        """Modify, delete and add a few objects, chosen at random."""
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

    def commit_as_other_user(self, files: Mapping[str, bytes | tuple[str, bytes] | None]) -> str:
        """Push to the branch as another user."""
        oid = commit_files(self.repository, files)
        self.oracle.foreign.add(oid)
        return oid

    def volume(self, name: str) -> Sync:
        """Return git-sync with another, empty volume."""
        return self.sync.elsewhere(self.sync.work_dir.with_name(f"volume-{name}"))

    def attempt(self, sync: Sync | None = None, *arguments: str, **settings: str) -> CommandResult:
        """Run git-sync in this process, with any result, and let the oracle check it."""
        result = (sync or self.sync)(*arguments, **settings)
        self.oracle.check()
        if result.exit not in {0, 10, 20, 30, 40}:
            raise Unsafe(f"exit code {result.exit}")
        if result.exit and not result.errors:
            raise Unsafe(f"exit code {result.exit} without an error in the log")
        lost = [line["data"].get("allow_new_branch") for line in result.of("git_clone", "error")]
        if any(lost):  # another user has reset, replaced or deleted the branch: approve it
            return self.attempt(sync, *arguments, **(settings | {"ALLOW_NEW_BRANCH": lost[0]}))
        return result

    def settle(self, sync: Sync | None = None, expected: Mapping[str, bytes] | None = None) -> None:
        """Check that a run without faults ends with 0 and is exact, and that the next one changes nothing."""
        sync = sync or self.sync
        result = self.attempt(sync)
        if result.exit != 0:
            raise Unsafe(f"a run without faults ended with {result.exit}: {result.errors}")
        self.oracle.check_exact(dict(self.chronicle.now() if expected is None else expected))
        before = log(self.repository)
        again = self.attempt(sync)
        if again.exit != 0 or log(self.repository) != before:
            raise Unsafe(f"the second run committed, or failed with exit code {again.exit}")


@dataclass
class Place:
    """Shared by the cases of one worker: an S3 server, a proxy in front of it, and a directory."""

    s3: S3Server
    proxy: S3FaultProxy
    root: Path

    @contextmanager
    def world(
        self, seed: str, *, proxied: bool = True, unguarded: bool = True, rewriting: bool = False
    ) -> Iterator[World]:
        """Yield a separate world for a case, with random choices from `seed`; keep it if the case fails.

        With `rewriting`, half of the cases strip volatile fields and redact Secrets: Git must always have
        exactly what the policy makes of an object, after every kill and loss.
        """
        directory = Path(tempfile.mkdtemp(prefix="case-", dir=self.root))
        bucket = new_bucket(self.s3)
        repository = bare_repository(directory / "backups.git")
        sync = Sync.between(bucket, repository, directory / "volume").with_settings(RETRY_DELAY="1ms")
        if proxied:
            self.proxy.clear()
            sync = sync.with_settings(MINIO_ENDPOINT=self.proxy.server.endpoint)
        if unguarded:
            sync = sync.with_settings(**_UNGUARDED)
        treated = None
        if rewriting and random.Random(f"rewriting {seed}").random() < 0.5:
            sync = sync.with_settings(**_REWRITING)
            treated = _treated
        chronicle = Chronicle()
        oracle = Oracle(repository, chronicle)
        yield World(bucket, repository, sync, oracle, random.Random(seed), chronicle, treated)
        shutil.rmtree(directory)


def _treated(key: str, content: bytes) -> bytes:
    """Return what a run with `_REWRITING` writes of an object."""
    settings = read(_REWRITING).content
    rewriting = Rewriting.of(settings.policy, settings)
    assert rewriting.secrets is not None
    hidden = rewriting.secrets.treated(key.removeprefix(PREFIX), content).content
    stripped = settings.policy.rewrite(hidden or b"").content
    assert stripped is not None
    return stripped


@contextmanager
def place(server: S3Server | None = None) -> Iterator[Place]:
    """Set up the place of a worker, with short pauses between retries."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        s3 = server or stack.enter_context(moto_server())
        proxy = stack.enter_context(fault_proxy(s3))
        for module, name, policy in _SHORT_PAUSES:
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, policy)
        yield Place(s3, proxy, root)
