"""The connections: the server's clock, endless listings, and the import of minio."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from steps.clients.s3.transport import EndlessListing, ServerClock, _PageLoopGuard
from steps.errors import TryAgain
from tests.support.bucket import new_bucket
from tests.support.faults import Change, when
from tests.support.repositories import contents
from tests.support.sync import Sync

if TYPE_CHECKING:
    from pathlib import Path

    from steps.clients.s3.store import ObjectStore
    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.s3 import S3Server

PAGE = "http://s3.example.com/bucket?list-type=2&continuation-token="


def test_clock_is_the_servers_within_15_minutes_and_else_the_local_one() -> None:
    clock, now = ServerClock(), datetime.now(UTC).replace(microsecond=0)
    clock.date = format_datetime(now - timedelta(minutes=14), usegmt=True)
    assert clock.now() == now - timedelta(minutes=14)
    for wrong in (format_datetime(now + timedelta(hours=1), usegmt=True), "yesterday", "", None):
        clock.date = wrong
        assert abs(clock.now() - now) < timedelta(minutes=1), wrong


def test_listing_starts_at_the_time_of_the_servers_first_page(
    bucket: Bucket, proxy: S3FaultProxy, faulty_store: ObjectStore
) -> None:
    bucket.put("p/a", b"x")
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    proxy.install(
        when(
            lambda request: request.query.get("start-after") is None,
            Change(headers=lambda headers: {**headers, "date": format_datetime(at, usegmt=True)}),
        )
    )
    listing = faulty_store.listing("p/")
    assert [entry.key for entry in listing] == ["p/a"]
    assert listing.started_at == at


def test_loop_guard_refuses_a_token_that_was_followed_before() -> None:
    guard = _PageLoopGuard()
    guard.check(PAGE + "1")
    guard.check(PAGE + "2")
    with pytest.raises(EndlessListing):
        guard.check(PAGE + "1")


def test_loop_guard_allows_a_redirect_and_a_new_listing() -> None:
    guard = _PageLoopGuard()
    guard.check(PAGE + "1")
    guard.check(PAGE.replace("s3.example.com", "s3-eu.example.com") + "1")
    guard.check("http://s3.example.com/bucket?list-type=2")
    guard.check(PAGE + "1")


def test_loop_guard_limits_the_number_of_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steps.core.limits.S3_LISTING_PAGES", 2)
    guard = _PageLoopGuard()
    guard.check(PAGE + "1")
    guard.check(PAGE + "2")
    with pytest.raises(EndlessListing):
        guard.check(PAGE + "3")


def test_listing_with_a_repeated_token_raises_try_again(
    proxy: S3FaultProxy, faulty_store: ObjectStore
) -> None:
    page = (
        b"<ListBucketResult><Name>bucket</Name><IsTruncated>true</IsTruncated>"
        b"<NextContinuationToken>again</NextContinuationToken></ListBucketResult>"
    )
    proxy.install(when(lambda request: request.is_list, Change(body=lambda _: page, status=200)))
    with pytest.raises(TryAgain, match="the listing does not end"):
        list(faulty_store.listing("p/"))


def test_minio_is_imported_without_its_client_for_administrators() -> None:
    script = (
        "import sys; import steps.clients.s3.store; import minio;"
        "assert minio.MinioAdmin is None;"
        "print('argon2' in sys.modules, 'Crypto' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_bucket_over_https_requires_the_private_ca(
    tmp_path: Path, repository: Path, secure_s3: S3Server
) -> None:
    objects = {"clusterbackup/east/a.yaml": b"a"}
    bucket = new_bucket(secure_s3)
    bucket.put_many(objects)
    secure = Sync.between(bucket, repository, tmp_path / "w")
    assert secure(MINIO_CA_FILE=str(secure_s3.ca_file)).exit == 0
    assert contents(repository) == objects
    outcome = secure()
    assert outcome.exit == 40
    assert "TLS" in outcome.of("minio_connect", "error")[0]["error"]
