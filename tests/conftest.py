"""Fixtures: one S3 server for the session, and for each test a bucket, a repository and git-sync."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import trustme

from steps.runtime import redaction
from tests.support import environment, inspector
from tests.support.bucket import Bucket, new_bucket
from tests.support.first_sync import first_sync
from tests.support.gitserver import http_git_server
from tests.support.proxy import S3FaultProxy, fault_proxy
from tests.support.repositories import bare_repository
from tests.support.s3 import S3Server, moto_server
from tests.support.steps import FIRST
from tests.support.sync import Sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.gitserver import GitServer

# An example may take any time: machines differ.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

environment.clean()

# `make test-fast` skips tests below these folders or with these fixtures: they start servers or run long.
_SLOW_FOLDERS = ("bench", "demo", "e2e", "hostile", "images", "mutants", "runs", "scale", "soak")
_SLOW_FIXTURES = {"ca", "s3", "server"}


def pytest_xdist_auto_num_workers() -> int:
    """Use more workers than cores: half of the tests' time is waiting for deadlines and servers."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests."""
    folders = {Path(__file__).parent / name for name in _SLOW_FOLDERS}
    for item in items:
        if folders & set(item.path.parents) or _SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server."""
    with moto_server() as server:
        yield server


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """A certificate authority that no system trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def secure_s3(ca: trustme.CA) -> Iterator[S3Server]:
    """An S3 server over HTTPS, with a certificate of `ca`."""
    with moto_server(tls=ca) as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    """An empty bucket."""
    return new_bucket(s3)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty bare repository."""
    return bare_repository(tmp_path / "backups.git")


@pytest.fixture
def quick_inspection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the process that inspects changed files instead of starting it."""
    monkeypatch.setattr("steps.publishing.isolated._run", inspector.forked_run)


@pytest.fixture
def sync(bucket: Bucket, repository: Path, tmp_path: Path, quick_inspection: None) -> Sync:  # noqa: ARG001
    """git-sync from the bucket to the repository."""
    return Sync.between(bucket, repository, tmp_path / "workspace")


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[S3FaultProxy]:
    """A proxy in front of the S3 server that can inject faults."""
    with fault_proxy(s3) as running:
        yield running


@pytest.fixture
def faulty(proxy: S3FaultProxy, sync: Sync) -> Sync:
    """git-sync through the proxy."""
    return sync.with_settings(MINIO_ENDPOINT=proxy.server.endpoint)


@pytest.fixture
def synced(sync: Sync) -> None:
    """The objects FIRST in the bucket and in Git."""
    first_sync(sync, FIRST)


@pytest.fixture
def git_server(repository: Path) -> Iterator[GitServer]:
    """An HTTP server of the repository in which things can be made to go wrong."""
    with http_git_server(repository.parent, "the-token") as running:
        yield running


@pytest.fixture
def over_http(sync: Sync, git_server: GitServer, repository: Path) -> Sync:
    """The same sync to that server, without retries of steps."""
    return sync.with_settings(
        GIT_REPOSITORY=git_server.url_for(repository),
        GIT_TOKEN="the-token",
        GIT_ALLOW_HTTP="true",
        RETRY_ATTEMPTS="1",
    )


@pytest.fixture
def restored_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore the log of this process and its secrets after the test."""
    logger = logging.getLogger("git-sync")
    before = (logger.handlers, logger.propagate, logger.level)
    monkeypatch.setattr(redaction, "_secrets", redaction._secrets)
    yield
    logger.handlers, logger.propagate = before[:2]
    logger.setLevel(before[2])
