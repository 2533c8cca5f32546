"""Which objects prove that a store's ETags are MD5 sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.core.keys import Reason
from steps.planning.etags import ETags
from steps.workdir.rowfile import write_rows
from steps.workdir.rows import ListedRow, RowsHeader
from tests.support.object_store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from steps.clients.s3.store import ObjectStore
    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy

INVENTED = "0" * 32


def etags(store: ObjectStore, tmp_path: Path, rows: list[ListedRow]) -> ETags:
    write_rows(tmp_path / "listing", RowsHeader(identity="i"), rows)
    return ETags(store, "p/", tmp_path / "listing")


def row(bucket: Bucket, name: str, size: int = 1, reason: str = "", etag: str = "") -> ListedRow:
    bucket.put(f"p/east/{name}", b"x" * size)
    found = bucket.request("HEAD", f"p/east/{name}").headers["etag"].strip('"')
    return ListedRow(f"east/{name}".encode(), reason, size, etag or found)


def test_one_matching_object_beside_it_proves_md5s(bucket: Bucket, tmp_path: Path) -> None:
    rows = [row(bucket, "a"), row(bucket, "b", etag=INVENTED), row(bucket, "c")]
    assert etags(open_store(bucket), tmp_path, rows).are_md5s(b"east/a")


@pytest.mark.parametrize("others", ["none", "invented", "empty", "large", "quarantined", "multipart"])
def test_other_objects_prove_nothing(others: str, bucket: Bucket, tmp_path: Path) -> None:
    beside = {
        "none": [],
        "invented": [row(bucket, "b", etag=INVENTED)],
        "empty": [row(bucket, "b", size=0)],
        "large": [row(bucket, "b", size=(1 << 20) + 1)],
        "quarantined": [row(bucket, "b", reason=Reason.GIT_FILE)],
        "multipart": [row(bucket, "b", etag=f"{INVENTED}-2")],
    }
    rows = [row(bucket, "a"), *beside[others]]
    assert not etags(open_store(bucket), tmp_path, rows).are_md5s(b"east/a")


def test_a_few_objects_are_requested_once(bucket: Bucket, proxy: S3FaultProxy, tmp_path: Path) -> None:
    rows = [row(bucket, name, etag=INVENTED) for name in "abcdef"]
    examined = etags(open_store(bucket, MINIO_ENDPOINT=proxy.server.endpoint), tmp_path, rows)
    assert not examined.are_md5s(b"east/b")
    assert not examined.are_md5s(b"east/c")
    assert proxy.fetched == ["p/east/a", "p/east/c", "p/east/d"]
