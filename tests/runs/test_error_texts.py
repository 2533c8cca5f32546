"""The same failure has the same text in every run, so that alerts group it; data names what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.faults import Cut, Reset, Status, when

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.faults import Request
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Sync

EAST = "clusterbackup/east/"
OBJECTS = {f"{EAST}default/object-{number:02}.yaml": b"%d\n" % number for number in range(30)}
KEY = f"{EAST}default/object-07.yaml"


def is_list(request: Request) -> bool:
    return request.is_list and not request.query.get("delimiter")


def is_get(request: Request) -> bool:
    return request.is_get


FAULTS = {
    "the bucket cannot be listed": (when(lambda r: r.is_list, Status(403, "AccessDenied")), {"bucket"}),
    "the server cannot be reached": (when(lambda r: r.is_list, Reset()), {"endpoint", "bucket"}),
    "a cluster cannot be listed": (when(is_list, Status(503, "SlowDown")), {"bucket", "prefix", "cluster"}),
    "every object is refused": (when(is_get, Status(403, "AccessDenied")), {"cluster", "keys"}),
    "some objects are refused": (
        when(lambda r: r.is_get and r.key > KEY, Status(403, "InvalidObjectState")),
        {"cluster", "keys"},
    ),
    "credentials expire": (when(is_get, Status(400, "ExpiredToken")), {"bucket", "key", "cluster"}),
    "one object always fails": (
        when(lambda r: r.key == KEY, Status(500, "InternalError")),
        {"bucket", "key", "cluster"},
    ),
    "one object is cut": (when(lambda r: r.is_get and r.key == KEY, Cut(1)), {"bucket", "key", "cluster"}),
    "one object resets the connection": (
        when(lambda r: r.is_get and r.key == KEY, Reset()),
        {"bucket", "key", "cluster"},
    ),
}  # fmt: skip


def errors(sync: Sync, **settings: str) -> list[dict[str, Any]]:
    result = sync(**settings)
    assert result.exit != 0
    return [line for line in result.lines if line["level"] == "error"]


def texts(lines: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(line["operation"], line["message"], line["error"]) for line in lines]


@pytest.mark.parametrize("fault", FAULTS)
def test_failure_of_s3_has_the_same_text_in_every_run(
    fault: str, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    rule, concerned = FAULTS[fault]
    bucket.put_many(OBJECTS)
    proxy.install(rule)
    first, second = errors(faulty), errors(faulty)
    assert texts(first) == texts(second)
    assert first[0]["data"].keys() >= concerned


@pytest.mark.parametrize(
    ("settings", "concerned"),
    [
        ({"MINIO_BUCKET": "absent"}, {"bucket", "endpoint"}),
        ({"MINIO_ENDPOINT": "127.0.0.1:1"}, {"bucket", "endpoint"}),
        ({"MINIO_USE_SSL": "true"}, {"bucket", "endpoint"}),
        ({"MINIO_PREFIX": "absent/"}, {"bucket", "prefix"}),
        ({"CLUSTERS": "absent"}, {"bucket", "prefix"}),
        ({"WORK_DIR": "/proc/absent"}, {"path"}),
        ({"MINIO_BUCKET": "s3://b", "CONCURRENCY": "0"}, {"problems"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_failure_of_the_settings_has_the_same_text_in_every_run(
    settings: dict[str, str], concerned: set[str], sync: Sync, bucket: Bucket
) -> None:
    bucket.put_many(OBJECTS)
    first, second = errors(sync, **settings), errors(sync, **settings)
    assert texts(first) == texts(second)
    assert first[0]["data"].keys() >= concerned
